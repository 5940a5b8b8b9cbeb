"""The locks on the delivered messages of one queue, and which receipts have settled something already."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.memory.stored import NEVER, Stored
from queue_runtime.providers.port import SettleKind

__all__ = ["Locks"]

REMEMBERED = 10_000  # settled receipts, so that a repeated settlement is recognised; a client repeats within seconds


class Locks:
    """Who may settle what.

    Fresh locks of a queue last equally long, so the order of locking is the order of expiry, and looking for what has
    expired costs nothing. Those renewed for a length of their own are kept apart, and searched when one can have ended.
    """

    def __init__(self) -> None:
        # An OrderedDict, because its first item is found in constant time after many deletions; a dict's is not.
        self._held: OrderedDict[str, Stored] = OrderedDict()
        self._odd: dict[str, Stored] = {}
        self._odd_from = NEVER  # no lock in `_odd` ends before this
        self._settled: OrderedDict[str, SettleKind] = OrderedDict()

    def take(self, stored: Stored, handle: str, until: Timestamp) -> None:
        """Lock a message under a new receipt."""
        stored.handle = handle
        stored.locked_until = until
        self._held[handle] = stored

    def find(self, handle: str) -> Stored | None:
        """Return the message that this receipt holds."""
        return self._held.get(handle) or self._odd.get(handle)

    def renew(self, stored: Stored, until: Timestamp, *, is_odd: bool) -> None:
        """Move the end of a lock; `is_odd`: by another length than that of fresh locks."""
        self.free(stored)
        stored.locked_until = until
        if is_odd:
            self._odd[stored.handle] = stored
            self._odd_from = min(self._odd_from, until)
        else:
            self._held[stored.handle] = stored

    def free(self, stored: Stored) -> None:
        """End the lock on a message, if there is one. Its receipt is worth nothing from now on."""
        if self._held.pop(stored.handle, None) is None:
            self._odd.pop(stored.handle, None)

    def settle(self, stored: Stored, kind: SettleKind) -> None:
        """End the lock, and remember what its receipt did."""
        self.free(stored)
        self._settled[stored.handle] = kind
        if len(self._settled) > REMEMBERED:
            self._settled.popitem(last=False)

    def has_settled(self, handle: str, kind: SettleKind) -> bool:
        """Say whether this receipt did exactly this before."""
        return self._settled.get(handle) is kind

    def expired(self, now: Timestamp) -> Iterator[Stored]:
        """Yield the messages whose lock has ended, freeing each."""
        while self._held:
            stored = next(iter(self._held.values()))
            if stored.locked_until > now:
                break
            self.free(stored)
            yield stored
        if self._odd_from <= now:
            for stored in [stored for stored in self._odd.values() if stored.locked_until <= now]:
                self.free(stored)
                yield stored
            self._odd_from = min((stored.locked_until for stored in self._odd.values()), default=NEVER)

    @property
    def next_end(self) -> Timestamp:
        """When a lock may end unless renewed; no lock ends before it."""
        regular = next(iter(self._held.values())).locked_until if self._held else NEVER
        return min(regular, self._odd_from)
