"""In which order a queue hands messages over.

Lanes hold the messages of one queue that are ready, and know which of those in flight hold others back. Three kinds,
for the three kinds of queue. None of them reads a clock or knows what a lock is: the queue tells them what was given
out (`pop`), what came back (`give_back`) and what left for good (`forget`).
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from typing import Protocol

from queue_runtime.providers.memory.stored import NEVER, Place, Stored

__all__ = ["FifoLanes", "Group", "Lanes", "OneLane"]


class Lanes(Protocol):
    """The ready messages of one queue."""

    def add(self, stored: Stored) -> None:
        """Take in a message that became ready for the first time."""
        ...

    def pop(self) -> Iterator[Stored]:
        """Yield what may be delivered now, in order, taking each out. Close the iterator to stop taking."""
        ...

    def give_back(self, stored: Stored) -> None:
        """Take in again what was taken out and not settled."""
        ...

    def forget(self, stored: Stored) -> None:
        """Note that a message which was taken out left the queue."""
        ...


class OneLane:
    """A standard queue: first in, first out, until something comes back; that goes to the end."""

    def __init__(self) -> None:
        self._ready: deque[Stored] = deque()

    def add(self, stored: Stored) -> None:
        """Append."""
        self._ready.append(stored)

    def pop(self) -> Iterator[Stored]:
        """Yield ready messages, oldest first."""
        ready = self._ready
        while ready:
            stored = ready.popleft()
            if stored.place is Place.READY:
                yield stored

    def give_back(self, stored: Stored) -> None:
        """Append: what was delivered once has lost its place."""
        self._ready.append(stored)

    def forget(self, stored: Stored) -> None:
        """Nothing to note: no message holds another back."""


class Group:
    """The messages of one session: those that are ready, in order, and those that are out."""

    __slots__ = ("out", "ready", "session_id")

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        self.ready: deque[Stored] = deque()
        self.out: dict[int, Stored] = {}

    @property
    def head(self) -> Stored | None:
        """The first ready message; those that expired while they waited are dropped on the way."""
        ready = self.ready
        while ready and ready[0].place is not Place.READY:
            ready.popleft()
        return ready[0] if ready else None

    def has_head(self, sequence: int) -> bool:
        """Say whether the head is this message still."""
        head = self.head
        return head is not None and head.sequence == sequence

    def take_head(self) -> Stored:
        """Take the head out: from now on it is in flight."""
        stored = self.ready.popleft()
        self.out[stored.sequence] = stored
        return stored

    def give_back(self, stored: Stored) -> None:
        """Put a message that was out where its sequence belongs: at the head, as a rule."""
        self.out.pop(stored.sequence, None)
        place = 0
        while place < len(self.ready) and self.ready[place].sequence < stored.sequence:
            place += 1
        self.ready.insert(place, stored)

    @property
    def is_empty(self) -> bool:
        """True if nothing is left of it."""
        return not self.out and self.head is None


class FifoLanes:
    """A FIFO queue: a message in flight blocks those after it in its session, and no others.

    So messages that are released from the tail to the head come back in order, and a released head is delivered again
    while later ones are still in flight. One receive may take several messages of a session.

    Source: recordings against SQS, published in LocalStack's snapshot tests: for the released head
    test_fifo_message_group_visibility_after_terminate_visibility_timeout; that an extended message blocks what is
    behind it, and not what is before it, was recorded on 2025-11-19.
    """

    def __init__(self) -> None:
        self._groups: dict[str, Group] = {}
        self._heads: list[tuple[int, str]] = []  # a heap; an entry that no longer names a free head is skipped

    def add(self, stored: Stored) -> None:
        """Append to the session's messages."""
        group = self._group(stored)
        group.ready.append(stored)
        if len(group.ready) == 1:
            self._offer(group)

    def pop(self) -> Iterator[Stored]:
        """Yield the free messages of the session with the oldest head, then of the next."""
        heads = self._heads
        while heads:
            sequence, session_id = heapq.heappop(heads)
            group = self._groups.get(session_id)
            if group is None or not group.has_head(sequence):
                continue
            blocked_from = min(group.out, default=NEVER)
            while (head := group.head) is not None and head.sequence < blocked_from:
                yield group.take_head()

    def give_back(self, stored: Stored) -> None:
        """Put the message back to its place in the session."""
        group = self._group(stored)
        group.give_back(stored)
        self._offer(group)

    def forget(self, stored: Stored) -> None:
        """Unblock what waited behind the message."""
        group = self._group(stored)
        group.out.pop(stored.sequence, None)
        self._offer(group)

    def _group(self, stored: Stored) -> Group:
        session_id = stored.message.session_id or ""  # sends without a session are refused
        group = self._groups.get(session_id)
        if group is None:
            group = self._groups[session_id] = Group(session_id)
        return group

    def _offer(self, group: Group) -> None:
        """Make the session's head available if nothing blocks it; drop a session that is empty."""
        head = group.head
        if head is None:
            if not group.out:
                del self._groups[group.session_id]
        elif head.sequence < min(group.out, default=NEVER):
            heapq.heappush(self._heads, (head.sequence, group.session_id))
