"""What the shell saw: the inputs of `decide`. Every one carries the instant `now` at which it was seen.

Those that every message brings are tuples, which are made in a quarter of the time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from queue_runtime.journal.events import Disposition, LapseReason, Outgoing, Received
from queue_runtime.journal.settled_keys import SettledKey


class Delivered(NamedTuple):
    """A broker handed a message over. `received` is the event if it is new; `known` says that its key is settled."""

    received: Received
    known: SettledKey | None = None


class Ready(NamedTuple):
    """Its lane, breaker, route and the engine's bounds admit an attempt now; `trace_parent` is the attempt's span."""

    now: int
    run_id: str
    route: str
    alone: bool
    trace_parent: str | None = None


class HandlerReturned(NamedTuple):
    """The handler of `attempt` returned; `outgoing` is what it sent through its context."""

    now: int
    attempt: int
    result_digest: bytes | None
    outgoing: tuple[Outgoing, ...]


@dataclass(frozen=True, slots=True)
class HandlerRaised:
    """The handler of `attempt` raised. `draw` is the jitter for a retry, -1 to 1."""

    now: int
    attempt: int
    error_kind: str
    error_text: str
    frames: tuple[str, ...]
    transient: bool
    retry_after_s: float | None
    draw: float


@dataclass(frozen=True, slots=True)
class HandlerTimedOut:
    """The handler of `attempt` ended because its time was up."""

    now: int
    attempt: int
    timeout_s: float
    draw: float


@dataclass(frozen=True, slots=True)
class HandlerReleased:
    """The handler of `attempt` was ended by a drain: not charged."""

    now: int
    attempt: int
    why: str


@dataclass(frozen=True, slots=True)
class StepReturned:
    """A step of `attempt` has a result."""

    now: int
    attempt: int
    name: str
    result: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class LockRenewed:
    """The broker extended the lock of one copy."""

    now: int
    provider_id: str
    locked_until: int


@dataclass(frozen=True, slots=True)
class LockLost:
    """The broker refused to extend the lock of one copy, or it ran out."""

    now: int
    provider_id: str
    why: LapseReason


@dataclass(frozen=True, slots=True)
class HandBack:
    """The engine has no use for a message that waits: back to the broker, hidden for `delay_us`."""

    now: int
    why: LapseReason
    delay_us: int = 0


class SettleConfirmed(NamedTuple):
    """The broker confirmed a disposition of one copy."""

    now: int
    provider_id: str
    disposition: Disposition


@dataclass(frozen=True, slots=True)
class SettleDenied:
    """The broker would not settle one copy, or it is unknown whether it did."""

    now: int
    provider_id: str
    disposition: Disposition
    why: str


@dataclass(frozen=True, slots=True)
class SendConfirmed:
    """A broker took the outgoing message at `index`."""

    now: int
    index: int
    provider_id: str


@dataclass(frozen=True, slots=True)
class SendFailed:
    """The outgoing message at `index` was not taken; if not `transient`, it never will be."""

    now: int
    index: int
    error_kind: str
    error_text: str
    transient: bool


@dataclass(frozen=True, slots=True)
class TimerFired:
    """Time has passed: is there something to forget? `pressed`: memory is short, so a body is not kept any longer."""

    now: int
    pressed: bool = False


@dataclass(frozen=True, slots=True)
class Restarted:
    """A new run took the journal over. `receipts_survive`: another process may use a journaled receipt."""

    now: int
    receipts_survive: bool


@dataclass(frozen=True, slots=True)
class Expired:
    """The message's time to live may be over."""

    now: int


class Action(StrEnum):
    """What an operator may ask for one message."""

    DEAD_LETTER = "dead-letter"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class OperatorAsked:
    """An operator asked for `action`."""

    now: int
    who: str
    why: str
    action: Action


Input: TypeAlias = (
    Delivered
    | Ready
    | HandlerReturned
    | HandlerRaised
    | HandlerTimedOut
    | HandlerReleased
    | StepReturned
    | LockRenewed
    | LockLost
    | HandBack
    | SettleConfirmed
    | SettleDenied
    | SendConfirmed
    | SendFailed
    | TimerFired
    | Restarted
    | Expired
    | OperatorAsked
)


@dataclass(frozen=True, slots=True)
class SessionGranted:
    """The broker granted its lock on a session."""

    now: int
    queue: str
    session_id: str
    locked_until: int


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """A session is not ours any more: given back, or `lost`."""

    now: int
    lost: bool
    why: str


@dataclass(frozen=True, slots=True)
class StateSet:
    """A handler stored the state of its session; empty bytes clear it."""

    now: int
    queue: str
    session_id: str
    state: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ParkTimedOut:
    """A parked session's time may be up."""

    now: int


@dataclass(frozen=True, slots=True)
class ResumeAsked:
    """An operator wants a parked session to go on."""

    now: int
    who: str
    why: str


SessionInput: TypeAlias = SessionGranted | SessionEnded | StateSet | ParkTimedOut | ResumeAsked


@dataclass(frozen=True, slots=True)
class BreakerChecked:
    """An attempt of the route ended, or time has passed."""

    now: int


@dataclass(frozen=True, slots=True)
class ResetAsked:
    """An operator wants a breaker closed."""

    now: int
    who: str
    why: str


BreakerInput: TypeAlias = BreakerChecked | ResetAsked
