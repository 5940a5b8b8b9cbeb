"""Keys, and where they come from. Whatever holds keys prints their ids and never their material."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from queue_runtime.plugins.encryption.envelope import MAX_KEY_ID_BYTES, is_key_id
from queue_runtime.providers.clock import Clock, SystemClock, Timestamp
from queue_runtime.providers.errors import ConfigurationError, KeyNotFound

__all__ = ["KEY_BYTES", "TO_ENCRYPT", "Key", "KeyProvider", "MemoryKeys", "newest"]

KEY_BYTES = 32
_LONG_AGO = Timestamp(0)
TO_ENCRYPT = "(to encrypt with)"
"""Stands for the key's id in `KeyNotFound` where no key may encrypt."""


@dataclass(frozen=True, slots=True, eq=False)
class Key:
    """A key of 256 bits. `material` is copied, and overwritten by `close`.

    Python may have made other copies of it by then (of what it was read from, for one): overwriting shortens the time
    in which a memory dump shows a key, and promises no more.

    Args:
        id: travels with each message; printable, 1 to 128 bytes in UTF-8.
        material: 32 bytes.
        created_at: among several keys the one made last encrypts.
        expires_at: from then on it encrypts no more. It still opens what it encrypted, until it is removed.

    Raises:
        ConfigurationError: the id or the length is another; names the key, and shows nothing of it.
    """

    id: str
    material: bytes | bytearray = field(repr=False)
    created_at: Timestamp = _LONG_AGO
    expires_at: Timestamp | None = None

    def __post_init__(self) -> None:
        if not is_key_id(self.id):
            msg = f"a key's id must be printable and have 1 to {MAX_KEY_ID_BYTES} bytes; one has other characters"
            raise ConfigurationError(msg)
        if len(self.material) != KEY_BYTES:
            msg = f"key {self.id!r} has {len(self.material)} bytes: it must have {KEY_BYTES}, such as os.urandom(32)"
            raise ConfigurationError(msg)
        if not any(self.material):
            msg = f"key {self.id!r} is all zeros, so anybody knows it: make one by os.urandom(32)"
            raise ConfigurationError(msg)
        object.__setattr__(self, "material", bytearray(self.material))

    def is_expired(self, now: Timestamp) -> bool:
        """Say whether it encrypts no more."""
        return self.expires_at is not None and now >= self.expires_at

    def close(self) -> None:
        """Overwrite the material with zeros. Whoever still holds this key can use it no more."""
        material = self.material
        if isinstance(material, bytearray):
            material[:] = bytes(len(material))

    @property
    def is_closed(self) -> bool:
        """True once the material is gone."""
        return not any(self.material)


class KeyProvider(Protocol):
    """Where keys come from: a file, a secret store. Used by many tasks of one loop."""

    async def get_key(self, key_id: str) -> Key:
        """Return the key of that id.

        Raises:
            KeyNotFound: there is none, yet.
            KeyProviderError: the store cannot be asked for now.
        """
        ...

    async def current_key_id(self) -> str:
        """Name the key that encrypts.

        Raises:
            KeyNotFound: there is none that may.
            KeyProviderError: the store cannot be asked for now.
        """
        ...

    async def valid_key_ids(self) -> Sequence[str]:
        """Name the keys that open bodies.

        Raises:
            KeyProviderError: the store cannot be asked for now.
        """
        ...

    async def close(self) -> None:
        """Overwrite what is held in memory. Twice is harmless."""
        ...


class MemoryKeys:
    """Keys that the program brings itself. `add` and `remove` may be called at any time: they rotate.

    Args:
        keys: any number.
        clock: says which keys have expired.

    Raises:
        ConfigurationError: two keys have one id.
    """

    def __init__(self, keys: Iterable[Key] = (), clock: Clock | None = None) -> None:
        self._clock = clock if clock is not None else SystemClock()
        self._keys: dict[str, Key] = {}
        for key in keys:
            self.add(key)

    def __repr__(self) -> str:
        """Name the keys."""
        return f"MemoryKeys({', '.join(map(repr, self._keys))})"

    def add(self, key: Key) -> None:
        """Hold one more key; if it was made last, it encrypts from now on.

        Raises:
            ConfigurationError: another key has this id.
        """
        if key.id in self._keys:
            msg = f"there are two keys {key.id!r}: give each key an id of its own, and never use an id again"
            raise ConfigurationError(msg)
        self._keys[key.id] = key

    def remove(self, key_id: str) -> None:
        """Drop a key and overwrite it. What it encrypted cannot be opened any more; an unknown id is passed over."""
        key = self._keys.pop(key_id, None)
        if key is not None:
            key.close()

    async def get_key(self, key_id: str) -> Key:
        """Return the key of that id, or raise `KeyNotFound`."""
        key = self._keys.get(key_id)
        if key is None:
            raise KeyNotFound(key_id)
        return key

    async def current_key_id(self) -> str:
        """Name the key that was made last and has not expired, or raise `KeyNotFound`."""
        return newest(self._keys.values(), self._clock.now())

    async def valid_key_ids(self) -> Sequence[str]:
        """Name every key."""
        return tuple(self._keys)

    async def close(self) -> None:
        """Overwrite all keys."""
        for key_id in tuple(self._keys):
            self.remove(key_id)


def newest(keys: Iterable[Key], now: Timestamp) -> str:
    """Name the key that was made last, among those that still encrypt; of several made then, the last.

    Raises:
        KeyNotFound: there is none.
    """
    usable = [(key.created_at, place, key.id) for place, key in enumerate(keys) if not key.is_expired(now)]
    if not usable:
        raise KeyNotFound(TO_ENCRYPT)
    return max(usable)[2]
