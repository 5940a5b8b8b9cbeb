"""The error taxonomy: who has to act, how long to wait, and nothing secret."""

import pytest

from queue_runtime.providers import errors
from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.errors import Category, ErrorContext, QueueError

NOW = Timestamp(1_700_000_000_000_000)
CONTEXT = ErrorContext(queue="pulls", message_id="m1", operation="settle")

KINDS: list[tuple[QueueError, Category, float | None]] = [
    (errors.QueueNotFound("pulls"), Category.PERMANENT, None),
    (errors.InvalidReceipt("m1", "abc", context=CONTEXT), Category.LOCK, None),
    (errors.MessageNotFound("m1", context=CONTEXT), Category.PERMANENT, None),
    (errors.LockLost("the lock on message 'm1' ended"), Category.LOCK, None),
    (errors.SessionLocked("s", NOW), Category.TRANSIENT, 5.0),
    (errors.SessionLockLost("s"), Category.LOCK, None),
    (errors.SessionNotFound("s"), Category.PERMANENT, None),
    (errors.OperationTimeout("send", 1.5), Category.TRANSIENT, 1.0),
    (errors.ConnectionFailed("down"), Category.TRANSIENT, 5.0),
    (errors.ServiceThrottled(), Category.TRANSIENT, 30.0),
    (errors.ServiceThrottled(7), Category.TRANSIENT, 7.0),
    (errors.QueueFull("pulls", 10), Category.TRANSIENT, 5.0),
    (errors.AuthenticationFailed("key"), Category.PERMANENT, None),
    (errors.AuthorizationFailed("send to 'pulls'"), Category.PERMANENT, None),
    (errors.MessageTooLarge(11, 10), Category.PERMANENT, None),
    (errors.BatchTooLarge(11, 10), Category.PERMANENT, None),
    (errors.InvalidMessage("no envelope"), Category.PERMANENT, None),
    (errors.SerializationError("no msgpack"), Category.PERMANENT, None),
    (errors.ProviderError("aws", "Busy", "try later", is_transient=True), Category.TRANSIENT, None),
    (errors.ProviderError("aws", "Odd", "never seen", is_transient=False), Category.PERMANENT, None),
    (errors.ConfigurationError("wrong"), Category.CONFIG, None),
    (errors.UnsupportedProvider("x", "is not known"), Category.CONFIG, None),
    (errors.RequiredField("queue_name"), Category.PERMANENT, None),
    (errors.InvalidFormat("queue_name", "is odd"), Category.PERMANENT, None),
    (errors.OutOfRange("queue_name", "is long"), Category.PERMANENT, None),
    (errors.UnsupportedOperation("peek", "SQS does not"), Category.PERMANENT, None),
    (errors.ProviderClosed("memory"), Category.PERMANENT, None),
    (errors.CircuitOpen("provider", 12.0), Category.TRANSIENT, 12.0),
    (errors.RetryTimeout("send", 300), Category.PERMANENT, None),
    (errors.MaxAttemptsExceeded("send", 3, KeyError("secret")), Category.PERMANENT, None),
]


@pytest.mark.parametrize(("error", "category", "retry_after_s"), KINDS, ids=lambda value: type(value).__name__)
def test_every_error_says_who_has_to_act_and_when(
    error: QueueError, category: Category, retry_after_s: float | None
) -> None:
    """Category, the wait, and whether a repetition helps are those of the taxonomy."""
    assert error.category is category
    assert error.retry_after_s == retry_after_s
    assert error.transient == (category is Category.TRANSIENT)
    assert "secret" not in str(error)


def test_every_kind_of_error_is_covered_by_the_table() -> None:
    """A kind that is added without a row here fails."""
    tested = {type(error).__name__ for error, _, _ in KINDS}
    kinds = {
        name for name in errors.__all__ if name not in {"Category", "ErrorContext", "QueueError", "ValidationError"}
    }

    assert kinds == tested


def test_errors_of_validation_are_value_errors() -> None:
    """Whoever validates with these types, pydantic for one, need not know ours."""
    assert isinstance(errors.RequiredField("x"), ValueError)


def test_d42_an_error_carries_what_it_is_about() -> None:
    """Queue, message and operation can be read without parsing a text."""
    assert errors.InvalidReceipt("m1", "abc", context=CONTEXT).context == CONTEXT
    assert errors.QueueNotFound("pulls").context.queue == "pulls"
    assert "'pulls'" in str(errors.QueueNotFound("pulls"))
