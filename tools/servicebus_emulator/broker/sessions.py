"""Sessions of a queue: who holds which, until when, and the state kept for each."""

from __future__ import annotations

from dataclasses import dataclass, field

from queue_runtime.tools.servicebus_emulator.broker.message import Stored
from queue_runtime.tools.servicebus_emulator.broker.refusal import Condition, Refused

__all__ = ["Session", "Sessions"]


@dataclass(slots=True, eq=False)
class Session:
    """A session. Instants are microseconds since the epoch.

    Args:
        name: its id; the empty text is one.
        holder: who holds its lock, None when it is free.
        locked_until: end of the lock.
        state: what was stored for it.
        updated_at: when its state was set last.
        held: messages that its holder was given and has not settled, by the token of their lock.
    """

    name: str
    holder: int | None = None
    locked_until: int = 0
    state: bytes | None = None
    updated_at: int = 0
    held: dict[bytes, Stored] = field(default_factory=dict[bytes, Stored])


class Sessions:
    """The sessions that are held or have a state; others need no memory. Source: Service Bus, "Message sessions"."""

    def __init__(self, queue: str, lock_us: int) -> None:
        self._queue = queue
        self._lock_us = lock_us
        self._known: dict[str, Session] = {}

    def is_free(self, name: str) -> bool:
        """Return whether nobody holds a session."""
        session = self._known.get(name)
        return session is None or session.holder is None

    def accept(self, name: str, holder: int, now: int) -> Session:
        """Give the lock of a session to `holder`.

        Raises:
            Refused: somebody holds it.
        """
        session = self._known.setdefault(name, Session(name))
        if session.holder is not None:
            text = f"session {name!r} of queue {self._queue} is locked by another receiver; try again later"
            raise Refused(Condition.SESSION_LOCKED, text)
        session.holder, session.locked_until = holder, now + self._lock_us
        return session

    def held(self, name: str, now: int, holder: int | None = None) -> Session:
        """Return a session that is held, by `holder` if one is named.

        Raises:
            Refused: its lock is lost.
        """
        session = self._known.get(name)
        is_held = session is not None and session.holder is not None and session.locked_until > now
        if session is None or not is_held or holder not in {None, session.holder}:
            text = f"the lock of session {name!r} of queue {self._queue} is lost; accept the session again"
            raise Refused(Condition.SESSION_LOST, text)
        return session

    def renew(self, name: str, now: int) -> int:
        """Lock a session for its full time again, and return until when.

        Raises:
            Refused: its lock is lost.
        """
        session = self.held(name, now)
        session.locked_until = now + self._lock_us
        return session.locked_until

    def free(self, session: Session) -> list[Stored]:
        """Take the lock from its holder, and return what it had not settled."""
        session.holder = None
        given = list(session.held.values())
        session.held.clear()
        if session.state is None:
            self._known.pop(session.name, None)
        return given

    def let_go(self, name: str, token: bytes) -> None:
        """Note that a message is not its holder's any more."""
        session = self._known.get(name)
        if session is not None:
            session.held.pop(token, None)

    def set_state(self, name: str, state: bytes | None, now: int) -> None:
        """Store a state for a session, or clear it with None.

        Raises:
            Refused: its lock is lost.
        """
        session = self.held(name, now)
        session.state, session.updated_at = state, now

    def lapsed(self, now: int) -> list[Session]:
        """Return the sessions whose lock has ended."""
        return [
            session for session in self._known.values() if session.holder is not None and session.locked_until <= now
        ]

    def end_all(self, now: int) -> None:
        """Let every lock end now."""
        for session in self._known.values():
            session.locked_until = min(session.locked_until, now)

    def next_at(self) -> int | None:
        """Return the instant at which a lock ends next."""
        held = (session.locked_until for session in self._known.values() if session.holder is not None)
        return min(held, default=None)

    def names(self, changed_since: int) -> list[str]:
        """Return the sessions with a state that was set since an instant."""
        return [
            session.name
            for session in self._known.values()
            if session.state is not None and session.updated_at > changed_since
        ]
