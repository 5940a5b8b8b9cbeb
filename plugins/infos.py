"""What hooks are told: one frozen object a hook, so that fields can be added without breaking a plugin.

Instants are `Timestamp`s, microseconds since the epoch in UTC; `.to_datetime()` makes an aware `datetime` of one. No
field holds a receipt of its own, and bodies are reached through `delivery.message` alone, where a hook is given one.
"""

from __future__ import annotations

from dataclasses import dataclass

from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.message import Delivery, Message

__all__ = [
    "AttemptFailedInfo",
    "AttemptStartedInfo",
    "CompletedInfo",
    "DeadLetteredInfo",
    "DeliveryInfo",
    "DuplicateInfo",
    "EngineStartedInfo",
    "EngineStoppedInfo",
    "ErrorInfo",
    "LockLostInfo",
    "MessageInfo",
    "ReceivedInfo",
]


@dataclass(frozen=True, slots=True)
class DeliveryInfo:
    """The delivery that an answering hook is asked about."""

    delivery: Delivery

    @property
    def message(self) -> Message:
        """The message that was delivered."""
        return self.delivery.message


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """The error that ended an attempt.

    Args:
        error: what the handler raised, or what the engine raised on its behalf (a time-out).
        delivery: the newest hand-over of the message.
        route: the handler's name.
        attempt: which run of the handler raised it, from 1.
    """

    error: BaseException
    delivery: Delivery
    route: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageInfo:
    """What every observer of a message is told.

    Args:
        key: the idempotency key, prefixed with the queue; the journal knows the message by it.
        queue: the queue that delivered it.
        message_id: the sender's id of it.
        session_id: the ordered group that it is in, or None.
        at: when it happened.
    """

    key: str
    queue: str
    message_id: str
    session_id: str | None
    at: Timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedInfo(MessageInfo):
    """A message was handed over for the first time. The only observer's info with a body: `delivery.message.body`."""

    delivery: Delivery


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptStartedInfo(MessageInfo):
    """A handler is about to run. `alone`: the message is a poison suspect, and nothing else runs beside it."""

    route: str
    attempt: int
    alone: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFailedInfo(MessageInfo):
    """A handler raised or ran out of time.

    Args:
        route: the handler's name.
        attempt: which run of it, from 1.
        started_at: when that run began.
        error_kind: the name of the error's class.
        error_text: its text, as journaled.
        transient: whether another attempt could have helped.
        retry_at: when the next attempt is due; None if none follows by itself.
    """

    route: str
    attempt: int
    started_at: Timestamp
    error_kind: str
    error_text: str
    transient: bool
    retry_at: Timestamp | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletedInfo(MessageInfo):
    """A handler returned. `outgoing`: how many messages it had sent through `ctx.send`."""

    route: str
    attempt: int
    started_at: Timestamp
    outgoing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetteredInfo(MessageInfo):
    """It was decided that no further attempt is made.

    Args:
        attempts: how many runs there were; 0 for a message that expired or was refused untried.
        reason: the short reason that the broker's dead letter carries.
        error_kind: the class of the last error, if an error was the reason.
        description: the reason in words.
        dropped: the queue discards such a message instead of keeping it.
    """

    attempts: int
    reason: str
    error_kind: str | None
    description: str
    dropped: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateInfo(MessageInfo):
    """Another broker message came under a known key; it is settled without being run."""

    provider_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LockLostInfo(MessageInfo):
    """The broker's lock on a message is gone. `attempt`: the run that was under way, or None."""

    attempt: int | None
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStartedInfo:
    """An engine has recovered its journal and is about to receive.

    Args:
        run_id: names this run; the journal's `RunStarted` carries it.
        queues: what it receives from.
        after_crash: the run before this one did not stop in good order.
        at: when.
    """

    run_id: str
    queues: tuple[str, ...]
    after_crash: bool
    at: Timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStoppedInfo:
    """An engine has stopped in good order; nothing of it runs any more."""

    run_id: str
    why: str
    at: Timestamp
