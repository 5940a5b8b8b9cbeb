"""How an encrypted body is laid out, byte by byte. Pure; docs/encryption.md shows the same, with test vectors.

    "QRE1"         4  the marker
    version        1  1
    key id length  2  big-endian; 1 to 128
    key id            printable UTF-8
    encrypted at   8  big-endian; milliseconds since the epoch
    nonce         12  random
    ciphertext        as long as the body
    tag           16  of AES-256-GCM

The tag also covers what travels in the clear beside the body (`associated_data`), so that a body cannot be moved to
another message, session or queue, nor its key's name or its age be changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from queue_runtime.providers.bodies import MARKER, is_marked
from queue_runtime.providers.errors import (
    EncryptionFailed,
    ErrorContext,
    InvalidEnvelope,
    InvalidNonceSize,
    UnsupportedVersion,
)
from queue_runtime.providers.message import Message
from queue_runtime.providers.redrive import origin_of

__all__ = [
    "MAX_KEY_ID_BYTES",
    "NONCE_BYTES",
    "TAG_BYTES",
    "VERSION",
    "Envelope",
    "associated_data",
    "bound_id",
    "is_key_id",
]

VERSION = 1
NONCE_BYTES = 12
TAG_BYTES = 16
MAX_KEY_ID_BYTES = 128
MAX_INSTANT_MS = 253_402_300_799_999  # the end of the year 9999: what Python's datetimes can show

NOTHING_KNOWN = ErrorContext()
_ABSENT = b"\xff\xff\xff\xff"
_HEAD_BYTES = len(MARKER) + 1 + 2
_INSTANT_BYTES = 8


@dataclass(frozen=True, slots=True)
class Envelope:
    """An encrypted body, taken apart. `ciphertext` has the tag at its end; `encrypted_at_ms` is since the epoch."""

    key_id: str
    encrypted_at_ms: int
    nonce: bytes = field(repr=False)
    ciphertext: bytes = field(repr=False)

    def pack(self) -> bytes:
        """Return the body that travels.

        Raises:
            EncryptionFailed: the key's id cannot be written.
        """
        if not is_key_id(self.key_id):
            raise EncryptionFailed(self.key_id[:MAX_KEY_ID_BYTES])
        key_id = self.key_id.encode()
        head = MARKER + bytes((VERSION,)) + len(key_id).to_bytes(2, "big") + key_id
        return head + self.encrypted_at_ms.to_bytes(_INSTANT_BYTES, "big") + self.nonce + self.ciphertext

    @classmethod
    def parse(cls, body: bytes, context: ErrorContext = NOTHING_KNOWN) -> Envelope:
        """Take a body apart. Nothing of it is to be trusted before its tag has been checked.

        Raises:
            InvalidEnvelope: it is not built as one.
            UnsupportedVersion: it is of another version.
            InvalidNonceSize: it ends inside its nonce.
        """
        if not is_marked(body) or len(body) <= len(MARKER):
            problem = f"does not begin with {MARKER.decode()} and a version"
            raise InvalidEnvelope(problem, context=context)
        if body[len(MARKER)] != VERSION:
            raise UnsupportedVersion(body[len(MARKER)], context=context)
        end = _HEAD_BYTES + int.from_bytes(body[_HEAD_BYTES - 2 : _HEAD_BYTES], "big")
        key_id = _key_id(body[_HEAD_BYTES:end], context)
        nonce_at = end + _INSTANT_BYTES
        if len(body) < nonce_at:
            problem = "ends before its nonce"
            raise InvalidEnvelope(problem, context=context)
        encrypted_at_ms = int.from_bytes(body[end:nonce_at], "big")
        if encrypted_at_ms > MAX_INSTANT_MS:
            problem = "was encrypted at an instant after the year 9999"
            raise InvalidEnvelope(problem, context=context)
        nonce = body[nonce_at : nonce_at + NONCE_BYTES]
        if len(nonce) < NONCE_BYTES:
            raise InvalidNonceSize(NONCE_BYTES, len(nonce), context=context)
        ciphertext = body[nonce_at + NONCE_BYTES :]
        if len(ciphertext) < TAG_BYTES:
            problem = "ends before the end of its tag"
            raise InvalidEnvelope(problem, context=context)
        return cls(key_id, encrypted_at_ms, nonce, ciphertext)


def _key_id(raw: bytes, context: ErrorContext) -> str:
    """The id ends up in logs and errors, so it is held to what can be shown there."""
    try:
        key_id = raw.decode()
    except UnicodeDecodeError:
        key_id = ""
    if not is_key_id(key_id):
        problem = f"names its key by something else than 1 to {MAX_KEY_ID_BYTES} bytes of printable UTF-8"
        raise InvalidEnvelope(problem, context=context)
    return key_id


def is_key_id(text: str) -> bool:
    """Say whether a key may be called so: printable, and 1 to 128 bytes in UTF-8."""
    return text.isprintable() and 1 <= len(text.encode("utf-8", "surrogatepass")) <= MAX_KEY_ID_BYTES


def bound_id(message: Message) -> str:
    """Return the message id that a body is bound to: of a redriven copy, its original's."""
    return str(origin_of(message)[0])


def associated_data(queue: str, message: Message, key_id: str, encrypted_at_ms: int) -> bytes:
    """Return what the tag covers beside the body.

    Marker, version and instant as in the envelope; then key id, queue, message id, session id and correlation id, each
    as its length in 4 bytes, big-endian, and its UTF-8; one that a message has not is 4 bytes of 0xff. The message id
    of a redriven copy is its original's.
    """
    parts = (key_id, queue, bound_id(message), message.session_id, message.correlation_id)
    head = MARKER + bytes((VERSION,)) + encrypted_at_ms.to_bytes(_INSTANT_BYTES, "big")
    return head + b"".join(_prefixed(part) for part in parts)


def _prefixed(part: str | None) -> bytes:
    if part is None:
        return _ABSENT
    raw = part.encode("utf-8", "surrogatepass")
    return len(raw).to_bytes(4, "big") + raw
