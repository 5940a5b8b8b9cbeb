"""What crosses the socket arrives as it was, types included."""

import contextlib
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queue_runtime.providers import errors
from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.errors import ErrorContext, SerializationError
from queue_runtime.providers.memory.wire import decode, encode
from queue_runtime.providers.message import DeadLetter, Delivery, Message, QueueName, Receipt, SessionId
from queue_runtime.providers.port import Address, QueueCounts, Sent, SettleKind, Settlement

NOW = Timestamp(1_700_000_000_000_000)

MESSAGES = st.builds(
    Message,
    st.binary(max_size=50),
    message_id=st.text(min_size=1, max_size=10),
    session_id=st.none() | st.text("ab /~", min_size=1, max_size=10),
    correlation_id=st.none() | st.text(max_size=10),
    content_type=st.none() | st.text(max_size=10),
    attributes=st.dictionaries(st.text(min_size=1, max_size=5), st.text(max_size=5), max_size=3),
    time_to_live=st.none() | st.timedeltas(min_value=timedelta(microseconds=1)),
    deduplication_id=st.none() | st.text(min_size=1, max_size=5),
)


@given(MESSAGES)
def test_a_message_survives_the_wire(message: Message) -> None:
    """Every field of any message, in the types that its constructor made."""
    again = decode(encode(message))

    assert isinstance(again, Message)
    assert again == message
    assert type(again.message_id) is type(message.message_id)
    assert type(again.session_id) is type(message.session_id)


@pytest.mark.parametrize(
    "value",
    [
        Address(QueueName("q"), dead_letters=True),
        Receipt("h", "m1", NOW, "memory"),
        Settlement(SettleKind.DEAD_LETTER, Receipt("h", "m1", NOW, "memory"), 1.5, "r", "d", (("a", "b"),)),
        Sent("m", None),
        QueueCounts(1, 2, 3, 4),
        Delivery(
            QueueName("q"),
            Message(b"\x00", session_id="s"),
            Receipt("h", "m1", NOW, "memory"),
            2,
            2**64 - 1,
            NOW,
            None,
            NOW,
            NOW,
            DeadLetter("r", "d", NOW, 3, (("a", "b"),)),
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_of_the_port_survive_the_wire(value: object) -> None:
    """They compare equal, and the words among them are the words themselves."""
    again = decode(encode(value))

    assert again == value
    if isinstance(again, Settlement):
        assert again.kind is SettleKind.DEAD_LETTER
    if isinstance(again, Delivery):
        assert type(again.queue) is QueueName
        assert type(again.receipt.expires_at) is Timestamp
        assert type(again.message.session_id) is SessionId


@pytest.mark.parametrize(
    "error",
    [
        errors.QueueNotFound("q", operation="send"),
        errors.MessageTooLarge(11, 10, context=ErrorContext(queue="q")),
        errors.SessionLocked("s", NOW),
        errors.ServiceThrottled(7.5),
        errors.ProviderError("x", "Busy", "later", is_transient=True),
        errors.RequiredField("session_id"),
        errors.InvalidReceipt("m", "abc"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_survive_the_wire(error: errors.QueueError) -> None:
    """Class, text, category, wait and everything that they carry."""
    again = decode(encode(error))

    assert type(again) is type(error)
    assert str(again) == str(error)
    assert isinstance(again, errors.QueueError)
    assert vars(again) == vars(error)
    assert (again.category, again.retry_after_s) == (error.category, error.retry_after_s)


@given(st.binary(max_size=40))
def test_arbitrary_bytes_decode_or_say_that_they_do_not(data: bytes) -> None:
    """Nothing but `SerializationError` is raised for bytes that are not ours."""
    with contextlib.suppress(SerializationError):
        decode(data)
