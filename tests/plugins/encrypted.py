"""What tests of encryption share: keys, messages and deliveries, and a way to ask without an event loop."""

from collections.abc import Coroutine
from dataclasses import replace
from typing import TypeVar

import pytest

from queue_runtime.plugins.encryption import Encryption, EncryptionPolicy, Key, MemoryKeys
from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.errors import CryptoError
from queue_runtime.providers.message import Delivery, Message, QueueName, Receipt
from tests.providers.fake_clock import START, FakeClock

T = TypeVar("T")

QUEUE = QueueName("pulls")
S = 1_000_000
MATERIAL = bytes(range(32))
BODY = b"a plaintext that nobody else is to see"


def now(coroutine: Coroutine[object, object, T]) -> T:
    """Run what waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    coroutine.close()
    msg = "it waited"
    raise AssertionError(msg)


def key(key_id: str = "k1", created_at: int = 1, *, expires_at: int | None = None) -> Key:
    material = bytes((byte + created_at) % 256 for byte in MATERIAL)
    return Key(key_id, material, Timestamp(created_at), None if expires_at is None else Timestamp(expires_at))


def cipher(*keys: Key, clock: FakeClock | None = None, **policy: object) -> Encryption:
    """An `Encryption` with these keys, or with `k1`."""
    clock = clock or FakeClock()
    rules = EncryptionPolicy(**policy)  # pyright: ignore[reportArgumentType] - each test names fields that there are
    return Encryption(MemoryKeys(keys or (key(),), clock), rules, clock=clock)


def message(body: bytes = BODY, message_id: str = "m1", session_id: str | None = "s1") -> Message:
    return Message(
        body,
        message_id=message_id,
        session_id=session_id,
        correlation_id="c1",
        content_type="application/json",
        attributes={"event": "push"},
    )


def delivery(sent: Message, *, enqueued_at: int | None = START, received_at: int = START) -> Delivery:
    """A hand-over of what was sent."""
    at = Timestamp(received_at)
    return Delivery(
        queue=QUEUE,
        message=sent,
        receipt=Receipt("handle", "p1", Timestamp(received_at + 60 * S), "memory"),
        delivery_count=1,
        sequence=None,
        enqueued_at=None if enqueued_at is None else Timestamp(enqueued_at),
        expires_at=None,
        first_delivered_at=at,
        delivered_at=at,
    )


def sealed(sender: Encryption, sent: Message | None = None) -> Delivery:
    """What arrives of a message that `sender` encrypted."""
    return delivery(now(sender.seal(QUEUE, sent or message())))


def with_body(arrived: Delivery, body: bytes) -> Delivery:
    return replace(arrived, message=replace(arrived.message, body=body))


def refused(receiver: Encryption, arrived: Delivery) -> CryptoError:
    with pytest.raises(CryptoError) as caught:
        now(receiver.open(arrived))
    return caught.value


def other_id(arrived: Delivery) -> Delivery:
    return replace(arrived, message=changed(arrived.message, message_id="m2"))


def other_session(arrived: Delivery) -> Delivery:
    return replace(arrived, message=changed(arrived.message, session_id="s2"))


def changed(sent: Message, **fields: str | None) -> Message:
    return Message(
        sent.body,
        message_id=fields.get("message_id", sent.message_id),
        session_id=fields.get("session_id", sent.session_id),
        correlation_id=fields.get("correlation_id", sent.correlation_id),
    )
