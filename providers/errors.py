"""What can go wrong with a queue, in our words: no error here names an SDK.

Every error says whether trying the same call again can help (`transient`), how long to wait first (`retry_after_s`),
of which `category` it is, and what it was about (`context`). Texts name the object, the value and the next step; they
never hold a body, a receipt or a secret.
"""

# ruff: noqa: N818 - errors are named for what happened, in the words of the brokers' own documentation

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from queue_runtime.providers.clock import Timestamp

__all__ = [
    "AuthenticationFailed",
    "AuthorizationFailed",
    "BatchTooLarge",
    "Category",
    "CircuitOpen",
    "ConfigurationError",
    "ConnectionFailed",
    "ErrorContext",
    "InvalidFormat",
    "InvalidMessage",
    "InvalidReceipt",
    "LockLost",
    "MaxAttemptsExceeded",
    "MessageNotFound",
    "MessageTooLarge",
    "OperationTimeout",
    "OutOfRange",
    "ProviderClosed",
    "ProviderError",
    "QueueError",
    "QueueFull",
    "QueueNotFound",
    "RequiredField",
    "RetryTimeout",
    "SerializationError",
    "ServiceThrottled",
    "SessionLockLost",
    "SessionLocked",
    "SessionNotFound",
    "UnsupportedOperation",
    "UnsupportedProvider",
    "ValidationError",
]


class Category(StrEnum):
    """Who has to act: time, nobody, the broker's redelivery, the operator, or whoever holds the keys."""

    TRANSIENT = "transient"
    PERMANENT = "permanent"
    LOCK = "lock"
    CONFIG = "config"
    CRYPTO = "crypto"


@dataclass(frozen=True, slots=True)
class ErrorContext:
    """What an error is about, as far as whoever raised it knew."""

    queue: str | None = None
    message_id: str | None = None
    session_id: str | None = None
    operation: str | None = None


NOTHING_KNOWN = ErrorContext()


class QueueError(Exception):
    """Root of every error that queue-runtime raises about a queue or a message.

    `retry_after_s` is the least wait before the same call makes sense, in seconds; None leaves it to the caller.
    """

    category = Category.PERMANENT
    retry_after_s: float | None = None
    context: ErrorContext = NOTHING_KNOWN

    def __init__(self, text: str, *, context: ErrorContext = NOTHING_KNOWN) -> None:
        super().__init__(text)
        self.context = context

    @property
    def transient(self) -> bool:
        """True if the same call may succeed later."""
        return self.category is Category.TRANSIENT


# The caller's own mistakes: nothing was sent.


class ValidationError(QueueError, ValueError):
    """A value breaks a rule. The caller's fault; nothing was sent."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field} {problem}")
        self.field = field


class RequiredField(ValidationError):
    """A value that must be there is missing or empty."""

    def __init__(self, field: str, problem: str = "must not be empty") -> None:
        super().__init__(field, problem)


class InvalidFormat(ValidationError):
    """A value is of the wrong shape."""


class OutOfRange(ValidationError):
    """A value is too small, too large or too long."""


class ConfigurationError(QueueError):
    """The configuration cannot work. The operator's fault; nothing was started."""

    category = Category.CONFIG


class UnsupportedProvider(ConfigurationError):
    """No provider of that name can be loaded here."""

    def __init__(self, provider: str, problem: str) -> None:
        super().__init__(f"provider {provider!r} {problem}")
        self.provider = provider


class UnsupportedOperation(QueueError):
    """This broker, or this queue, cannot do that; `Capabilities` says so beforehand."""

    def __init__(self, operation: str, why: str, *, context: ErrorContext = NOTHING_KNOWN) -> None:
        super().__init__(f"{operation} is not supported: {why}", context=context)
        self.operation = operation


class MessageTooLarge(QueueError):
    """The message is larger than the queue takes, attributes included. Sizes in bytes."""

    def __init__(self, size: int, max_size: int, *, context: ErrorContext = NOTHING_KNOWN) -> None:
        super().__init__(
            f"message of {size} bytes is over the limit of {max_size}: store the body elsewhere and send a reference",
            context=context,
        )
        self.size = size
        self.max_size = max_size


class BatchTooLarge(QueueError):
    """More messages in one call than a broker takes, at a port that cannot cut them up."""

    def __init__(self, size: int, max_size: int, *, context: ErrorContext = NOTHING_KNOWN) -> None:
        super().__init__(f"batch of {size} is over the limit of {max_size}: send smaller batches", context=context)
        self.size = size
        self.max_size = max_size


class InvalidMessage(QueueError):
    """The broker, or the envelope, does not take this message as it is; no retry will change that."""


class SerializationError(QueueError):
    """Bytes cannot be decoded, or a value cannot be encoded. Its text never holds the input."""


class ProviderClosed(QueueError):
    """The provider is not open: `open` was not called yet, or `close` was."""

    def __init__(self, provider: str) -> None:
        super().__init__(f"provider {provider!r} is not open: await open() first, and use it before close()")
        self.provider = provider


# What the broker says about queues, messages, locks.


class QueueNotFound(QueueError):
    """There is no such queue; nothing happened. The operator's or the caller's fault."""

    def __init__(self, queue: str, *, operation: str | None = None) -> None:
        super().__init__(
            f"queue {queue!r} does not exist: create it, or correct the name",
            context=ErrorContext(queue=queue, operation=operation),
        )


