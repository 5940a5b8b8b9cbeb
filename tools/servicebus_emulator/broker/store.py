"""Where a queue keeps its messages: by number, and in the order in which they are to be delivered."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush

from queue_runtime.tools.servicebus_emulator.broker.message import Content, State, Stored

__all__ = ["Store"]


class Store:
    """Messages by sequence number, and lanes of what is ready: one a session, one for a queue without sessions.

    Numbers only grow, so the dictionary is in their order. A lane is a heap, since what is given back goes to its old
    place. Entries of heaps are left behind when their message goes, and skipped when they come up.

    Args:
        has_sessions: there is a lane for each session.
    """

    def __init__(self, *, has_sessions: bool) -> None:
        self.messages: dict[int, Stored] = {}
        self.lanes: dict[str | None, list[int]] = {}
        self.size = 0
        self._has_sessions = has_sessions
        self._sequence = 0
        self._scheduled: list[tuple[int, int]] = []
        self._expiring: list[tuple[int, int]] = []

    def add(self, content: Content, now: int) -> Stored:
        """Keep a message under the next number, in no lane yet."""
        self._sequence += 1
        stored = Stored(content, self._sequence, now)
        self.messages[self._sequence] = stored
        self.size += content.size
        return stored

    def drop(self, stored: Stored) -> None:
        """Forget a message."""
        del self.messages[stored.sequence]
        self.size -= stored.content.size

    def schedule(self, stored: Stored, due_at: int) -> None:
        """Keep a message aside until `due_at`."""
        stored.state = State.SCHEDULED
        heappush(self._scheduled, (due_at, stored.sequence))

    def expire(self, stored: Stored, at: int) -> None:
        """Let `expired` find a message from `at` on."""
        stored.expires_at = at
        heappush(self._expiring, (at, stored.sequence))

    def lane(self, stored: Stored) -> str | None:
        """Return the session in whose order a message is delivered; None where there are no sessions."""
        return stored.content.session_id if self._has_sessions else None

    def ready(self, stored: Stored) -> None:
        """Let a message be delivered: it has its place in its lane."""
        stored.state = State.ACTIVE
        heappush(self.lanes.setdefault(self.lane(stored), []), stored.sequence)

    def head(self, lane: str | None) -> Stored | None:
        """Return the next message of a lane; a lane without any is forgotten."""
        waiting = self.lanes.get(lane)
        while waiting:
            stored = self.messages.get(waiting[0])
            if stored is not None:
                return stored
            heappop(waiting)
        self.lanes.pop(lane, None)
        return None

    def pop(self, lane: str | None) -> None:
        """Take the head out of its lane."""
        heappop(self.lanes[lane])

    def due(self, now: int) -> Iterator[Stored]:
        """Yield the scheduled messages whose time has come."""
        return self._past(self._scheduled, now)

    def expired(self, now: int) -> Iterator[Stored]:
        """Yield the messages whose time to live has ended."""
        return self._past(self._expiring, now)

    def _past(self, heap: list[tuple[int, int]], now: int) -> Iterator[Stored]:
        while heap and heap[0][0] <= now:
            stored = self.messages.get(heappop(heap)[1])
            if stored is not None:
                yield stored

    def next_at(self) -> int | None:
        """Return the instant at which `due` or `expired` may have something next."""
        return min((heap[0][0] for heap in (self._scheduled, self._expiring) if heap), default=None)
