"""What the engine needs of a queue, against what the broker declares: said at start-up, and all of it at once."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from queue_runtime.engine.settings import EngineSettings
from queue_runtime.providers.errors import ConfigurationError
from queue_runtime.providers.inspection import Inspects, QueueSetup
from queue_runtime.providers.message import QueueName
from queue_runtime.providers.port import Capabilities, Provider

__all__ = ["Finding", "Inspected", "Level", "check", "findings", "inspect"]

logger = logging.getLogger("queue_runtime.engine")

_WIDE_MARGIN = 2
"""How many times our attempts a broker's own maximum should be: hand-backs and lost locks raise its count, not ours."""

_SHORT_LOCK_S = 10.0
"""A lock below this is renewed so often that a pause of the process can cost it."""


class Level(StrEnum):
    """What a finding means for a start."""

    GOOD = "good"
    NOTE = "note"
    UNKNOWN = "unknown"
    WARNING = "warning"
    REFUSED = "cannot work"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing about one queue. `what`: what was compared."""

    queue: str
    level: Level
    what: str
    text: str


@dataclass(frozen=True, slots=True)
class Inspected:
    """What a broker says about a queue. `setup`: None where the provider does not tell."""

    capabilities: Capabilities
    setup: QueueSetup | None


async def inspect(provider: Provider, queue: QueueName) -> Inspected:
    """Ask what a queue can do, and how it is set up where the provider tells.

    Raises:
        QueueError: there is no such queue, or the broker cannot be asked.
    """
    capabilities = await provider.capabilities(queue)
    return Inspected(capabilities, await provider.inspector.setup(queue) if isinstance(provider, Inspects) else None)


def check(settings: EngineSettings, queues: Mapping[str, Inspected]) -> None:
    """Refuse what cannot work, and warn of what is narrow.

    Raises:
        ConfigurationError: names each queue and value that cannot work, and what to change.
    """
    problems: list[str] = []
    for queue, inspected in queues.items():
        for finding in findings(settings, queue, inspected):
            if finding.level is Level.REFUSED:
                problems.append(f"queue {queue} {finding.text}")
            elif finding.level is Level.WARNING:
                logger.warning("queue %s %s", queue, finding.text)
    if problems:
        raise ConfigurationError("; ".join(problems))


def findings(settings: EngineSettings, queue: str, inspected: Inspected) -> tuple[Finding, ...]:
    """Compare one queue with the settings."""
    able, setup = inspected.capabilities, inspected.setup
    told: Iterable[tuple[str, Level, str]] = (
        ("deliveries", *_deliveries(settings, able)),
        ("lock", *_lock(settings, able)),
        ("sessions", *_sessions(settings, able)),
        ("scheduling", *_scheduling(able)),
        *_setup(settings, setup),
    )
    return tuple(Finding(queue, level, what, text) for what, level, text in told)


def _deliveries(settings: EngineSettings, able: Capabilities) -> tuple[Level, str]:
    most, attempts = able.max_deliveries, settings.max_attempts
    safe = _WIDE_MARGIN * attempts
    if most is None:
        return Level.NOTE, f"never dead-letters by itself: {attempts} attempts are the only bound"
    if most < attempts:
        return Level.REFUSED, (
            f"dead-letters after {most} deliveries, before {attempts} attempts: "
            f"raise the queue's maximum to {safe} or lower max_attempts"
        )
    if most < safe:
        return Level.WARNING, (
            f"dead-letters after {most} deliveries, a narrow margin for {attempts} attempts: each lost lock and each "
            f"hand-back counts there; {safe} is a safe maximum"
        )
    return Level.GOOD, f"dead-letters after {most} deliveries, enough for {attempts} attempts"


def _lock(settings: EngineSettings, able: Capabilities) -> tuple[Level, str]:
    timeout_s = settings.handler_timeout_s
    if able.max_lock_s < timeout_s:
        return Level.REFUSED, (
            f"keeps a lock for {able.max_lock_s:g} s at most, and a handler may take {timeout_s:g} s: "
            "lower handler_timeout_s"
        )
    if able.lock_s < _SHORT_LOCK_S:
        return Level.WARNING, (
            f"locks a message for {able.lock_s:g} s only: a pause of that length loses it; make it 30 s or more"
        )
    if able.lock_s < timeout_s:
        return Level.GOOD, f"locks a message for {able.lock_s:g} s; renewed while a handler runs, up to {timeout_s:g} s"
    return Level.GOOD, f"locks a message for {able.lock_s:g} s, longer than a handler may take ({timeout_s:g} s)"


def _sessions(settings: EngineSettings, able: Capabilities) -> tuple[Level, str]:
    if able.native_sessions or able.ordered_groups:
        return Level.GOOD, "keeps the order inside a session itself"
    needed = Level.WARNING if settings.needs_sessions else Level.NOTE
    if able.sender_order:
        return needed, (
            "keeps no order; the engine restores that of each sender, as long as it is the only one on the queue: "
            "take a FIFO queue for more engines than one"
        )
    if able.ordered:
        return needed, "keeps the order of messages until one fails or a lock is lost: take a queue with sessions"
    level = Level.REFUSED if settings.needs_sessions else Level.NOTE
    return level, "keeps no order at all: take a queue with sessions, or unset needs_sessions"


def _scheduling(able: Capabilities) -> tuple[Level, str]:
    if not able.scheduled_send:
        return Level.NOTE, "holds no message for later: the journal does, and sends it while an engine runs on it"
    if able.max_delay_s is not None:
        return Level.GOOD, f"holds a message for up to {able.max_delay_s:g} s; beyond that the journal does"
    return Level.GOOD, "holds messages for later, as long as they say"


def _setup(settings: EngineSettings, setup: QueueSetup | None) -> Iterator[tuple[str, Level, str]]:
    if setup is None:
        yield "dead letters", Level.UNKNOWN, "is of a provider that does not tell how it is set up"
        return
    if setup.takes_dead_letters is None:
        yield "dead letters", Level.UNKNOWN, f"may or may not have a place for dead letters: {setup.dead_letters}"
    elif setup.takes_dead_letters:
        yield "dead letters", Level.GOOD, f"has a place for dead letters: {setup.dead_letters}"
    else:
        yield "dead letters", Level.WARNING, f"has no place for dead letters, so they stay in it: {setup.dead_letters}"
    if setup.retention_s is None:
        yield "retention", Level.UNKNOWN, "does not tell how long it keeps a message"
    elif setup.retention_s < settings.park_s:
        yield (
            "retention",
            Level.WARNING,
            (
                f"keeps a message for {setup.retention_s:g} s, and a session may be parked for {settings.park_s:g} s: "
                "what is parked would be gone before; lower park_s or keep messages longer"
            ),
        )
    else:
        yield "retention", Level.GOOD, f"keeps a message for {setup.retention_s:g} s"
