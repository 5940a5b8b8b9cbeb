"""What a broker says about queues, messages and locks, and about itself."""

# ruff: noqa: N818 - errors are named for what happened, in the words of the brokers' own documentation

from __future__ import annotations

from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.errors.root import NOTHING_KNOWN, Category, ErrorContext, QueueError

__all__ = [
    "AuthenticationFailed",
    "AuthorizationFailed",
    "ConnectionFailed",
    "InvalidReceipt",
    "LockLost",
    "MessageNotFound",
    "OperationTimeout",
    "ProviderError",
    "QueueFull",
    "QueueNotFound",
    "ServiceThrottled",
    "SessionLockLost",
    "SessionLocked",
    "SessionNotFound",
]


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

    def __init__(
        self, provider: str, code: str, text: str, *, is_transient: bool, context: ErrorContext = NOTHING_KNOWN
    ) -> None:
        super().__init__(f"{provider} answered {code}: {text}", context=context)
        self.provider = provider
        self.code = code
        if is_transient:
            self.category = Category.TRANSIENT
