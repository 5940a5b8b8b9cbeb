"""What can happen to one message. Every one but `LeasesRenewed` carries the `key` of the message it is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar


class Disposition(StrEnum):
    """How one hand-over of a message is settled with its broker."""

    COMPLETE = "complete"
    ABANDON = "abandon"
    DEAD_LETTER = "dead-letter"
    DEFER = "defer"


class LapseReason(StrEnum):
    """Why a lease is not ours any more."""

    LOCK_LOST = "lock lost"  # the broker refused a renewal, or the lock ran out
    RESTART = "restart"  # a restarted engine cannot prove that it still holds it
    LANE = "lane"  # an earlier message of its session lapsed
    BACK_OFF = "back off"  # the next attempt is too far away to keep the lock
    UNHANDLED = "unhandled"  # no plugin handles it here
    BACK_PRESSURE = "back pressure"  # more was delivered than may wait here
    DRAIN = "drain"  # the engine is stopping
    OPERATOR = "operator"  # an operator released it
    SESSION_LOST = "session lost"  # the broker's session lock is gone


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message that a handler sent through `ctx.send`: part of its `Completed`, sent afterwards."""

    message_id: str
    queue: str
    session_id: str | None
    correlation_id: str | None
    content_type: str | None
    attributes: Mapping[str, str]
    time_to_live_us: int | None
    due_at: int | None
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Received:
    """The first hand-over of a message. Only this event carries the body.

    `key` is the idempotency key, prefixed with the queue. `sequence` is the broker's order inside a session, where it
    has one. `suspect_until` is in the future when the broker's own delivery count makes the message a poison suspect.
    `sender` numbered it `sender_number` in its epoch `sender_epoch`, on queues where that stands in for a broker's
    order; `sequence` is then the instant at which it did. `sent_session_id` is the session id that the message came
    with, where a plugin put it into another session: empty if it came with none, None if nobody did that.
    """

    KIND: ClassVar[int] = 1
    VERSION: ClassVar[int] = 3  # 1 had no sender, 2 no sent_session_id

    key: str
    at: int
    queue: str
    message_id: str
    provider_id: str
    session_id: str | None
    sequence: int | None
    delivery_count: int
    enqueued_at: int | None
    expires_at: int | None
    correlation_id: str | None
    content_type: str | None
    attributes: Mapping[str, str]
    locked_until: int
    suspect_until: int
    body_digest: bytes
    receipt: str = field(repr=False)
    body: bytes = field(repr=False)
    sender: str | None = None
    sender_epoch: int = 0
    sender_number: int = 0
    sent_session_id: str | None = None


