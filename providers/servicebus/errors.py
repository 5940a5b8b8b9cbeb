"""The table from what the SDK raises to our errors. Nothing else in this folder decides by an SDK's error.

The SDK marks missing rights as worth another try; for us they are the operator's to grant. A disabled queue may be
enabled again, so that one is worth another try, later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from azure.core.exceptions import ClientAuthenticationError
from azure.servicebus.exceptions import (
    AutoLockRenewFailed,
    AutoLockRenewTimeout,
    MessageAlreadySettled,
    MessageLockLostError,
    MessageNotFoundError,
    MessageSizeExceededError,
    MessagingEntityAlreadyExistsError,
    MessagingEntityDisabledError,
    MessagingEntityNotFoundError,
    OperationTimeoutError,
    ServiceBusAuthenticationError,
    ServiceBusAuthorizationError,
    ServiceBusCommunicationError,
    ServiceBusConnectionError,
    ServiceBusError,
    ServiceBusQuotaExceededError,
    ServiceBusServerBusyError,
    SessionCannotBeLockedError,
    SessionLockLostError,
)

from queue_runtime.providers.clock import SystemClock, Timestamp
from queue_runtime.providers.errors import (
    AuthenticationFailed,
    AuthorizationFailed,
    ConfigurationError,
    ConnectionFailed,
    ErrorContext,
    InvalidReceipt,
    LockLost,
    MessageNotFound,
    MessageTooLarge,
    OperationTimeout,
    ProviderError,
    QueueError,
    QueueNotFound,
    RequiredField,
    ServiceThrottled,
    SessionLocked,
    SessionLockLost,
)
from queue_runtime.providers.message import Message, QueueName, Receipt
from queue_runtime.providers.servicebus.settings import PROVIDER

__all__ = ["About", "condition_of", "error_of"]

BUSY_S = 10.0  # Source: Service Bus, "Throttling operations": wait 10 seconds after server-busy
DISABLED_S = 30.0
QUOTA_S = 30.0
NOT_FOUND, SERVER_FAULT = 404, 500
NOT_ALLOWED = "amqp:not-allowed"


@dataclass(frozen=True, slots=True)
class About:
    """What a call, or one item of it, was about. `locked_until`: when a session that is somebody else's may be free."""

    operation: str
    queue: QueueName | None
    receipt: Receipt | None = None
    message: Message | None = None
    session_id: str | None = None
    limit: int = 0
    timeout_s: float = 0.0
    locked_until: Timestamp | None = None

    @property
    def context(self) -> ErrorContext:
        """The same, for an error."""
        message_id = None if self.message is None else str(self.message.message_id)
        queue = None if self.queue is None else str(self.queue)
        return ErrorContext(queue=queue, message_id=message_id, session_id=self.session_id, operation=self.operation)


def condition_of(error: BaseException) -> str:
    """Return the service's own name of what went wrong; empty if it gave none."""
    condition: object = getattr(error, "_condition", None)  # the SDK shows it in its text only
    return condition if isinstance(condition, str) else ""


def _not_found(about: About, error: Exception) -> QueueError:
    del error
    return QueueNotFound(str(about.queue), operation=about.operation)


def _receipt(about: About, error: Exception) -> QueueError:
    receipt = about.receipt
    if receipt is None:
        return LockLost(f"the lock is lost, says the service ({type(error).__name__})", context=about.context)
    return InvalidReceipt(receipt.provider_id, receipt.digest, context=about.context)


def _no_message(about: About, error: Exception) -> QueueError:
    if about.receipt is not None:
        return _receipt(about, error)
    return MessageNotFound("", context=about.context)


def _session_lost(about: About, error: Exception) -> QueueError:
    del error
    return SessionLockLost(about.session_id or "", queue=str(about.queue))


def _session_locked(about: About, error: Exception) -> QueueError:
    del error
    until = about.locked_until or SystemClock().now()
    return SessionLocked(about.session_id or "", until, queue=str(about.queue))


def _timed_out(about: About, error: Exception) -> QueueError:
    del error
    return OperationTimeout(about.operation, about.timeout_s, context=about.context)


def _busy(about: About, error: Exception) -> QueueError:
    del error
    return ServiceThrottled(BUSY_S, context=about.context)


