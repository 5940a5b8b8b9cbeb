"""Session locks, as Service Bus has them: who holds a session receives from it, and nobody else does."""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterator

from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.errors import SessionLocked, SessionLockLost
from queue_runtime.providers.memory.lanes import Group
from queue_runtime.providers.memory.stored import NEVER, Place, Stored

__all__ = ["Session", "SessionLanes"]


class Session(Group):
    """One session: its messages, its state, and who holds its lock under which token."""

    __slots__ = ("locked_until", "state", "token")

    def __init__(self, session_id: str) -> None:
        super().__init__(session_id)
        self.state: bytes | None = None
        self.token = ""
        self.locked_until = NEVER

    @property
    def is_held(self) -> bool:
        """True while somebody holds its lock."""
        return self.token != ""

    @property
    def free_head(self) -> Stored | None:
        """The head, unless an earlier message is hidden: order is kept while an abandoned one waits for its delay."""
        head = self.head
        hidden_from = min((s.sequence for s in self.out.values() if s.place is Place.HIDDEN), default=NEVER)
        return head if head is not None and head.sequence < hidden_from else None

    def pop(self) -> Iterator[Stored]:
        """Yield the free messages, in order, taking each out."""
        while self.free_head is not None:
            yield self.take_head()


class SessionLanes:
    """A queue with sessions: lanes with an owner each."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}
        self._held: OrderedDict[str, Session] = OrderedDict()  # by token, in the order in which their locks end
        self._heads: list[tuple[int, str]] = []  # a heap; an entry that no longer names a free head is skipped

    def add(self, stored: Stored) -> None:
        """Append to the session's messages."""
        session = self._session(stored.message.session_id or "")  # sends without one are refused
        session.ready.append(stored)
        self._offer(session)

    def pop(self) -> Iterator[Stored]:
        """Yield nothing: messages are received by the holder of their session only."""
        return iter(())

    def give_back(self, stored: Stored) -> None:
        """Put the message back to its place in the session."""
        session = self._session(stored.message.session_id or "")  # sends without one are refused
        session.give_back(stored)
        self._offer(session)

    def forget(self, stored: Stored) -> None:
        """Note that the message left its session."""
        session = self._session(stored.message.session_id or "")  # sends without one are refused
        session.out.pop(stored.sequence, None)
        self._offer(session)

    def accept(self, session_id: str | None, token: str, until: Timestamp) -> Session | None:
        """Lock the named session, or the free one with the oldest head.

        Raises:
            SessionLocked: the named one is held.
        """
        session = self._next_free() if session_id is None else self._session(session_id)
        if session is None:
            return None
        if session.is_held:
            raise SessionLocked(session.session_id, session.locked_until)
        session.token = token
        session.locked_until = until
        self._held[token] = session
        return session

    def held(self, session_id: str, token: str) -> Session:
        """Return the session that `token` holds.

        Raises:
            SessionLockLost: it does not hold it, or not any more.
        """
        session = self._held.get(token)
        if session is None:
            raise SessionLockLost(session_id)
        return session

    def renew(self, session: Session, until: Timestamp) -> None:
        """Move the end of a session's lock, and so of the locks on its messages."""
        session.locked_until = until
        self._held.move_to_end(session.token)
        for stored in session.out.values():
            stored.locked_until = until

    def free(self, session: Session) -> None:
        """End a session's lock; what is still locked in it must have been given back."""
        del self._held[session.token]
        session.token = ""
        self._offer(session)

    def expired(self, now: Timestamp) -> Iterator[Session]:
        """Yield the sessions whose lock has ended. Free each before asking for the next."""
        while self._held:
            session = next(iter(self._held.values()))
            if session.locked_until > now:
                return
            yield session

    @property
    def next_end(self) -> Timestamp:
        """When the next session lock ends unless renewed."""
        return next(iter(self._held.values())).locked_until if self._held else NEVER

    def find(self, session_id: str) -> Session | None:
        """Return a session that exists: it has messages, a state or a holder."""
        return self._sessions.get(session_id)

    def _session(self, session_id: str) -> Session:
        session = self._sessions.get(session_id)
        if session is None:
            session = self._sessions[session_id] = Session(session_id)
        return session

    def _next_free(self) -> Session | None:
        while self._heads:
            sequence, session_id = heapq.heappop(self._heads)
            session = self._sessions.get(session_id)
            if session is None or session.is_held:
                continue
            head = session.free_head
            if head is not None and head.sequence == sequence:
                return session
        return None

    def _offer(self, session: Session) -> None:
        """Make a free session with messages available to `accept`; drop one of which nothing is left."""
        if session.is_held:
            return
        head = session.free_head
        if head is not None:
            heapq.heappush(self._heads, (head.sequence, session.session_id))
        elif session.is_empty and session.state is None:
            self._sessions.pop(session.session_id, None)
