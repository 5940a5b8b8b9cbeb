"""Bodies are encrypted and opened again, and nothing that was altered, replayed or locked otherwise is."""

import logging
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queue_runtime.plugins.encryption import Encryption, Envelope, MemoryKeys
from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.errors import (
    ConfigurationError,
    DecryptionFailed,
    EncryptionFailed,
    KeyNotFound,
    MessageExpired,
    NonceReused,
    UnencryptedMessage,
)
from queue_runtime.providers.message import Message, SessionId
from queue_runtime.providers.redrive import redriven
from tests.plugins.encrypted import (
    BODY,
    QUEUE,
    S,
    cipher,
    delivery,
    key,
    message,
    now,
    other_id,
    other_session,
    refused,
    sealed,
)
from tests.providers.fake_clock import START, FakeClock

LOGGER = "queue_runtime.encryption"
texts = st.text(min_size=1, max_size=40)
session_ids = st.none() | st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=40)


@given(body=st.binary(max_size=300), message_id=texts, session_id=session_ids, correlation_id=st.none() | texts)
def test_L24_what_was_encrypted_opens_to_the_same_message(
    body: bytes, message_id: str, session_id: str | None, correlation_id: str | None
) -> None:
    """Any body, also one that is marked as encrypted itself, with any ids beside it."""
    both = cipher(plain="reject")
    for given_body in (body, b"QRE1" + body):
        sent = Message(given_body, message_id=message_id, session_id=session_id, correlation_id=correlation_id)
        travels = now(both.seal(QUEUE, sent))

        opened = now(both.open(delivery(travels)))

        assert opened.message == sent
        assert opened.as_sent == travels


def test_L30_only_the_body_is_encrypted() -> None:
    """Everything beside it is as it was, and the plaintext is nowhere."""
    sent = message()

    travels = now(cipher().seal(QUEUE, sent))

    assert replace(travels, body=BODY) == sent
    assert travels.body.startswith(b"QRE1\x01")
    assert BODY not in travels.body
    assert len(travels.body) == len(BODY) + 4 + 1 + 2 + len("k1") + 8 + 12 + 16


# --- age ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("minutes", "is_taken"), [(2, True), (5, True), (10, False)])
def test_L26_what_was_encrypted_too_long_ago_isrefused(minutes: int, *, is_taken: bool) -> None:
    """The broker took it within the limit, or it is refused with both figures. Without a limit any age is taken."""
    arrived = sealed(cipher())
    late = replace(arrived, enqueued_at=Timestamp(START + minutes * 60 * S))

    assert now(cipher().open(late)).message.body == BODY
    if is_taken:
        assert now(cipher(max_age_s=300.0).open(late)).message.body == BODY
        return
    error = refused(cipher(max_age_s=300.0), late)

    assert isinstance(error, MessageExpired)
    assert (error.encrypted_at, error.max_age_s) == (START, 300.0)
    assert not error.transient


def test_L26_a_backlog_a_retry_and_a_redelivery_are_no_age() -> None:
    """What counts is when the broker took it; where that is not told, when it was received first."""
    receiver, arrived = cipher(max_age_s=300.0), sealed(cipher())
    day_later = Timestamp(START + 86_400 * S)
    redelivered = replace(arrived, delivered_at=day_later, first_delivered_at=day_later, delivery_count=9)
    untold = replace(redelivered, enqueued_at=None)

    assert now(receiver.open(redelivered, received_at=day_later)).message.body == BODY
    assert now(receiver.open(untold, received_at=Timestamp(START + 60 * S))).message.body == BODY
    assert isinstance(refused(receiver, untold), MessageExpired)


def test_L26_the_future_is_refused_beyond_the_skew() -> None:
    """Clocks may be a minute apart."""
    arrived = sealed(cipher())
    soon, early = Timestamp(START - 59 * S), Timestamp(START - 61 * S)

    assert now(cipher(max_age_s=300.0).open(arrived, received_at=soon)).message.body == BODY
    with pytest.raises(MessageExpired):
        now(cipher(max_age_s=300.0).open(arrived, received_at=early))


def test_L26_what_is_sent_for_later_is_valid_from_then() -> None:
    """A scheduled message is as old as its delay when it arrives, and is not to be used before."""
    due = Timestamp(START + 3_600 * S)
    travels = now(cipher().seal(QUEUE, message(), at=due))
    receiver = cipher(max_age_s=300.0)

    assert now(receiver.open(delivery(travels, enqueued_at=due, received_at=due))).message.body == BODY
    assert now(receiver.open(delivery(travels, enqueued_at=START, received_at=due))).message.body == BODY
    with pytest.raises(MessageExpired):
        now(receiver.open(delivery(travels)))


