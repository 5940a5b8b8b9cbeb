"""The locks on the delivered messages of one queue, and which receipts have settled something already."""

from __future__ import annotations

import heapq
import itertools
from collections import OrderedDict
from collections.abc import Iterator

from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.memory.stored import NEVER, Stored
from queue_runtime.providers.port import SettleKind

__all__ = ["Locks"]

FEW_ENDS = 1_000  # ends that do not count any more, before the heap is worth cleaning
REMEMBERED = 10_000  # settled receipts, so that a repeated settlement is recognised; a client repeats within seconds


class Locks:
    """Who may settle what, and whose lock ends next."""

    def __init__(self) -> None:
        self._held: dict[str, Stored] = {}
        self._ends: list[tuple[Timestamp, int, str]] = []  # a heap; an entry counts while its lock still ends then
        self._order = itertools.count()
        self._settled: OrderedDict[str, SettleKind] = OrderedDict()

    def take(self, stored: Stored, handle: str, until: Timestamp) -> None:
        """Lock a message under a new receipt."""
        stored.handle = handle
        stored.locked_until = until
        self._held[handle] = stored
        self._note_end(stored)

    def find(self, handle: str) -> Stored | None:
        """Return the message that this receipt holds."""
        return self._held.get(handle)

    def renew(self, stored: Stored, until: Timestamp) -> None:
        """Move the end of a lock."""
        stored.locked_until = until
        self._note_end(stored)

    def _note_end(self, stored: Stored) -> None:
        heapq.heappush(self._ends, (stored.locked_until, next(self._order), stored.handle))
        if len(self._ends) > FEW_ENDS + 2 * len(self._held):
            self._ends = [end for end in self._ends if self._counts(end)]
            heapq.heapify(self._ends)

    def _counts(self, end: tuple[Timestamp, int, str]) -> bool:
        stored = self._held.get(end[2])
        return stored is not None and stored.locked_until == end[0]

    def _next(self) -> Stored | None:
        while self._ends and not self._counts(self._ends[0]):
            heapq.heappop(self._ends)
        return self._held[self._ends[0][2]] if self._ends else None

    def free(self, stored: Stored) -> None:
        """End the lock on a message, if there is one. Its receipt is worth nothing from now on."""
        self._held.pop(stored.handle, None)

    def settle(self, stored: Stored, kind: SettleKind) -> None:
        """End the lock, and remember what its receipt did."""
        del self._held[stored.handle]
        self._settled[stored.handle] = kind
        if len(self._settled) > REMEMBERED:
            self._settled.popitem(last=False)

    def has_settled(self, handle: str, kind: SettleKind) -> bool:
        """Say whether this receipt did exactly this before."""
        return self._settled.get(handle) is kind

    def expired(self, now: Timestamp) -> Iterator[Stored]:
        """Yield the messages whose lock has ended, in the order of their ends. Free each before asking for the next."""
        while (stored := self._next()) is not None and stored.locked_until <= now:
            yield stored

    @property
    def next_end(self) -> Timestamp:
        """When the next lock ends unless renewed."""
        stored = self._next()
        return NEVER if stored is None else stored.locked_until