@dataclass(frozen=True, slots=True)
class Redelivered:
    """The same broker message again. Its receipt replaces the older one; it never starts a second attempt."""

    KIND: ClassVar[int] = 2
    VERSION: ClassVar[int] = 1

    key: str
    at: int
    provider_id: str
    delivery_count: int
    locked_until: int
    receipt: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Another broker message under a known key. It is not run, and it is owed a settle of its own.

    `body_digest` is empty where it is not known: in journals of the version that did not keep it.
    """

    KIND: ClassVar[int] = 3
    VERSION: ClassVar[int] = 2  # 1 had no body_digest

    key: str
    at: int
    queue: str
    message_id: str
    provider_id: str
    session_id: str | None
    delivery_count: int
    locked_until: int
    body_digest: bytes
    receipt: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AttemptStarted:
    """Durable before the handler's first line. `alone`: nothing else was in an attempt, and nothing else starts.

    `trace_parent` is the attempt's span, as W3C's `traceparent` writes it; None where nobody traces.
    """

    KIND: ClassVar[int] = 4
    VERSION: ClassVar[int] = 2  # 1 had no trace_parent

    key: str
    at: int
    attempt: int
    run_id: str
    route: str
    alone: bool
    trace_parent: str | None = None


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """The handler raised or timed out. Without `retry_at` no further attempt follows by itself."""

    KIND: ClassVar[int] = 5
    VERSION: ClassVar[int] = 1

    key: str
    at: int
    attempt: int
    error_kind: str
    error_text: str
    frames: tuple[str, ...]
    transient: bool
    retry_at: int | None


@dataclass(frozen=True, slots=True)
class AttemptReleased:
    """The attempt ended without an outcome that counts: drain, or its lock was lost. Not charged."""

    KIND: ClassVar[int] = 6
    VERSION: ClassVar[int] = 1

    key: str
    at: int
    attempt: int
    why: str


@dataclass(frozen=True, slots=True)
class AttemptCrashed:
    """The process died in the attempt. Charged only if it ran alone; else a suspicion, until `suspect_until`."""

    KIND: ClassVar[int] = 7
    VERSION: ClassVar[int] = 1

    key: str
    at: int
    attempt: int
    alone: bool
    suspect_until: int


@dataclass(frozen=True, slots=True)
class Completed:
    """The handler returned. Durable before the broker hears of it."""

    KIND: ClassVar[int] = 8
    VERSION: ClassVar[int] = 1

    key: str
    at: int
    attempt: int
    result_digest: bytes | None
    outgoing: tuple[Outgoing, ...]


@dataclass(frozen=True, slots=True)
class DeadLettered:
    """The decision that no further attempt is made. `dropped`: the queue discards such a message."""

    KIND: ClassVar[int] = 9
    VERSION: ClassVar[int] = 1

    key: str
    at: int
    reason: str
    error_kind: str | None
    description: str
    dropped: bool


@dataclass(frozen=True, slots=True)
class Settled:
    """The broker confirmed a disposition of one broker message."""

    KIND: ClassVar[int] = 10
    VERSION: ClassVar[int] = 1

    key: str
    at: int
    provider_id: str
    disposition: Disposition


@dataclass(frozen=True, slots=True)
class SettleRefused:
    """The broker would not settle, or its answer was lost: nothing is owed until it delivers the message again."""

    KIND: ClassVar[int] = 11
    VERSION: ClassVar[int] = 1

    key: str
    at: int
    provider_id: str
    disposition: Disposition
    why: str


@dataclass(frozen=True, slots=True)
class LeaseLapsed:
    """One broker message is not ours any more. `release`: the broker is told, and hides it for `delay_us`."""

    KIND: ClassVar[int] = 12
    VERSION: ClassVar[int] = 1

    key: str
    at: int
    provider_id: str
    why: LapseReason
    release: bool
    delay_us: int


@dataclass(frozen=True, slots=True)
class LeasesRenewed:
    """New lock ends, batched: `(key, provider_id, locked_until)` each."""

    KIND: ClassVar[int] = 13
    VERSION: ClassVar[int] = 1

    at: int
    leases: tuple[tuple[str, str, int], ...]


@dataclass(frozen=True, slots=True)
class StepRecorded:
    """The result of one `ctx.step`; a later attempt is handed it instead of running the step again."""

    KIND: ClassVar[int] = 14
    VERSION: ClassVar[int] = 1

    key: str
    at: int
    attempt: int
    name: str
    result: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class OutgoingSent:
    """A broker confirmed the outgoing message at `index`."""

    KIND: ClassVar[int] = 15
    VERSION: ClassVar[int] = 1

    key: str
    at: int
    index: int
    provider_id: str


@dataclass(frozen=True, slots=True)
class OutgoingFailed:
    """The outgoing message at `index` can never be sent. It stays in the journal, and is alerted."""

    KIND: ClassVar[int] = 16
    VERSION: ClassVar[int] = 1

    key: str
    at: int
    index: int
    error_kind: str
    error_text: str


@dataclass(frozen=True, slots=True)
class Forgotten:
    """A message that nobody handed over again, or that another journal adopted, left live state.

    The attempts of one that has no outcome stay known for a while.
    """

    KIND: ClassVar[int] = 17
    VERSION: ClassVar[int] = 1

    key: str
    at: int
    why: str


@dataclass(frozen=True, slots=True)
class Deferred:
    """The broker set the message aside under `sequence`; only that number brings it back."""

    KIND: ClassVar[int] = 18
    VERSION: ClassVar[int] = 1

    key: str
    at: int
    provider_id: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Redriven:
    """A dead-lettered message was sent again, under a new broker id."""

    KIND: ClassVar[int] = 19
    VERSION: ClassVar[int] = 1

    key: str
    at: int
    number: int
    new_message_id: str
    who: str
    why: str


@dataclass(frozen=True, slots=True)
class Redacted:
    """The body of a message was destroyed."""

    KIND: ClassVar[int] = 20
    VERSION: ClassVar[int] = 1

    key: str
    at: int
    who: str
    why: str


@dataclass(frozen=True, slots=True)
class Overtaken:
    """The attempt that follows is of a message behind which its sender's `number` in `epoch` has started already."""

    KIND: ClassVar[int] = 22
    VERSION: ClassVar[int] = 1

    key: str
    at: int
    sender: str
    epoch: int
    number: int