class QueueFull(QueueError):
    """The queue takes no more until messages leave it."""

    category = Category.TRANSIENT
    retry_after_s = 5.0

    def __init__(self, queue: str, max_messages: int) -> None:
        super().__init__(
            f"queue {queue!r} is full at {max_messages} messages: consume some, or raise its limit",
            context=ErrorContext(queue=queue),
        )
        self.max_messages = max_messages


class MessageNotFound(QueueError):
    """The queue holds no message under that id."""

    def __init__(self, provider_id: str, *, context: ErrorContext = NOTHING_KNOWN) -> None:
        where = "" if context.queue is None else f" in queue {context.queue!r}"
        super().__init__(f"no message {provider_id!r}{where}: it was delivered, settled or never sent", context=context)
        self.provider_id = provider_id


class InvalidReceipt(QueueError):
    """The delivery is not this receipt's any more: settled, lock ended, or delivered again. Wait for the redelivery.

    `receipt_digest` names the receipt in logs without being able to settle anything.
    """

    category = Category.LOCK

    def __init__(self, provider_id: str, receipt_digest: str, *, context: ErrorContext = NOTHING_KNOWN) -> None:
        where = "" if context.queue is None else f" in queue {context.queue!r}"
        super().__init__(
            f"receipt {receipt_digest} of message {provider_id!r}{where} is settled, expired or replaced: "
            "wait for the redelivery",
            context=context,
        )
        self.provider_id = provider_id
        self.receipt_digest = receipt_digest


class LockLost(QueueError):
    """The lock on a message ended while it was being worked on: another consumer may be handed it."""

    category = Category.LOCK


class SessionLocked(QueueError):
    """Somebody else holds the session, until `locked_until` unless they renew."""

    category = Category.TRANSIENT
    retry_after_s = 5.0

    def __init__(self, session_id: str, locked_until: Timestamp, *, queue: str | None = None) -> None:
        super().__init__(
            f"session {session_id!r} is locked by another consumer until {locked_until.to_datetime().isoformat()}: "
            "try again later, or accept the next free session",
            context=ErrorContext(queue=queue, session_id=session_id),
        )
        self.session_id = session_id
        self.locked_until = locked_until


class SessionLockLost(QueueError):
    """The session's lock is gone, and every receipt of its messages with it. Accept the session again."""

    category = Category.LOCK

    def __init__(self, session_id: str, *, queue: str | None = None) -> None:
        super().__init__(
            f"the lock on session {session_id!r} is lost: accept the session again",
            context=ErrorContext(queue=queue, session_id=session_id),
        )
        self.session_id = session_id


class SessionNotFound(QueueError):
    """The broker knows no such session."""

    def __init__(self, session_id: str, *, queue: str | None = None) -> None:
        super().__init__(
            f"session {session_id!r} does not exist: nothing was sent to it",
            context=ErrorContext(queue=queue, session_id=session_id),
        )
        self.session_id = session_id


# What the service says about itself, or does not say.


class OperationTimeout(QueueError):
    """The broker did not answer in time; whether it acted is unknown."""

    category = Category.TRANSIENT
    retry_after_s = 1.0

    def __init__(self, operation: str, timeout_s: float, *, context: ErrorContext = NOTHING_KNOWN) -> None:
        super().__init__(
            f"{operation} got no answer within {timeout_s:g} s: it may or may not have happened", context=context
        )
        self.timeout_s = timeout_s


class ConnectionFailed(QueueError):
    """The broker cannot be reached, or the link broke; whether the call was carried out is unknown."""

    category = Category.TRANSIENT
    retry_after_s = 5.0


class ServiceThrottled(QueueError):
    """The broker wants fewer calls."""

    category = Category.TRANSIENT

    def __init__(self, retry_after_s: float = 30.0, *, context: ErrorContext = NOTHING_KNOWN) -> None:
        super().__init__(f"the broker throttles: wait {retry_after_s:g} s, then send less at once", context=context)
        self.retry_after_s = retry_after_s


class AuthenticationFailed(QueueError):
    """The broker does not accept the credentials. The operator's fault."""


class AuthorizationFailed(QueueError):
    """The credentials are good and do not allow this."""

    def __init__(self, operation: str, *, context: ErrorContext = NOTHING_KNOWN) -> None:
        super().__init__(f"not allowed to {operation}: grant this identity the permission", context=context)
        self.operation = operation


class ProviderError(QueueError):
    """The broker failed in a way that none of the other kinds covers. `code` is the broker's own."""

    def __init__(self, provider: str, code: str, text: str, *, is_transient: bool) -> None:
        super().__init__(f"{provider} answered {code}: {text}")
        self.provider = provider
        self.code = code
        if is_transient:
            self.category = Category.TRANSIENT


# What a loop around calls says.


class CircuitOpen(QueueError):
    """Calls are held back after repeated failures, for `retry_after_s` more."""

    category = Category.TRANSIENT

    def __init__(self, name: str, retry_after_s: float) -> None:
        super().__init__(f"circuit {name!r} is open after repeated failures: next probe in {retry_after_s:g} s")
        self.retry_after_s = retry_after_s


class RetryTimeout(QueueError):
    """The time for an operation and all its retries ran out; the last error is its cause."""

    def __init__(self, operation: str, timeout_s: float) -> None:
        super().__init__(f"{operation} did not succeed within {timeout_s:g} s of retrying")
        self.timeout_s = timeout_s


class MaxAttemptsExceeded(QueueError):
    """Every allowed attempt failed; the last error is its cause."""

    def __init__(self, operation: str, attempts: int, last_error: BaseException) -> None:
        super().__init__(f"{operation} failed {attempts} times, at last with {type(last_error).__name__}")
        self.attempts = attempts
        self.last_error = last_error
