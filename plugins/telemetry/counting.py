"""Counts what becomes of messages: a plugin that observes as any other does."""

from __future__ import annotations

from queue_runtime.plugins.hookspecs import hookimpl
from queue_runtime.plugins.infos import (
    AttemptFailedInfo,
    CompletedInfo,
    DeadLetteredInfo,
    DuplicateInfo,
    LockLostInfo,
    MessageInfo,
)
from queue_runtime.plugins.telemetry.instruments import instruments
from queue_runtime.providers.telemetry import names

__all__ = ["Counting"]


class Counting:
    """Told of what the journal holds. Labels have few values: queue, route, reason, kind of error."""

    name = "telemetry"

    def __init__(self, system: str) -> None:
        self._system = system
        self._to = instruments()

    def _of(self, info: MessageInfo) -> dict[str, str]:
        return {names.SYSTEM: self._system, names.DESTINATION: info.queue}

    @hookimpl
    def queue_runtime_completed(self, info: CompletedInfo) -> None:
        """Count it by route."""
        self._to.completed.add(1, {**self._of(info), names.ROUTE: info.route})

    @hookimpl
    def queue_runtime_attempt_failed(self, info: AttemptFailedInfo) -> None:
        """Count what is tried again, and how long that waits."""
        if info.retry_at is None:
            return
        attributes = {**self._of(info), names.ROUTE: info.route}
        self._to.retries.add(1, {**attributes, names.ERROR_TYPE: info.error_kind})
        self._to.retry_delay.record((info.retry_at - info.at) / 1_000_000, attributes)

    @hookimpl
    def queue_runtime_dead_lettered(self, info: DeadLetteredInfo) -> None:
        """Count it by reason."""
        attributes = {**self._of(info), names.REASON: info.reason}
        if info.error_kind is not None:
            attributes[names.ERROR_TYPE] = info.error_kind
        self._to.dead_lettered.add(1, attributes)

    @hookimpl
    def queue_runtime_duplicate(self, info: DuplicateInfo) -> None:
        """Count it."""
        self._to.duplicates.add(1, self._of(info))

    @hookimpl
    def queue_runtime_lock_lost(self, info: LockLostInfo) -> None:
        """Count it by reason."""
        self._to.locks_lost.add(1, {**self._of(info), names.REASON: info.why})
