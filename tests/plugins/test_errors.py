import math

import pytest

from queue_runtime.plugins import (
    AuthenticationFailure,
    AuthorizationFailure,
    ErrorVerdict,
    InvalidMessage,
    NetworkTimeout,
    PermanentError,
    PermanentServiceError,
    PluginError,
    ProviderThrottling,
    RateLimitExceeded,
    StepError,
    TemporaryServiceUnavailable,
    TransientDatabaseError,
    TransientError,
    ValidationFailure,
    default_verdict,
)
from queue_runtime.providers.errors import Category, QueueError

TRANSIENT = [
    TransientError,
    TemporaryServiceUnavailable,
    NetworkTimeout,
    RateLimitExceeded,
    ProviderThrottling,
    TransientDatabaseError,
]
PERMANENT = [
    PermanentError,
    InvalidMessage,
    AuthenticationFailure,
    AuthorizationFailure,
    ValidationFailure,
    PermanentServiceError,
    StepError,
    PluginError,
]


@pytest.mark.parametrize("kind", TRANSIENT)
def test_d40_a_transient_error_is_tried_again_after_what_it_asks_for(kind: type[TransientError]) -> None:
    """Whatever its kind, a transient error keeps the wait that its raiser named."""
    assert default_verdict(kind("down", retry_after_s=7)) == ErrorVerdict(transient=True, retry_after_s=7)


@pytest.mark.parametrize("kind", PERMANENT)
def test_d40_a_permanent_error_is_not_tried_again(kind: type[Exception]) -> None:
    """Whatever its kind, a permanent error ends a message at its first attempt."""
    assert default_verdict(kind("no")) == ErrorVerdict(transient=False)


def test_d40_throttling_waits_a_minute_by_itself() -> None:
    """A throttled provider is left alone for 60 s unless it says how long."""
    assert default_verdict(ProviderThrottling("slow down")).retry_after_s == 60
    assert default_verdict(RateLimitExceeded("slow down")).retry_after_s is None


@pytest.mark.parametrize(
    "error", [KeyError("x"), TimeoutError(), RuntimeError("x"), BaseExceptionGroup("x", [OSError()])]
)
def test_d40_any_other_error_is_transient(error: BaseException) -> None:
    """An error that nobody knows may be gone the next time."""
    assert default_verdict(error) == ErrorVerdict(transient=True)


def test_a_queue_error_of_a_handler_is_judged_as_the_queue_judges_it() -> None:
    """A handler that talks to a queue itself may let its errors through."""

    class ThrottledError(QueueError):
        category = Category.TRANSIENT
        retry_after_s = 30.0

    class RefusedError(QueueError):
        category = Category.PERMANENT

    assert default_verdict(ThrottledError("x")) == ErrorVerdict(transient=True, retry_after_s=30.0)
    assert default_verdict(RefusedError("x")) == ErrorVerdict(transient=False)


@pytest.mark.parametrize("seconds", [-1, math.inf, math.nan])
def test_a_wait_that_is_no_wait_is_refused_where_it_is_made(seconds: float) -> None:
    """Neither an error nor a verdict carries a wait that a timer could not keep."""
    with pytest.raises(ValueError, match="retry_after_s is"):
        RateLimitExceeded("slow down", retry_after_s=seconds)
    with pytest.raises(ValueError, match="retry_after_s is"):
        ErrorVerdict(transient=True, retry_after_s=seconds)


def test_an_error_of_zero_seconds_asks_for_an_attempt_at_once() -> None:
    """Zero is a wait of its own, and not the lack of one."""
    assert default_verdict(ProviderThrottling("try now", retry_after_s=0)).retry_after_s == 0
