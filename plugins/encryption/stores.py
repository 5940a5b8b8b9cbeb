"""Keys from a text, from a file, and from any store behind a cache."""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, SecretStr, ValidationError

from queue_runtime.plugins.encryption.keys import Key, KeyProvider, newest
from queue_runtime.providers.clock import Clock, SystemClock, Timestamp
from queue_runtime.providers.errors import ConfigurationError, KeyNotFound, KeyProviderError

__all__ = ["CachedKeys", "FileKeys", "keys_of_text"]

logger = logging.getLogger("queue_runtime.encryption")

MISSES_LAST_S = 5.0  # whoever may send can ask for any number of keys that do not exist
MAX_MISSES = 1_000


def keys_of_text(text: str) -> tuple[Key, ...]:
    """Read keys from `id:base64`, comma-separated; each counts as made after the one before it.

    Raises:
        ConfigurationError: a part is not written so. Says which, and shows none.
    """
    keys: list[Key] = []
    for place, part in enumerate(filter(None, (part.strip() for part in text.split(","))), start=1):
        key_id, colon, encoded = part.partition(":")
        if not colon:
            msg = f"key {place} is not written as id:base64"
            raise ConfigurationError(msg)
        keys.append(_key(key_id.strip(), encoded.strip(), Timestamp(place)))
    return tuple(keys)


def _key(key_id: str, encoded: str, created_at: Timestamp, expires_at: Timestamp | None = None) -> Key:
    try:
        material = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):  # its text may hold a part of the key
        msg = f"key {key_id!r} is not in base64: write the 32 bytes as `openssl rand -base64 32` does"
        raise ConfigurationError(msg) from None
    return Key(key_id, material, created_at, expires_at)


