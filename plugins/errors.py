"""What a handler raises to say whether another attempt can help, and what is wrong with a plugin itself.

Any exception that is none of these, and that no `queue_runtime_classify_error` hook knows, is transient: it is tried
again until the attempts are spent. Texts end up in the journal and in the dead letter, so they name the object and the
next step and never hold a body or a secret.
"""

# ruff: noqa: N818  the kinds are the words of the field; "Error" behind each would say nothing more
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from queue_runtime.providers.errors import QueueError

__all__ = [
    "AuthenticationFailure",
    "AuthorizationFailure",
    "ErrorVerdict",
    "InvalidMessage",
    "NetworkTimeout",
    "PermanentError",
    "PermanentServiceError",
    "PluginError",
    "ProviderThrottling",
    "RateLimitExceeded",
    "StepError",
    "TemporaryServiceUnavailable",
    "TransientDatabaseError",
    "TransientError",
    "ValidationFailure",
    "default_verdict",
]


class PluginError(Exception):
    """A plugin cannot be used as it is written. Raised at registration, or when a hook answers what it may not."""


class TransientError(Exception):
    """Raised by a handler: the same message may succeed later.

    Args:
        text: what failed, and what to do about it.
        retry_after_s: seconds to wait before the next attempt, 0 or more; None leaves it to the engine's backoff.

    Raises:
        ValueError: `retry_after_s` is negative, infinite or not a number.
    """

    DEFAULT_RETRY_AFTER_S: ClassVar[float | None] = None

    def __init__(self, text: str = "", *, retry_after_s: float | None = None) -> None:
        super().__init__(text)
        self.retry_after_s = _checked_wait(self.DEFAULT_RETRY_AFTER_S if retry_after_s is None else retry_after_s)


class TemporaryServiceUnavailable(TransientError):
    """A service that the handler needs is down for now."""


class NetworkTimeout(TransientError):
    """A call took longer than the handler was willing to wait."""


class RateLimitExceeded(TransientError):
    """A service refuses more calls for now; pass its `Retry-After` as `retry_after_s`."""


class ProviderThrottling(TransientError):
    """A cloud provider throttles this account; without a `retry_after_s` the next attempt waits 60 s."""

    DEFAULT_RETRY_AFTER_S = 60.0


class TransientDatabaseError(TransientError):
    """A database refused for now: a deadlock, a serialisation failure, a failover."""


class PermanentError(Exception):
    """Raised by a handler: this message can never succeed. It is dead-lettered at once, whatever attempts are left."""


class InvalidMessage(PermanentError):
    """The message is not what its handler takes. The router raises it for a body that does not decode."""


class AuthenticationFailure(PermanentError):
    """A service does not accept the handler's credentials."""


class AuthorizationFailure(PermanentError):
    """A service knows the handler and does not let it do this."""


class ValidationFailure(PermanentError):
    """The message decodes, and asks for what the handler's rules forbid."""


class PermanentServiceError(PermanentError):
    """A service refused in a way that will not change."""


class StepError(PermanentError):
    """A `ctx.step` cannot be recorded: its name was used in this attempt, or its result is not one that is recorded."""


@dataclass(frozen=True, slots=True)
class ErrorVerdict:
    """Whether another attempt can help, and how many seconds to wait first (None: the engine's backoff decides).

    Raises:
        ValueError: `retry_after_s` is negative, infinite or not a number.
    """

    transient: bool
    retry_after_s: float | None = None

    def __post_init__(self) -> None:
        _checked_wait(self.retry_after_s)


def default_verdict(error: BaseException) -> ErrorVerdict:
    """Judge an error that no plugin has judged: by its class if it is ours, else transient."""
    match error:
        case TransientError():
            return ErrorVerdict(transient=True, retry_after_s=error.retry_after_s)
        case PermanentError() | PluginError():
            return ErrorVerdict(transient=False)
        case QueueError():
            return ErrorVerdict(transient=error.transient, retry_after_s=error.retry_after_s)
        case _:
            return ErrorVerdict(transient=True)


def _checked_wait(seconds: float | None) -> float | None:
    if seconds is not None and not (math.isfinite(seconds) and seconds >= 0):
        msg = f"retry_after_s is {seconds!r}; it must be a finite number of seconds, 0 or more, or None"
        raise ValueError(msg)
    return seconds