# --- keys --------------------------------------------------------------------------------------------------------


def test_L27_keys_rotate_without_interruption() -> None:
    """The newest key encrypts, older ones open, and the key's name is in the body."""
    keys = MemoryKeys((key("a", 1),))
    both = Encryption(keys)
    before = sealed(both)
    keys.add(key("b", 2))
    after = sealed(both)

    assert Envelope.parse(before.message.body).key_id == "a"
    assert Envelope.parse(after.message.body).key_id == "b"
    assert [now(both.open(arrived)).message.body for arrived in (before, after)] == [BODY, BODY]

    keys.remove("a")

    assert now(both.open(after)).message.body == BODY
    assert isinstance(refused(both, before), KeyNotFound)


def test_L28_an_unknown_key_is_named_and_may_still_come() -> None:
    """It is no failed tag: keys reach senders and receivers one after the other."""
    error = refused(cipher(key("b")), sealed(cipher(key("a"))))

    assert isinstance(error, KeyNotFound)
    assert error.key_id == "a"
    assert error.transient
    assert "add it again" in str(error)
    assert error.context.message_id == "m1"


def test_without_a_key_nothing_is_sent() -> None:
    """Plain is no substitute; an expired key encrypts no more, and opens still."""
    clock = FakeClock()
    expired = key("old", expires_at=START)
    with pytest.raises(KeyNotFound):
        now(cipher(expired, clock=clock).seal(QUEUE, message()))

    assert now(cipher(expired, clock=clock).open(sealed(cipher(key("old"))))).message.body == BODY


def test_a_key_that_was_overwritten_meanwhile_is_not_used() -> None:
    """Zeros would encrypt, for everybody to read."""
    held = key()
    both = cipher(held)
    held.close()

    with pytest.raises(KeyNotFound):
        now(both.seal(QUEUE, message()))


def test_a_key_id_that_cannot_be_written_isrefused() -> None:
    """At the latest when the body is put together."""
    with pytest.raises(EncryptionFailed):
        Envelope("line\nbreak", 0, bytes(12), bytes(16)).pack()


# --- nonces ------------------------------------------------------------------------------------------------------


def _with_one_nonce() -> Encryption:
    clock = FakeClock()
    return Encryption(MemoryKeys((key(),), clock), clock=clock, random_bytes=bytes)


def test_L29_a_nonce_that_comes_with_another_message_isrefused() -> None:
    """If that is switched on, and as long as it is remembered. The same message again is a redelivery."""
    sender, clock = _with_one_nonce(), FakeClock()
    first, second = sealed(sender), sealed(sender, message(b"another", message_id="m2"))
    strict, lenient = cipher(clock=clock, track_nonces=True, nonce_ttl_s=600.0), cipher()

    for arrived in (first, first, second):
        assert now(lenient.open(arrived)).sealed is not None
    assert now(strict.open(first)).message.body == now(strict.open(first)).message.body == BODY
    error = refused(strict, second)

    assert isinstance(error, NonceReused)
    assert not error.transient
    now_and_later = clock.now() + 600 * S
    clock._now = Timestamp(now_and_later)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - without a loop
    assert now(strict.open(second)).message.body == b"another"


def test_L29_what_does_not_authenticate_is_not_remembered() -> None:
    """Or anybody could spoil the nonce of a message that is still to come."""
    strict, arrived = cipher(track_nonces=True), sealed(cipher())
    forged = other_id(arrived)

    assert isinstance(refused(strict, forged), DecryptionFailed)
    assert now(strict.open(arrived)).message.body == BODY


def test_a_message_that_is_sent_again_is_the_same_again() -> None:
    """A receiver would take other bytes for another message; another body under the same id is one."""
    sender = cipher()
    first, again, other = (now(sender.seal(QUEUE, sent)).body for sent in (message(), message(), message(b"other")))
    nonces = {Envelope.parse(body).nonce for body in (first, other)}

    assert first == again
    assert len(nonces) == 2


async def test_what_is_sent_again_long_after_is_encrypted_anew() -> None:
    """With a limit of age, so that it arrives in time."""
    clock = FakeClock()
    sender = cipher(clock=clock, max_age_s=100.0)
    first = await sender.seal(QUEUE, message())
    await clock.advance(49)
    second = await sender.seal(QUEUE, message())
    await clock.advance(2)

    assert first == second != await sender.seal(QUEUE, message())


def test_nonces_differ_from_message_to_message() -> None:
    """They are random; two of a thousand that were equal would be no accident."""
    sender = cipher()

    assert len({Envelope.parse(sealed(sender, message(b"%d" % n)).message.body).nonce for n in range(1_000)}) == 1_000


