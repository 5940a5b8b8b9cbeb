"""The error taxonomy: who has to act, how long to wait, and nothing secret."""

from dataclasses import replace

import pytest

from queue_runtime.providers import errors
from queue_runtime.providers.clock import SystemClock, Timestamp
from queue_runtime.providers.errors import Category, ErrorContext, QueueError

NOW = Timestamp(1_700_000_000_000_000)
CONTEXT = ErrorContext(queue="pulls", message_id="m1", operation="settle")


def _redrive_failed(cause: QueueError, *, was_sent: bool = False) -> QueueError:
    return errors.DeadLetterError("m1", cause, was_sent=was_sent, context=CONTEXT)


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
    (errors.InvalidSettings(["QUEUE_PROVIDER: is missing"]), Category.CONFIG, None),
    (errors.UnsupportedProvider("x", "is not known"), Category.CONFIG, None),
    (errors.RequiredField("queue_name"), Category.PERMANENT, None),
    (errors.InvalidFormat("queue_name", "is odd"), Category.PERMANENT, None),
    (errors.OutOfRange("queue_name", "is long"), Category.PERMANENT, None),
    (errors.UnsupportedOperation("peek", "SQS does not"), Category.PERMANENT, None),
    (errors.ProviderClosed("memory"), Category.PERMANENT, None),
    (errors.CircuitOpen("provider", 12.0), Category.TRANSIENT, 12.0),
    (errors.RetryTimeout("send", 300), Category.PERMANENT, None),
    (errors.MaxAttemptsExceeded("send", 3, KeyError("secret")), Category.PERMANENT, None),
    (errors.ShutdownInProgress("run"), Category.PERMANENT, None),
    (_redrive_failed(errors.QueueNotFound("pulls")), Category.PERMANENT, None),
    (_redrive_failed(errors.ServiceThrottled(7)), Category.TRANSIENT, 7.0),
    (_redrive_failed(errors.InvalidReceipt("m1", "abc"), was_sent=True), Category.LOCK, None),
    (errors.CryptoError("odd"), Category.CRYPTO, None),
    (errors.EncryptionFailed("k1"), Category.CRYPTO, None),
    (errors.DecryptionFailed("k1"), Category.CRYPTO, None),
    (errors.KeyNotFound("k1"), Category.TRANSIENT, 30.0),
    (errors.MessageExpired(NOW, 300), Category.CRYPTO, None),
    (errors.UnsupportedVersion(2), Category.CRYPTO, None),
    (errors.InvalidNonceSize(12, 8), Category.CRYPTO, None),
    (errors.InvalidEnvelope("ends inside its key's name"), Category.CRYPTO, None),
    (errors.KeyProviderError("k1"), Category.TRANSIENT, 5.0),
    (errors.NonceReused("k1"), Category.CRYPTO, None),
    (errors.UnencryptedMessage("m1"), Category.PERMANENT, None),
]
# What each text of the newer kinds has to name: the object, the value and the next step.
TEXTS: list[tuple[QueueError, tuple[str, ...]]] = [
    (errors.ShutdownInProgress("run"), ("engine", "run", "next run")),
    (_redrive_failed(errors.QueueNotFound("pulls")), ("'m1'", "'pulls'", "not sent", "does not exist", "redrive it")),
    (_redrive_failed(errors.LockLost("gone"), was_sent=True), ("'m1'", "was sent", "still", "gone", "redrive it")),
    (errors.EncryptionFailed("k1"), ("'k1'", "check")),
    (errors.DecryptionFailed("k1"), ("'k1'", "compare the keys")),
    (errors.KeyNotFound("k1"), ("'k1'", "add it again")),
    (errors.MessageExpired(NOW, 300), ("2023-11-14T22:13:20+00:00", "300 s", "maximum age")),
    (errors.UnsupportedVersion(2), ("version 2", "update")),
    (errors.InvalidNonceSize(12, 8), ("8 bytes", "12", "sender")),
    (errors.InvalidEnvelope("ends too soon"), ("ends too soon", "sender")),
    (errors.KeyProviderError("k1"), ("'k1'", "key store")),
    (errors.NonceReused("k1"), ("'k1'", "sender")),
    (errors.UnencryptedMessage("m1"), ("'m1'", "encrypt at the sender")),
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


@pytest.mark.parametrize(("error", "parts"), TEXTS, ids=lambda value: type(value).__name__)
def test_a_text_names_the_object_the_value_and_the_next_step(error: QueueError, parts: tuple[str, ...]) -> None:
    """Whoever reads only the text knows what it is about and what to do."""
    assert [part for part in parts if part not in str(error)] == []


def test_d37_every_error_of_encryption_is_one_family() -> None:
    """One `except` catches all of them, and only a missing key may pass by itself."""
    family = {type(error) for error, _, _ in KINDS if isinstance(error, errors.CryptoError)}

    assert family == {errors.CryptoError, *errors.CryptoError.__subclasses__()}
    assert [error for error, _, _ in KINDS if isinstance(error, errors.CryptoError) and error.transient] == [
        error for error, _, _ in KINDS if isinstance(error, errors.KeyNotFound | errors.KeyProviderError)
    ]


def test_errors_of_validation_are_value_errors() -> None:
    """Whoever validates with these types, pydantic for one, need not know ours."""
    assert isinstance(errors.RequiredField("x"), ValueError)


def test_d42_an_error_carries_what_it_is_about() -> None:
    """Queue, message and operation can be read without parsing a text."""
    assert errors.InvalidReceipt("m1", "abc", context=CONTEXT).context == CONTEXT
    assert errors.QueueNotFound("pulls").context.queue == "pulls"
    assert errors.ShutdownInProgress("run", context=CONTEXT).context == ErrorContext("pulls", "m1", None, "run")
    assert "'pulls'" in str(errors.QueueNotFound("pulls"))


@pytest.mark.parametrize("error", [error for error, _, _ in KINDS], ids=lambda error: type(error).__name__)
def test_d42_every_error_says_when_it_was_made(error: QueueError) -> None:
    """The time is an instant that has been, on the machine's clock."""
    assert error.context.at is not None
    assert NOW < error.context.at <= SystemClock().now()


def test_d42_a_time_that_is_passed_is_kept() -> None:
    """Who has a clock of its own says when; contexts are compared by what they are about."""
    error = errors.LockLost("gone", context=replace(CONTEXT, at=NOW))

    assert error.context.at == NOW
    assert error.context == CONTEXT
