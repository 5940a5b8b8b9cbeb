"""The published test vectors hold, for this implementation and for one that knows only the page."""

import json
from typing import cast

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import BaseModel, ConfigDict

from queue_runtime.plugins.encryption import Encryption, EncryptionPolicy, Key, MemoryKeys
from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.errors import CryptoError
from queue_runtime.providers.message import Delivery, Message, QueueName
from tests.docs.pages import ROOT
from tests.plugins.encrypted import delivery, now
from tests.providers.fake_clock import FakeClock


class Refused(BaseModel):
    """A message that must not be opened."""

    model_config = ConfigDict(extra="forbid")

    says: str
    key: str
    queue: str
    message_id: str
    session_id: str | None
    correlation_id: str | None
    attributes: dict[str, str]
    body: str
    error: str = ""

    def message(self, body: str) -> Message:
        return Message(
            bytes.fromhex(body),
            message_id=self.message_id,
            session_id=self.session_id,
            correlation_id=self.correlation_id,
            attributes=self.attributes,
        )

    def delivery(self) -> Delivery:
        arrived = delivery(self.message(self.body))
        object.__setattr__(arrived, "queue", QueueName(self.queue))
        return arrived


class Opened(Refused):
    """A message that is opened, with every step on the way."""

    key_id: str
    encrypted_at_ms: int
    nonce: str
    plaintext: str
    associated_data: str


_FILE = cast("dict[str, list[object]]", json.loads((ROOT / "docs/encryption-vectors.json").read_text(encoding="utf-8")))
OPENED = [Opened.model_validate(vector) for vector in _FILE["opened"]]
REFUSED = [Refused.model_validate(vector) for vector in _FILE["refused"]]

opened = pytest.mark.parametrize("vector", OPENED, ids=lambda vector: vector.says)


def _as_the_page_says(vector: Opened) -> tuple[bytes, bytes]:
    """Write the associated data and the body from the page's words alone."""

    def text(value: str | None) -> bytes:
        return b"\xff" * 4 if value is None else len(value.encode()).to_bytes(4, "big") + value.encode()

    at = vector.encrypted_at_ms.to_bytes(8, "big")
    bound = vector.attributes.get("queue-runtime-origin-id", vector.message_id)
    covered = b"QRE1\x01" + at
    for part in (vector.key_id, vector.queue, bound, vector.session_id, vector.correlation_id):
        covered += text(part)
    nonce = bytes.fromhex(vector.nonce)
    sealed = AESGCM(bytes.fromhex(vector.key)).encrypt(nonce, bytes.fromhex(vector.plaintext), covered)
    key_id = vector.key_id.encode()
    return covered, b"QRE1\x01" + len(key_id).to_bytes(2, "big") + key_id + at + nonce + sealed


@opened
def test_a_vector_follows_from_the_page(vector: Opened) -> None:
    """Another implementation gets the same bytes."""
    covered, body = _as_the_page_says(vector)

    assert covered.hex() == vector.associated_data
    assert body.hex() == vector.body


@opened
def test_L24_a_vector_is_opened_and_made(vector: Opened) -> None:
    """With its key, instant and nonce ours makes it, and opens it."""
    clock = FakeClock()
    clock._now = Timestamp(vector.encrypted_at_ms * 1_000)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    keys = MemoryKeys((Key(vector.key_id, bytes.fromhex(vector.key)),), clock)
    both = Encryption(keys, clock=clock, random_bytes=lambda _: bytes.fromhex(vector.nonce))
    plain = vector.message(vector.plaintext)

    assert now(both.open(vector.delivery())).message == plain
    assert now(both.seal(QueueName(vector.queue), plain)).body.hex() == vector.body


@pytest.mark.parametrize("vector", REFUSED, ids=lambda vector: vector.says)
def test_L25_a_vector_is_refused(vector: Refused) -> None:
    """By the error that it names."""
    keys = MemoryKeys((Key("2026-11", bytes.fromhex(vector.key)),))
    with pytest.raises(CryptoError) as caught:
        now(Encryption(keys, EncryptionPolicy(plain="reject")).open(vector.delivery()))

    assert type(caught.value).__name__ == vector.error