# --- what is encrypted, and what is not --------------------------------------------------------------------------


def _records(caplog: pytest.LogCaptureFixture) -> list[tuple[int, object]]:
    return [(record.levelno, record.__dict__.get("encrypted")) for record in caplog.records if record.name == LOGGER]


def test_L35_a_receiver_of_both_kinds_tells_them_apart(caplog: pytest.LogCaptureFixture) -> None:
    """Each is taken for what it is, and the log says so; also where the receiver itself encrypts nothing."""
    receiver = cipher(encrypts=False)
    with caplog.at_level(logging.INFO, LOGGER):
        opened = now(receiver.open(sealed(cipher())))
        plain = now(receiver.open(delivery(message())))

    assert opened.message == plain.message == message()
    assert (opened.sealed is None, plain.sealed) == (False, None)
    assert _records(caplog) == [(logging.INFO, True), (logging.WARNING, False)]
    assert caplog.records[0].__dict__["key_id"] == "k1"


async def test_L36_a_sender_that_does_not_encrypt_is_warned(caplog: pytest.LogCaptureFixture) -> None:
    """It has keys and does not use them: the message goes as it is, and the log says so once a minute, with a count."""
    clock = FakeClock()
    sender = cipher(clock=clock, encrypts=False)
    sent = [await sender.seal(QUEUE, message()) for _ in range(3)]
    await clock.advance(61)
    sent.append(await sender.seal(QUEUE, message()))

    assert sent == [message()] * 4
    assert _records(caplog) == [(logging.WARNING, False)] * 2
    assert "2 more" in caplog.text


@pytest.mark.parametrize(
    ("policy", "level", "is_taken"),
    [("allow", logging.WARNING, True), ("allow-with-alert", logging.ERROR, True), ("reject", logging.ERROR, False)],
)
def test_L37_a_policy_says_what_becomes_of_plain_messages(
    policy: str, level: int, caplog: pytest.LogCaptureFixture, *, is_taken: bool
) -> None:
    """It is taken with a warning, taken with an alert, or refused for good: whatever the body holds."""
    for body in (BODY, b"", b"QRE", b"qre1"):
        caplog.clear()
        arrived = delivery(message(body))
        if is_taken:
            assert now(cipher(plain=policy).open(arrived)) is arrived
        else:
            error = refused(cipher(plain=policy), arrived)
            assert isinstance(error, UnencryptedMessage)
            assert not error.transient
        assert _records(caplog) == [(level, False)]
        assert BODY.decode() not in caplog.text


def test_a_policy_out_of_range_is_an_error() -> None:
    """Before anything is encrypted."""
    with pytest.raises(ConfigurationError):
        cipher(max_age_s=0.0)
    with pytest.raises(ConfigurationError):
        cipher(track_nonces=True, max_age_s=700.0)


# --- redriven copies ---------------------------------------------------------------------------------------------


def test_a_dead_letter_is_encrypted_anew_for_its_redrive() -> None:
    """Under today's key, with today's instant, for the copy's own id: no limit of age is in its way."""
    dead = sealed(cipher()).as_sent
    clock = FakeClock()
    clock._now = Timestamp(START + 86_400 * S)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - without a loop
    tool = cipher(key("k1", 1), key("k2", 2), clock=clock, encrypts=False, max_age_s=300.0)

    copy = now(tool.redrive(QUEUE, dead, redriven(dead)))
    arrived = delivery(copy, enqueued_at=clock.now(), received_at=clock.now())

    assert Envelope.parse(copy.body).key_id == "k2"
    assert copy.message_id != dead.message_id
    assert now(cipher(key("k2", 2), max_age_s=300.0).open(arrived)).message.body == BODY


def test_a_dead_letter_that_is_redriven_without_keys_opens_still() -> None:
    """It is bound to the id that its first sender gave, which the copy names."""
    dead = sealed(cipher()).as_sent

    assert now(cipher().open(delivery(redriven(redriven(dead))))).message.body == BODY


def test_a_plain_dead_letter_is_redriven_as_the_policy_sends() -> None:
    """Encrypted, where bodies are."""
    copy = now(cipher().redrive(QUEUE, message(), redriven(message())))

    assert now(cipher(plain="reject").open(delivery(copy))).message.body == BODY
    with pytest.raises(DecryptionFailed):
        now(cipher().redrive(QUEUE, other_session(sealed(cipher())).message, copy))


def test_the_session_of_an_envelope_may_be_any(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing of a body or a key is in what is logged of opening one."""
    with caplog.at_level(logging.DEBUG):
        opened = now(cipher().open(sealed(cipher(), message(session_id=SessionId("x" * 128)))))

    assert opened.message.body == BODY
    assert BODY.decode() not in caplog.text
