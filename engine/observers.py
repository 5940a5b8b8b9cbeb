"""Tells plugins what happened, once the journal holds it for sure. Costs nothing for what nobody observes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from queue_runtime.engine.routing import Routing
from queue_runtime.journal.events import (
    AttemptFailed,
    AttemptStarted,
    Completed,
    DeadLettered,
    Duplicate,
    Event,
    LeaseLapsed,
    Received,
)
from queue_runtime.journal.state import MessageState
from queue_runtime.plugins import (
    AttemptFailedInfo,
    AttemptStartedInfo,
    CompletedInfo,
    DeadLetteredInfo,
    DuplicateInfo,
    LockLostInfo,
    Plugins,
    ReceivedInfo,
)
from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.message import Delivery

__all__ = ["Observers"]


class Observers:
    """Follows the core's changes, and tells them when they are durable."""

    def __init__(self, plugins: Plugins, routing: Routing) -> None:
        self._routing = routing
        self._waiting: deque[tuple[int, Callable[[Any], None], Any]] = deque()
        observed: dict[type[Event], tuple[bool, Callable[[Any, MessageState], tuple[Callable[[Any], None], Any]]]] = {
            Received: (plugins.observes("received"), lambda e, m: (plugins.notify_received, self._received(e, m))),
            AttemptStarted: (
                plugins.observes("attempt_started"),
                lambda e, m: (plugins.notify_attempt_started, _started(e, m)),
            ),
            AttemptFailed: (
                plugins.observes("attempt_failed"),
                lambda e, m: (plugins.notify_attempt_failed, _failed(e, m)),
            ),
            Completed: (plugins.observes("completed"), lambda e, m: (plugins.notify_completed, _completed(e, m))),
            DeadLettered: (
                plugins.observes("dead_lettered"),
                lambda e, m: (plugins.notify_dead_lettered, _dead_lettered(e, m)),
            ),
            Duplicate: (plugins.observes("duplicate"), lambda e, m: (plugins.notify_duplicate, _duplicate(e, m))),
            LeaseLapsed: (plugins.observes("lock_lost"), lambda e, m: (plugins.notify_lock_lost, _lock_lost(e, m))),
        }
        self._infos = {event: info for event, (is_observed, info) in observed.items() if is_observed}

    @property
    def are_there(self) -> bool:
        """True if anybody observes what happens to messages."""
        return bool(self._infos)

    def happened(self, event: Event, message: MessageState | None, position: int) -> None:
        """Note what is to be told."""
        info = self._infos.get(type(event))
        if info is None or message is None or (isinstance(event, LeaseLapsed) and event.release):
            return
        tell, what = info(event, message)
        self._waiting.append((position, tell, what))

    def committed(self, durable: int, error: BaseException | None) -> None:
        """Tell what the journal holds for sure; after a failed commit, forget what it lost."""
        waiting = self._waiting
        while waiting and waiting[0][0] <= durable:
            _, tell, what = waiting.popleft()
            tell(what)
        if error is not None:
            waiting.clear()

    def _received(self, event: Received, message: MessageState) -> ReceivedInfo:
        delivery: Delivery = self._routing.delivery(message)
        return ReceivedInfo(**_ids(event.at, message), delivery=delivery)


def _ids(at: int, message: MessageState) -> dict[str, Any]:
    origin = message.origin
    return {
        "key": origin.key,
        "queue": origin.queue,
        "message_id": origin.message_id,
        "session_id": origin.session_id,
        "at": Timestamp(at),
    }


def _started(event: AttemptStarted, message: MessageState) -> AttemptStartedInfo:
    return AttemptStartedInfo(**_ids(event.at, message), route=event.route, attempt=event.attempt, alone=event.alone)


def _failed(event: AttemptFailed, message: MessageState) -> AttemptFailedInfo:
    return AttemptFailedInfo(
        **_ids(event.at, message),
        route=message.route,
        attempt=event.attempt,
        started_at=Timestamp(message.started_at),
        error_kind=event.error_kind,
        error_text=event.error_text,
        transient=event.transient,
        retry_at=None if event.retry_at is None else Timestamp(event.retry_at),
    )


def _completed(event: Completed, message: MessageState) -> CompletedInfo:
    return CompletedInfo(
        **_ids(event.at, message),
        route=message.route,
        attempt=event.attempt,
        started_at=Timestamp(message.started_at),
        outgoing=len(event.outgoing),
    )


def _dead_lettered(event: DeadLettered, message: MessageState) -> DeadLetteredInfo:
    return DeadLetteredInfo(
        **_ids(event.at, message),
        attempts=message.attempt,
        reason=event.reason,
        error_kind=event.error_kind,
        description=event.description,
        dropped=event.dropped,
    )


def _duplicate(event: Duplicate, message: MessageState) -> DuplicateInfo:
    return DuplicateInfo(**_ids(event.at, message), provider_id=event.provider_id)


def _lock_lost(event: LeaseLapsed, message: MessageState) -> LockLostInfo:
    attempt = message.attempt if message.is_running else None
    return LockLostInfo(**_ids(event.at, message), attempt=attempt, why=event.why)
