"""Messages and ids: what they are, and what they refuse to be."""

import dataclasses
import string
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.errors import InvalidFormat, OutOfRange, RequiredField, ValidationError
from queue_runtime.providers.message import Delivery, Message, MessageId, QueueName, Receipt, SessionId

PARTS = st.text(string.ascii_letters + "/%-", min_size=1, max_size=6)
NOW = Timestamp(1_700_000_000_000_000)


@pytest.mark.parametrize("name", ["a", "a" * 260, "a-b_C9", "jobs.fifo", "_x_"])
def test_a2_a_queue_name_is_taken(name: str) -> None:
    """Letters, digits, single hyphens and underscores, up to 260, and one .fifo at the end."""
    assert QueueName(name) == name
    assert str(QueueName(name)) == name


@pytest.mark.parametrize("name", ["-a", "a-", "a--b", "a.b", ".fifo", "a.fifo.fifo", "a b", "ü", "a\n", "a-.fifo"])
def test_a2_a_queue_name_of_the_wrong_form_is_refused(name: str) -> None:
    """Characters and hyphens where they may not be are named."""
    with pytest.raises(InvalidFormat) as refused:
        QueueName(name)
    assert refused.value.field == "queue_name"


@pytest.mark.parametrize("name", ["", "a" * 261])
def test_a2_a_queue_name_of_the_wrong_length_is_refused(name: str) -> None:
    """Neither nothing nor more than 260 characters is a name."""
    with pytest.raises(OutOfRange, match="queue_name"):
        QueueName(name)


def test_a3_a_prefixed_name_is_validated() -> None:
    """The joined name keeps the same rules."""
    assert QueueName.with_prefix("prod", "pulls") == "prod-pulls"
    with pytest.raises(InvalidFormat):
        QueueName.with_prefix("prod-", "pulls")


def test_a5_message_ids_are_random_or_given_and_never_empty() -> None:
    """Without an id a message gets one that no other has."""
    assert Message(b"").message_id != Message(b"").message_id
    assert Message(b"", message_id="m").message_id == MessageId("m")
    with pytest.raises(RequiredField, match="message_id"):
        Message(b"", message_id="")


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("", RequiredField),
        ("x" * 129, OutOfRange),
        ("ü", InvalidFormat),
        ("a\tb", InvalidFormat),
        ("\x7f", InvalidFormat),
    ],
)
def test_a6_a_session_id_that_breaks_a_rule_is_refused(value: str, error: type[ValidationError]) -> None:
    """Empty, long and unprintable session ids are refused, each as what it is."""
    with pytest.raises(error) as refused:
        SessionId(value)
    assert refused.value.field == "session_id"


def test_a6_printable_ascii_up_to_128_is_a_session_id() -> None:
    """Space and punctuation count as printable."""
    assert SessionId(" ~" * 64) == " ~" * 64


def test_a7_a_session_id_of_parts_is_validated() -> None:
    """The parts are joined with slashes, and the rules hold for the whole."""
    assert SessionId.from_parts("octo", "repo", "pull", "17") == "octo/repo/pull/17"
    assert SessionId.from_parts("octo", "repo", "branch", "feature/x") == "octo/repo/branch/feature/x"
    with pytest.raises(RequiredField):
        SessionId.from_parts("octo", "", "pull", "17")
    with pytest.raises(OutOfRange):
        SessionId.from_parts("octo", "repo", "pull", "1" * 128)
    with pytest.raises(InvalidFormat):
        SessionId.from_parts("octo", "repo", "branch", "größe")


