"""What happened to a session: its broker lock, its order after a lapse, and parking. Pure, as `decide` is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from queue_runtime.engine.decide import dead, handed_back
from queue_runtime.engine.inputs import (
    ParkTimedOut,
    ResumeAsked,
    SessionEnded,
    SessionGranted,
    SessionInput,
    StateSet,
)
from queue_runtime.engine.policy import DeadLetterReason
from queue_runtime.journal.events import (
    Event,
    LapseReason,
    LeaseLapsed,
    MessageEvent,
    OperatorActed,
    SessionAcquired,
    SessionLost,
    SessionReleased,
    SessionResumed,
    SessionStateSet,
)
from queue_runtime.journal.evolve import MESSAGE_EVENTS, evolve
from queue_runtime.journal.state import MessageState, SessionState

__all__ = ["cascade", "decide_session", "with_cascade"]


def cascade(lane: Iterable[MessageState], order: int, now: int) -> tuple[Event, ...]:
    """Hand back what waits behind place `order` of a session, tail to head, so that its order survives a lapse.

    An attempt that runs is left alone: it was started before its predecessor was lost.
    """
    later = sorted((m for m in lane if m.order > order and m.is_open and not m.is_running), key=_order, reverse=True)
    return tuple(event for message in later for event in handed_back(message, now, LapseReason.LANE))


def with_cascade(message: MessageState, events: tuple[Event, ...], lane: Iterable[MessageState]) -> tuple[Event, ...]:
    """Add to `events` what follows for its session if they take an open message out of our hands."""
    if not message.is_open or not message.is_held or not any(type(event) is LeaseLapsed for event in events):
        return events
    after: MessageState | None = message
    for event in events:
        if type(event) in MESSAGE_EVENTS:
            after = evolve(after, cast("MessageEvent", event), 0)
    if after is None or after.is_held:
        return events
    return (*events, *cascade(lane, message.order, events[0].at))


def _order(message: MessageState) -> int:
    return message.order


def decide_session(
    session: SessionState | None, given: SessionInput, head: MessageState | None = None
) -> tuple[Event, ...]:
    """Decide what `given` means for a session; `head` is the message that it is parked for, if that is still known."""
    match given:
        case SessionGranted():
            return (SessionAcquired(given.queue, given.session_id, given.now, given.locked_until),)
        case StateSet():
            return (SessionStateSet(given.queue, given.session_id, given.now, given.state),)
        case SessionEnded() if session is not None and session.locked_until is not None:
            ended = SessionLost if given.lost else SessionReleased
            return (ended(session.queue, session.session_id, given.now, given.why),)
        case ParkTimedOut() if session is not None and session.parked_key is not None:
            return _park_timed_out(session, session.parked_key, given, head)
        case ResumeAsked() if session is not None and session.parked_key is not None:
            target = f"{session.queue}/{session.session_id}"
            acted = OperatorActed(given.now, given.who, given.why, "resume", target)
            return (acted, _resumed(session, session.parked_key, given.now, f"{given.who}: {given.why}"))
        case _:
            return ()


def _park_timed_out(
    session: SessionState, key: str, given: ParkTimedOut, head: MessageState | None
) -> tuple[Event, ...]:
    if given.now < session.parked_until:
        return ()
    resumed = _resumed(session, key, given.now, "nobody resumed it in time")
    if head is None or head.outcome is not None or head.is_running:
        return (resumed,)
    description = "its session was parked for it, and nobody resumed it in time"
    return (dead(head, given.now, DeadLetterReason.PARK_EXPIRED, description), resumed)


def _resumed(session: SessionState, key: str, now: int, why: str) -> SessionResumed:
    return SessionResumed(session.queue, session.session_id, now, key, why)
