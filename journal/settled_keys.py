"""The keys of completed messages that live state holds: the newest part of the idempotency window.

Older ones are in key files (`journal.keys`). They get there by two events, each of which takes a moment however many
keys there are: `KeysSealing` sets the recent keys aside as a batch, `KeysSealed` says that a key file holds the batch.
Between the two it is looked up like the recent ones, so a crash loses nothing.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from queue_runtime.journal.engine_events import KeysSealed, KeysSealing

__all__ = ["DIGEST_BYTES", "KeyBatch", "SettledKey", "SettledKeys", "key_digest", "pack_instant"]

DIGEST_BYTES = 16
_AT_BYTES = 8
_FIRST_INSTANT = -(1 << 63)
_BODY_BYTES = 8  # of the body's digest: whoever sends two bodies under one key that agree in these loses only his own
_NO_BODY = bytes(_BODY_BYTES)


def key_digest(key: str) -> bytes:
    """Return what stands for an idempotency key in the window: 16 bytes, so that no two keys are taken for one."""
    return hashlib.blake2b(key.encode(), digest_size=DIGEST_BYTES).digest()


def pack_instant(at: int) -> bytes:
    """Return 8 bytes that compare as instants do."""
    return (at - _FIRST_INSTANT).to_bytes(_AT_BYTES, "big")


@dataclass(frozen=True, slots=True)
class SettledKey:
    """A completed message inside the idempotency window. `body` begins its body's digest; empty if that is unknown."""

    at: int
    body: bytes

    @classmethod
    def of(cls, at: int, body_digest: bytes) -> SettledKey:
        """Shorten the digest of a body to what is kept of it."""
        return cls(at, body_digest[:_BODY_BYTES])

    @classmethod
    def unpack(cls, entry: bytes) -> SettledKey:
        """Return what `pack` packed."""
        body = entry[_AT_BYTES:]
        return cls(int.from_bytes(entry[:_AT_BYTES], "big") + _FIRST_INSTANT, b"" if body == _NO_BODY else body)

    def pack(self) -> bytes:
        """Return 16 bytes: the instant, and the beginning of the body's digest or zeros."""
        return pack_instant(self.at) + self.body.ljust(_BODY_BYTES, b"\0")

    def may_be_of(self, body_digest: bytes) -> bool:
        """Return False if it is known to have had another body."""
        return self.body in {b"", body_digest[:_BODY_BYTES]}


@dataclass(frozen=True, slots=True)
class KeyBatch:
    """What was settled at positions in (`after`, `until`]: packed `SettledKey`s by the digests of their keys."""

    after: int
    until: int
    entries: dict[bytes, bytes] = field(repr=False)


@dataclass(slots=True)
class SettledKeys:
    """The keys that are in no key file yet.

    Attributes:
        recent: packed `SettledKey`s by the digests of their keys.
        batch: what is being put into a key file; None between a `KeysSealed` and the next `KeysSealing`.
        sealed_until: what was settled up to this position is in key files.
    """

    recent: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes], repr=False)
    batch: KeyBatch | None = None
    sealed_until: int = 0

    def find(self, digest: bytes) -> SettledKey | None:
        """Return what is remembered of a key, by its digest."""
        entry = self.recent.get(digest)
        if entry is None and self.batch is not None:
            entry = self.batch.entries.get(digest)
        return None if entry is None else SettledKey.unpack(entry)

    def add(self, key: str, at: int, body_digest: bytes) -> None:
        """Remember a completed message from its settlement on."""
        self.recent[key_digest(key)] = SettledKey.of(at, body_digest).pack()

    def apply(self, event: KeysSealing | KeysSealed, position: int) -> None:
        """Set the recent keys aside, one batch at a time; forget the batch that a key file holds."""
        if isinstance(event, KeysSealing):
            if self.batch is None:
                self.batch = KeyBatch(self.sealed_until, position, self.recent)
                self.recent = {}
        elif self.batch is not None and self.batch.until == event.until:
            self.batch = None
            self.sealed_until = event.until
