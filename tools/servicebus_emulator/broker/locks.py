"""Locks of messages: by token, until an instant, or as long as the session that they are part of."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush

from queue_runtime.tools.servicebus_emulator.broker.message import Stored
from queue_runtime.tools.servicebus_emulator.broker.refusal import Condition, Refused
from queue_runtime.tools.servicebus_emulator.broker.sessions import Session, Sessions

__all__ = ["Locks"]


class Locks:
    """The locks of one queue. Source: Service Bus, "Message transfers, locks, and settlement" and "Message sessions".

    Args:
        queue: its name, for texts.
        lock_us: how long a lock lasts, in microseconds.
        tokens: yields 16 bytes, never twice the same.
        sessions: those of the queue, if it has any: their locks are the messages'.
    """

    def __init__(self, queue: str, lock_us: int, tokens: Iterator[bytes], sessions: Sessions | None) -> None:
        self._queue = queue
        self._lock_us = lock_us
        self._tokens = tokens
        self._sessions = sessions
        self._locked: dict[bytes, Stored] = {}
        self._ends: list[tuple[int, bytes]] = []

    def lock(self, stored: Stored, now: int, session: Session | None) -> None:
        """Lock a message: for its session's time, if it is received through one."""
        token = next(self._tokens)
        stored.token = token
        self._locked[token] = stored
        if session is not None:
            stored.locked_until = session.locked_until
            session.held[token] = stored
        else:
            self._hold(stored, token, now)

    def _hold(self, stored: Stored, token: bytes, now: int) -> None:
        stored.locked_until = now + self._lock_us
        heappush(self._ends, (stored.locked_until, token))

    def held(self, token: bytes, now: int) -> Stored:
        """Return a locked message.

        Raises:
            Refused: its lock, or its session's, is lost.
        """
        stored = self._locked.get(token)
        if stored is not None and self._sessions is not None:
            self._sessions.held(stored.content.session_id or "", now)
            return stored
        if stored is None or stored.locked_until <= now:
            text = f"the lock of a message of queue {self._queue} is lost: its time is over, or the message is settled"
            raise Refused(Condition.LOCK_LOST, text)
        return stored

    def renew(self, token: bytes, now: int) -> int:
        """Lock a message for its full time again, and return until when; a session's message stays as its session.

        Raises:
            Refused: its lock is lost.
        """
        stored = self.held(token, now)
        if self._sessions is None:
            self._hold(stored, token, now)
        return stored.locked_until

    def release(self, stored: Stored) -> None:
        """Unlock a message, whatever becomes of it."""
        token, stored.token = stored.token or b"", None
        self._locked.pop(token, None)
        if self._sessions is not None:
            self._sessions.let_go(stored.content.session_id or "", token)

    def lapsed(self, now: int) -> Iterator[Stored]:
        """Yield the messages whose lock has ended."""
        while self._ends and self._ends[0][0] <= now:
            stored = self._locked.get(heappop(self._ends)[1])
            if stored is not None and stored.locked_until <= now:
                yield stored

    def end_all(self, now: int) -> None:
        """Let every lock of a message end now."""
        for token, stored in self._locked.items():
            stored.locked_until = now
            heappush(self._ends, (now, token))

    def next_at(self) -> int | None:
        """Return the instant at which `lapsed` may have something next."""
        return self._ends[0][0] if self._ends else None