class _StoredKey(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    id: str
    key: SecretStr
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = None

    def read(self) -> Key:
        expires_at = None if self.expires_at is None else _instant(self.expires_at)
        return _key(self.id, self.key.get_secret_value(), _instant(self.created_at), expires_at)


class _KeyFile(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    keys: list[_StoredKey]


def _instant(value: datetime) -> Timestamp:
    return Timestamp.from_datetime(value)


def _place(path: tuple[int | str, ...]) -> str:
    """Where a file is wrong. A name that no key file has is not shown: it may be a key in the wrong place."""
    known = {"keys", *_StoredKey.model_fields}
    return ".".join(str(part) if isinstance(part, int) or part in known else "(unknown)" for part in path) or "(top)"


class FileKeys:
    """Keys from a JSON file, such as a mounted secret. The file is read at every call: put `CachedKeys` in front.

    `{"keys": [{"id": "2026-11", "key": "<base64>", "created_at": "2026-11-01T00:00:00Z"}]}`; `expires_at` is
    optional. The key made last encrypts. Replace the file to rotate; it is read in a thread.
    """

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        self._path = path
        self._clock = clock if clock is not None else SystemClock()

    def __repr__(self) -> str:
        """Name the file."""
        return f"FileKeys({str(self._path)!r})"

    async def get_key(self, key_id: str) -> Key:
        """Read the key of that id; raise `KeyNotFound` or `KeyProviderError`."""
        found: Key | None = None
        for key in await self._read(key_id):
            if key.id == key_id and found is None:
                found = key
            else:
                key.close()
        if found is None:
            raise KeyNotFound(key_id)
        return found

    async def current_key_id(self) -> str:
        """Name the key that was made last and has not expired; raise `KeyNotFound` or `KeyProviderError`."""
        keys = await self._read("(current)")
        try:
            return newest(keys, self._clock.now())
        finally:
            _close(keys)

    async def valid_key_ids(self) -> Sequence[str]:
        """Name every key of the file; raise `KeyProviderError`."""
        keys = await self._read("(any)")
        _close(keys)
        return tuple(key.id for key in keys)

    async def close(self) -> None:
        """Nothing is held."""

    async def _read(self, wanted: str) -> list[Key]:
        """A file that cannot be read, or is written wrongly, may be in the middle of being replaced: it may pass."""
        try:
            content = await asyncio.to_thread(self._path.read_bytes)
            return [stored.read() for stored in _KeyFile.model_validate_json(content).keys]
        except ValidationError as error:
            places = ", ".join(sorted({_place(problem["loc"]) for problem in error.errors()}))
            logger.error("key file %s is not written as it should be, at %s", self._path, places)  # noqa: TRY400
            raise KeyProviderError(wanted) from None  # the cause may quote the file
        except (OSError, ConfigurationError) as error:
            logger.error("key file %s cannot be used: %s", self._path, error)  # noqa: TRY400 - expected, and told in full
            raise KeyProviderError(wanted) from error


def _close(keys: Sequence[Key]) -> None:
    for key in keys:
        key.close()


class CachedKeys:
    """Keeps what a store answers for `ttl_s` seconds. A new key, or a removed one, is seen after that at the latest.

    An id that is not held is asked for at once, and again after 5 s if there is no such key. While the store cannot be
    asked, what it answered last stays good: a store that is down stops no message whose key was seen before.
    """

    def __init__(self, store: KeyProvider, ttl_s: float = 300.0, clock: Clock | None = None) -> None:
        self._store = store
        self._ttl_us = round(ttl_s * 1_000_000)
        self._clock = clock if clock is not None else SystemClock()
        self._keys: dict[str, tuple[Key, Timestamp]] = {}
        self._current: tuple[str, Timestamp] | None = None
        self._misses: OrderedDict[str, Timestamp] = OrderedDict()
        self._asking = asyncio.Lock()

    def __repr__(self) -> str:
        """Name the store."""
        return f"CachedKeys({self._store!r})"

    async def get_key(self, key_id: str) -> Key:
        """Return the key of that id; raise `KeyNotFound` or `KeyProviderError`."""
        held = self._fresh(key_id)
        if held is not None:
            return held
        async with self._asking:
            return self._fresh(key_id) or await self._ask(key_id)

    def _fresh(self, key_id: str) -> Key | None:
        now = self._clock.now()
        held = self._keys.get(key_id)
        if held is not None:
            return held[0] if now - held[1] < self._ttl_us else None
        missed = self._misses.get(key_id)
        if missed is not None and now - missed < MISSES_LAST_S * 1_000_000:
            raise KeyNotFound(key_id)
        return None

    async def _ask(self, key_id: str) -> Key:
        held, now = self._keys.get(key_id), self._clock.now()
        try:
            key = await self._store.get_key(key_id)
        except KeyNotFound:
            self._missing(key_id, now)
            raise
        except KeyProviderError as error:
            if held is None:
                raise
            logger.warning("key %r is used as it was known: %s", key_id, error)
            self._keys[key_id] = held[0], now
            return held[0]
        if held is not None and held[0] is not key:
            held[0].close()
        self._misses.pop(key_id, None)
        self._keys[key_id] = key, now
        return key

    def _missing(self, key_id: str, now: Timestamp) -> None:
        held = self._keys.pop(key_id, None)
        if held is not None:
            held[0].close()
        self._misses[key_id] = now
        self._misses.move_to_end(key_id)
        if len(self._misses) > MAX_MISSES:
            self._misses.popitem(last=False)

    async def current_key_id(self) -> str:
        """Name the key that encrypts; raise `KeyNotFound` or `KeyProviderError`."""
        current = self._current
        if current is not None and self._clock.now() - current[1] < self._ttl_us:
            return current[0]
        async with self._asking:
            if self._current is not current and self._current is not None:
                return self._current[0]  # asked meanwhile, by another task
            now = self._clock.now()
            try:
                key_id = await self._store.current_key_id()
            except KeyProviderError as error:
                if current is None:
                    raise
                logger.warning("the key to encrypt with is taken as it was known, %r: %s", current[0], error)
                key_id = current[0]
            self._current = key_id, now
            return key_id

    async def valid_key_ids(self) -> Sequence[str]:
        """Name the keys that open bodies, as the store says now; raise `KeyProviderError`."""
        return await self._store.valid_key_ids()

    async def close(self) -> None:
        """Overwrite what is held, and close the store."""
        _close([key for key, _ in self._keys.values()])
        self._keys.clear()
        self._current = None
        await self._store.close()
