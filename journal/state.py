"""What the journal means: the state of an engine is a fold of its events, while it runs as after a crash.

Rules:

1. The same `evolve` functions serve a live engine and a recovery, so both hold the same state at the same position.
2. Every event changes one message, one session or one breaker, or the engine's own few facts; `EngineState.apply` finds
   which, and nothing else in this project changes state (`apply_to_message` is its part for whoever knows already).
3. Nothing here reads a clock: what expires does so by an event, or against the instant that an event carries.

`EngineState` is the accumulator of the fold. It belongs to one writer, which applies every event in order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TypeVar, cast

from queue_runtime.journal.events import (
    AttemptFailed,
    AttemptStarted,
    BreakerClosed,
    BreakerEvent,
    BreakerHalfOpened,
    BreakerOpened,
    Completed,
    Deferred,
    Event,
    KeysSealed,
    KeysSealing,
    LeasesRenewed,
    MessageEvent,
    Received,
    RunStarted,
    RunStopped,
    SendCancelled,
    SendScheduled,
    SessionAcquired,
    SessionEvent,
    SessionLost,
    SessionParked,
    SessionReleased,
    SessionResumed,
    SessionStateSet,
)
from queue_runtime.journal.evolve import MESSAGE_EVENTS, evolve, renewed, resumed
from queue_runtime.journal.message_state import AttemptRecord, Copy, Lease, MessageState, Outcome, Phase
from queue_runtime.journal.sender_order import SenderKey, SenderPlace, latest, stamp_of
from queue_runtime.journal.settled_keys import SettledKey, SettledKeys

__all__ = [
    "AttemptRecord",
    "BreakerPhase",
    "BreakerState",
    "Copy",
    "EngineState",
    "Lease",
    "MessageState",
    "Outcome",
    "Phase",
    "SessionState",
    "SettledKey",
    "SettledKeys",
    "evolve",
    "evolve_breaker",
    "evolve_session",
    "fold",
]

DEFAULT_WINDOW_US = 24 * 3_600 * 1_000_000


@dataclass(frozen=True, slots=True)
class SessionState:
    """One session that has something to remember."""

    queue: str
    session_id: str
    locked_until: int | None = None
    parked_key: str | None = None
    parked_until: int = 0
    state: bytes | None = field(default=None, repr=False)


class BreakerPhase(StrEnum):
    """The three states of a circuit breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True, slots=True)
class BreakerState:
    """The circuit breaker of one route. `failures` and `successes` are consecutive."""

    name: str
    phase: BreakerPhase = BreakerPhase.CLOSED
    failures: int = 0
    successes: int = 0
    until: int = 0


def evolve_session(session: SessionState | None, event: SessionEvent) -> SessionState | None:
    """Apply one event to the session that it is about; None when there is nothing to remember."""
    old = session or SessionState(event.queue, event.session_id)
    match event:
        case SessionAcquired():
            new = replace(old, locked_until=event.locked_until)
        case SessionReleased() | SessionLost():
            new = replace(old, locked_until=None)
        case SessionParked():
            new = replace(old, parked_key=event.key, parked_until=event.until)
        case SessionResumed():
            new = replace(old, parked_key=None, parked_until=0)
        case _:
            new = replace(old, state=event.state or None)
    return None if new == SessionState(event.queue, event.session_id) else new


def evolve_breaker(breaker: BreakerState | None, event: BreakerEvent) -> BreakerState | None:
    """Apply one event to the circuit breaker that it is about; None when it is closed and without failures."""
    old = breaker or BreakerState(event.name)
    match event:
        case BreakerOpened():
            return replace(old, phase=BreakerPhase.OPEN, failures=event.failures, successes=0, until=event.until)
        case BreakerHalfOpened():
            return replace(old, phase=BreakerPhase.HALF_OPEN, failures=0, successes=0)
        case _:  # BreakerClosed
            return None


