"""Which nonces were seen under which key, and with which message: the same nonce with another message is a fault."""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

from queue_runtime.providers.clock import Timestamp

__all__ = ["MAX_NONCES", "MemoryNonces", "NonceStore"]

MAX_NONCES = 100_000
"""About 40 MB. Beyond it the oldest are forgotten before their time."""


class NonceStore(Protocol):
    """Remembers nonces. One that several hosts share sees what one of them alone does not."""

    async def check_and_mark(self, key_id: str, nonce: bytes, owner: str, now: Timestamp) -> bool:
        """Note that the message `owner` has this nonce; False if another message had it.

        The same owner again is a redelivery or a retry, and is no reuse. Called only for what has authenticated, so
        that nobody without a key can fill the store.
        """
        ...


class MemoryNonces:
    """Remembers them in this process for `ttl_s` seconds, counted from when each was seen first."""

    def __init__(self, ttl_s: float) -> None:
        self._ttl_us = round(ttl_s * 1_000_000)
        self._seen: OrderedDict[tuple[str, bytes], tuple[str, Timestamp]] = OrderedDict()

    async def check_and_mark(self, key_id: str, nonce: bytes, owner: str, now: Timestamp) -> bool:
        """Note it; False if another message had it within the time."""
        seen = self._seen
        while seen and now - next(iter(seen.values()))[1] >= self._ttl_us:
            seen.popitem(last=False)
        first, _ = seen.setdefault((key_id, nonce), (owner, now))
        if len(seen) > MAX_NONCES:
            seen.popitem(last=False)
        return first == owner