def _quota(about: About, error: Exception) -> QueueError:
    """Sizes and connections have one condition; both pass when others finish, and neither at once."""
    del error
    return ServiceThrottled(QUOTA_S, context=about.context)


def _too_large(about: About, error: Exception) -> QueueError:
    del error
    size = about.message.size_bytes if about.message is not None else about.limit + 1
    return MessageTooLarge(size, about.limit, context=about.context)


def _unauthenticated(about: About, error: Exception) -> QueueError:
    """A link to what does not exist is refused with its token; only the status says so."""
    status: object = getattr(getattr(error, "inner_exception", None), "status_code", None)
    if status == NOT_FOUND:
        return _not_found(about, error)
    if isinstance(status, int) and status >= SERVER_FAULT:
        return _unreachable(about, error)
    text = "the service does not accept these credentials: renew them, and look at the clock of this host"
    return AuthenticationFailed(text, context=about.context)


def _unauthorised(about: About, error: Exception) -> QueueError:
    del error
    return AuthorizationFailed(f"{about.operation} on queue {str(about.queue)!r}", context=about.context)


def _unreachable(about: About, error: Exception) -> QueueError:
    text = f"the link to the service broke or never was ({type(error).__name__}): the call may have been carried out"
    return ConnectionFailed(text, context=about.context)


def _disabled(about: About, error: Exception) -> QueueError:
    del error
    text = f"queue {str(about.queue)!r} is disabled: enable it"
    mapped = ProviderError(PROVIDER, "entity-disabled", text, is_transient=True, context=about.context)
    mapped.retry_after_s = DISABLED_S
    return mapped


def _exists(about: About, error: Exception) -> QueueError:
    del error
    text = f"there is a {str(about.queue)!r} already"
    return ProviderError(PROVIDER, "entity-already-exists", text, is_transient=False, context=about.context)


def _lock_lost(about: About, error: Exception) -> QueueError:
    return LockLost(f"the lock could not be kept ({type(error).__name__})", context=about.context)


# The first that fits counts; the SDK's classes do not derive from one another but for their root.
_TABLE: tuple[tuple[type[Exception], Callable[[About, Exception], QueueError]], ...] = (
    (MessagingEntityNotFoundError, _not_found),
    (MessagingEntityDisabledError, _disabled),
    (MessagingEntityAlreadyExistsError, _exists),
    (MessageLockLostError, _receipt),
    (MessageAlreadySettled, _receipt),
    (MessageNotFoundError, _no_message),
    (SessionLockLostError, _session_lost),
    (SessionCannotBeLockedError, _session_locked),
    (OperationTimeoutError, _timed_out),
    (TimeoutError, _timed_out),
    (ServiceBusServerBusyError, _busy),
    (ServiceBusQuotaExceededError, _quota),
    (MessageSizeExceededError, _too_large),
    (ServiceBusAuthenticationError, _unauthenticated),
    (ServiceBusAuthorizationError, _unauthorised),
    (ClientAuthenticationError, _unauthenticated),
    (ServiceBusConnectionError, _unreachable),
    (ServiceBusCommunicationError, _unreachable),
    (AutoLockRenewFailed, _lock_lost),
    (AutoLockRenewTimeout, _lock_lost),
    (OSError, _unreachable),
)

_PERMANENT = frozenset(
    {NOT_ALLOWED, "amqp:not-implemented", "amqp:invalid-field", "com.microsoft:argument-error", "amqp:decode-error"}
)


def error_of(about: About, error: Exception) -> QueueError:
    """Return our error for what the SDK raised; what it is not known to raise is taken for one that may pass."""
    if isinstance(error, QueueError):
        return error
    for kind, mapped in _TABLE:
        if isinstance(error, kind):
            return mapped(about, error)
    condition = condition_of(error)
    if condition == NOT_ALLOWED and about.message is not None and about.message.session_id is None:
        return RequiredField("session_id", f"is required: queue {str(about.queue)!r} has sessions")
    if isinstance(error, ValueError) and not isinstance(error, ServiceBusError):
        text = f"the SDK refuses the settings or the call ({type(error).__name__})"
        return ConfigurationError(text, context=about.context)
    code, text = condition or type(error).__name__, "the service or its SDK failed"
    return ProviderError(PROVIDER, code, text, is_transient=condition not in _PERMANENT, context=about.context)