@given(st.tuples(PARTS, PARTS, PARTS, PARTS), st.tuples(PARTS, PARTS, PARTS, PARTS))
def test_different_parts_give_different_session_ids(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    """No slash or percent sign in a part can make two entities one session."""
    assert (SessionId.from_parts(*one) == SessionId.from_parts(*other)) == (one == other)


def test_a_message_takes_its_fields_by_name_and_knows_no_others() -> None:
    """Bare strings become typed ids; a misspelt field is an error and not ignored."""
    message = Message(b"x", message_id="m", session_id="s", correlation_id="c", content_type="t")

    assert type(message.session_id) is SessionId
    assert type(message.message_id) is MessageId
    with pytest.raises(TypeError, match="sesion_id"):
        Message(b"x", sesion_id="s")  # pyright: ignore[reportCallIssue]


def test_a_message_can_be_copied_with_changes() -> None:
    """`dataclasses.replace` keeps what it is not told to change, and validates."""
    message = Message(b"x", message_id="m", session_id="s", attributes={"a": "b"})

    changed = dataclasses.replace(message, body=b"y")

    assert (changed.body, changed.message_id, changed.attributes) == (b"y", "m", {"a": "b"})
    with pytest.raises(OutOfRange):
        dataclasses.replace(message, session_id="x" * 129)


def test_a22_a_message_refuses_what_no_broker_could_carry() -> None:
    """Text bodies, dead times to live, empty deduplication ids and attributes that are no strings are refused."""
    with pytest.raises(InvalidFormat, match="must be bytes, not str"):
        Message("text")  # pyright: ignore[reportArgumentType]
    with pytest.raises(OutOfRange, match="time_to_live"):
        Message(b"", time_to_live=timedelta(0))
    with pytest.raises(RequiredField, match="deduplication_id"):
        Message(b"", deduplication_id="")
    with pytest.raises(InvalidFormat, match="'n'"):
        Message(b"", attributes={"n": 1})  # pyright: ignore[reportArgumentType]
    with pytest.raises(RequiredField, match="attributes"):
        Message(b"", attributes={"": "x"})


def test_a_message_does_not_share_its_senders_attributes() -> None:
    """A mapping that its owner changes afterwards changes no message."""
    attributes = {"a": "1"}
    message = Message(b"", attributes=attributes)
    attributes["a"] = "2"

    assert message.attributes == {"a": "1"}


def test_a_messages_size_counts_its_attributes_in_bytes() -> None:
    """What limits count is what travels: bytes of UTF-8, names included."""
    assert Message(b"123", attributes={"ü": "€"}).size_bytes == 3 + 2 + 3


def test_bodies_and_receipts_stay_out_of_every_repr() -> None:
    """A log line with a delivery in it shows neither what it carries nor what settles it."""
    receipt = Receipt("secret-handle", "m1", NOW, "memory")
    delivery = Delivery(QueueName("q"), Message(b"secret-body"), receipt, 1, 1, NOW, None, NOW, NOW)

    assert "secret" not in repr(delivery)
    assert "secret" not in receipt.digest


def test_a10_a_receipt_knows_when_it_ends() -> None:
    """It is expired from its very end on, and the time left is never negative."""
    receipt = Receipt("h", "m1", Timestamp(NOW + 2_000_000), "memory")

    assert not receipt.is_expired(NOW)
    assert receipt.time_left_s(NOW) == 2.0
    assert receipt.is_expired(receipt.expires_at)
    assert receipt.time_left_s(Timestamp(NOW + 9_000_000)) == 0.0


def test_a16_only_more_than_the_bound_exceeds_it() -> None:
    """The third delivery does not exceed three."""
    delivery = Delivery(QueueName("q"), Message(b""), Receipt("h", "m", NOW, "memory"), 3, 1, NOW, None, NOW, NOW)

    assert not delivery.exceeds(3)
    assert delivery.exceeds(2)


def test_a9_instants_are_utc_and_never_naive() -> None:
    """A datetime without a zone has no instant; one with a zone comes back in UTC."""
    at = datetime(2026, 1, 31, 12, 0, 0, 123_456, tzinfo=UTC)

    assert Timestamp.from_datetime(at).to_datetime() == at
    with pytest.raises(ValueError, match="time zone"):
        Timestamp.from_datetime(at.replace(tzinfo=None))
