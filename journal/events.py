"""What can happen: every fact that a journal may hold, in the past tense.

An event is a frozen value. It says what was seen or decided, never what to do about it: what is due follows from the
state that the events fold into (`state.py`). Events are the only durable format of this project, so a field is never
renamed or given another meaning; a new shape is a new `VERSION` with an upcaster in `codec.py`.

Instants are integer microseconds since the epoch, UTC, and come from whoever made the decision; nothing here reads a
clock. `receipt` and `body` are secrets: they are kept out of every repr.
"""

from __future__ import annotations

from typing import TypeAlias, get_args

from queue_runtime.journal.adopted import Adopted
from queue_runtime.journal.engine_events import (
    BreakerClosed,
    BreakerHalfOpened,
    BreakerOpened,
    KeysSealed,
    KeysSealing,
    OperatorActed,
    RunStarted,
    RunStopped,
    SendCancelled,
    SendScheduled,
    SessionAcquired,
    SessionLost,
    SessionParked,
    SessionReleased,
    SessionResumed,
    SessionStateSet,
)
from queue_runtime.journal.message_events import (
    AttemptCrashed,
    AttemptFailed,
    AttemptReleased,
    AttemptStarted,
    Completed,
    DeadLettered,
    Deferred,
    Disposition,
    Duplicate,
    Forgotten,
    LapseReason,
    LeaseLapsed,
    LeasesRenewed,
    Outgoing,
    OutgoingFailed,
    OutgoingSent,
    Overtaken,
    Received,
    Redacted,
    Redelivered,
    Redriven,
    Settled,
    SettleRefused,
    StepRecorded,
)

__all__ = [
    "EVENT_TYPES",
    "Adopted",
    "AttemptCrashed",
    "AttemptFailed",
    "AttemptReleased",
    "AttemptStarted",
    "BreakerClosed",
    "BreakerEvent",
    "BreakerHalfOpened",
    "BreakerOpened",
    "Completed",
    "DeadLettered",
    "Deferred",
    "Disposition",
    "Duplicate",
    "Event",
    "Forgotten",
    "KeysSealed",
    "KeysSealing",
    "LapseReason",
    "LeaseLapsed",
    "LeasesRenewed",
    "MessageEvent",
    "OperatorActed",
    "Outgoing",
    "OutgoingFailed",
    "OutgoingSent",
    "Overtaken",
    "Received",
    "Redacted",
    "Redelivered",
    "Redriven",
    "RunStarted",
    "RunStopped",
    "SendCancelled",
    "SendScheduled",
    "SessionAcquired",
    "SessionEvent",
    "SessionLost",
    "SessionParked",
    "SessionReleased",
    "SessionResumed",
    "SessionStateSet",
    "SettleRefused",
    "Settled",
    "StepRecorded",
]

MessageEvent: TypeAlias = (
    Received
    | Redelivered
    | Duplicate
    | AttemptStarted
    | AttemptFailed
    | AttemptReleased
    | AttemptCrashed
    | Completed
    | DeadLettered
    | Settled
    | SettleRefused
    | LeaseLapsed
    | StepRecorded
    | OutgoingSent
    | OutgoingFailed
    | Forgotten
    | Deferred
    | Redriven
    | Redacted
    | Overtaken
    | Adopted
)
SessionEvent: TypeAlias = (
    SessionAcquired | SessionReleased | SessionLost | SessionParked | SessionResumed | SessionStateSet
)
BreakerEvent: TypeAlias = BreakerOpened | BreakerHalfOpened | BreakerClosed
Event: TypeAlias = (
    MessageEvent
    | SessionEvent
    | BreakerEvent
    | LeasesRenewed
    | SendScheduled
    | SendCancelled
    | KeysSealing
    | KeysSealed
    | RunStarted
    | RunStopped
    | OperatorActed
)
"""Any event that a journal may hold."""

EVENT_TYPES: tuple[type[Event], ...] = get_args(Event)
"""Every event type; `KIND` numbers are unique among them."""
