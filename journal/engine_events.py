"""What can happen besides messages: sessions, circuit breakers, sends held by the journal, runs and operators."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from queue_runtime.journal.message_events import Outgoing

# --- a session ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SessionAcquired:
    """The broker granted its lock on a session to this engine."""

    KIND: ClassVar[int] = 30
    VERSION: ClassVar[int] = 1

    queue: str
    session_id: str
    at: int
    locked_until: int


@dataclass(frozen=True, slots=True)
class SessionReleased:
    """This engine gave a session back."""

    KIND: ClassVar[int] = 31
    VERSION: ClassVar[int] = 1

    queue: str
    session_id: str
    at: int
    why: str


@dataclass(frozen=True, slots=True)
class SessionLost:
    """The broker's session lock is gone; every message held of the session lapses with it."""

    KIND: ClassVar[int] = 32
    VERSION: ClassVar[int] = 1

    queue: str
    session_id: str
    at: int
    why: str


@dataclass(frozen=True, slots=True)
class SessionParked:
    """The head of a session failed for good under the `park` policy: nothing of it starts until it is resumed."""

    KIND: ClassVar[int] = 33
    VERSION: ClassVar[int] = 1

    queue: str
    session_id: str
    at: int
    key: str
    until: int


@dataclass(frozen=True, slots=True)
class SessionResumed:
    """A parked session goes on; its head is tried afresh unless it was dead-lettered."""

    KIND: ClassVar[int] = 34
    VERSION: ClassVar[int] = 1

    queue: str
    session_id: str
    at: int
    key: str
    why: str


@dataclass(frozen=True, slots=True)
class SessionStateSet:
    """A handler stored the state of its session."""

    KIND: ClassVar[int] = 35
    VERSION: ClassVar[int] = 1

    queue: str
    session_id: str
    at: int
    state: bytes = field(repr=False)


# --- circuit breakers --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BreakerOpened:
    """Consecutive transient failures opened the breaker `name` until `until`."""

    KIND: ClassVar[int] = 40
    VERSION: ClassVar[int] = 1

    name: str
    at: int
    failures: int
    until: int


@dataclass(frozen=True, slots=True)
class BreakerHalfOpened:
    """The breaker lets one message at a time probe."""

    KIND: ClassVar[int] = 41
    VERSION: ClassVar[int] = 1

    name: str
    at: int


@dataclass(frozen=True, slots=True)
class BreakerClosed:
    """Enough probes succeeded, or an operator reset it."""

    KIND: ClassVar[int] = 42
    VERSION: ClassVar[int] = 1

    name: str
    at: int
    why: str


# --- sends held by the journal -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SendScheduled:
    """A send that the broker cannot hold until `due_at`: the journal does."""

    KIND: ClassVar[int] = 50
    VERSION: ClassVar[int] = 1

    key: str
    at: int
    due_at: int
    message: Outgoing


@dataclass(frozen=True, slots=True)
class SendCancelled:
    """A scheduled send was called off, or handed to the broker (`why`)."""

    KIND: ClassVar[int] = 51
    VERSION: ClassVar[int] = 1

    key: str
    at: int
    why: str


# --- the idempotency window --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class KeysSealing:
    """The `count` keys that were settled since the last `KeysSealing` are set aside, to be put into a key file."""

    KIND: ClassVar[int] = 55
    VERSION: ClassVar[int] = 1

    at: int
    count: int


@dataclass(frozen=True, slots=True)
class KeysSealed:
    """A key file holds what the `KeysSealing` at position `until` set aside."""

    KIND: ClassVar[int] = 56
    VERSION: ClassVar[int] = 1

    at: int
    until: int


# --- runs and operators ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunStarted:
    """An engine opened the journal. One that follows no `RunStopped` means that the run before it crashed."""

    KIND: ClassVar[int] = 60
    VERSION: ClassVar[int] = 1

    run_id: str
    at: int
    version: str
    settings_digest: str
    host: str
    pid: int
    window_us: int


@dataclass(frozen=True, slots=True)
class RunStopped:
    """An engine closed the journal in good order."""

    KIND: ClassVar[int] = 61
    VERSION: ClassVar[int] = 1

    run_id: str
    at: int
    why: str


@dataclass(frozen=True, slots=True)
class OperatorActed:
    """Somebody asked a live engine, or a tool under its lock, for `action` on `target`."""

    KIND: ClassVar[int] = 62
    VERSION: ClassVar[int] = 1

    at: int
    who: str
    why: str
    action: str
    target: str