@dataclass(slots=True)
class EngineState:
    """Everything that one journal says. Compare two of them to prove that they folded the same events."""

    position: int = 0
    run_id: str | None = None  # of the run that has not stopped; after a crash, the one that crashed
    window_us: int = DEFAULT_WINDOW_US
    messages: dict[str, MessageState] = field(default_factory=dict[str, MessageState])
    sessions: dict[tuple[str, str], SessionState] = field(default_factory=dict[tuple[str, str], SessionState])
    breakers: dict[str, BreakerState] = field(default_factory=dict[str, BreakerState])
    settled: SettledKeys = field(default_factory=SettledKeys)
    scheduled: dict[str, SendScheduled] = field(default_factory=dict[str, SendScheduled])
    deferred: dict[str, Deferred] = field(default_factory=dict[str, Deferred])
    senders: dict[SenderKey, SenderPlace] = field(default_factory=dict[SenderKey, SenderPlace])

    def apply(self, event: Event) -> None:
        """Apply the event at the next position."""
        if type(event) in MESSAGE_EVENTS:  # three of four events: not worth a walk through the cases below
            self.apply_to_message(cast("MessageEvent", event))
        else:
            self.position += 1
            self._apply_other(event)

    def apply_to_message(self, event: MessageEvent) -> tuple[MessageState | None, MessageState | None]:
        """Apply the event at the next position, which is one of a message; returns its state before and after."""
        self.position += 1
        before = self.messages.get(event.key)
        after = evolve(before, event, self.position)
        if after is not None:
            self.messages[event.key] = after
        elif before is not None:
            del self.messages[event.key]
            if before.outcome is Outcome.COMPLETED:
                self.settled.add(event.key, event.at, before.origin.body_digest)
        if self.breakers or self.deferred or type(event) in _BEYOND_MESSAGES:
            self._apply_beyond_messages(event, before)
        return before, after

    def _apply_beyond_messages(self, event: MessageEvent, before: MessageState | None) -> None:
        """What an event of a message means for breakers, for the order of senders, and for what was set aside."""
        match event:
            case AttemptStarted():
                stamp = None if before is None else stamp_of(before.origin)
                if stamp is not None:
                    latest(self.senders, stamp, event.at)
            case AttemptFailed() if before is not None and event.transient:
                breaker = self.breakers.get(before.route) or BreakerState(before.route)
                self.breakers[before.route] = replace(breaker, failures=breaker.failures + 1, successes=0)
            case Completed() if before is not None and before.route in self.breakers:
                _put(self.breakers, before.route, _succeeded(self.breakers[before.route]))
            case Deferred():
                self.deferred[event.key] = event
            case Received():
                self.deferred.pop(event.key, None)
            case _:
                pass

    def _apply_other(self, event: Event) -> None:
        match event:
            case RunStarted():
                self.run_id, self.window_us = event.run_id, event.window_us
            case RunStopped():
                self.run_id = None
            case LeasesRenewed():
                for key, provider_id, locked_until in event.leases:
                    if message := self.messages.get(key):
                        self.messages[key] = renewed(message, provider_id, locked_until)
            case (
                SessionAcquired()
                | SessionReleased()
                | SessionLost()
                | SessionParked()
                | SessionResumed()
                | SessionStateSet()
            ):
                self._apply_session(event)
            case BreakerOpened() | BreakerHalfOpened() | BreakerClosed():
                _put(self.breakers, event.name, evolve_breaker(self.breakers.get(event.name), event))
            case SendScheduled():
                self.scheduled[event.key] = event
            case SendCancelled():
                self.scheduled.pop(event.key, None)
            case KeysSealing() | KeysSealed():
                self.settled.apply(event, self.position)
            case _:
                pass  # OperatorActed is a record for people: what was asked for follows as events of its own

    def _apply_session(self, event: SessionEvent) -> None:
        name = (event.queue, event.session_id)
        _put(self.sessions, name, evolve_session(self.sessions.get(name), event))
        if isinstance(event, SessionResumed) and (message := self.messages.get(event.key)):
            self.messages[event.key] = resumed(message, event.at)


_BEYOND_MESSAGES = frozenset({AttemptFailed, AttemptStarted, Deferred})  # others change what these have begun


def fold(events: Iterable[Event], state: EngineState | None = None) -> EngineState:
    """Apply `events` in order to `state` (which is changed), or to that of a new journal."""
    state = EngineState() if state is None else state
    for event in events:
        state.apply(event)
    return state


def _succeeded(breaker: BreakerState) -> BreakerState | None:
    if breaker.phase is BreakerPhase.CLOSED:
        return None
    return replace(breaker, successes=breaker.successes + 1)


K = TypeVar("K")
V = TypeVar("V")


def _put(values: dict[K, V], key: K, value: V | None) -> None:
    """Store `value`, or nothing where there is nothing to remember."""
    if value is None:
        values.pop(key, None)
    else:
        values[key] = value
