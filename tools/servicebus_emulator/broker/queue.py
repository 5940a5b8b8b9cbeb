"""A queue as a state machine: what it does depends on what it was told, and on the `now` that it was told with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from queue_runtime.tools.servicebus_emulator.broker.locks import Locks
from queue_runtime.tools.servicebus_emulator.broker.message import Content, State, Stored
from queue_runtime.tools.servicebus_emulator.broker.recent import Recent
from queue_runtime.tools.servicebus_emulator.broker.refusal import Condition, Refused
from queue_runtime.tools.servicebus_emulator.broker.sessions import Session, Sessions
from queue_runtime.tools.servicebus_emulator.broker.store import Store
from queue_runtime.tools.servicebus_emulator.emulated_queue import EmulatedQueue

__all__ = ["Outcome", "Queue", "Routes", "Settlement"]

SECOND = 1_000_000


class Outcome(Enum):
    """What a receiver makes of a message. Source: Service Bus, "Message transfers, locks, and settlement"."""

    COMPLETE = "complete"
    ABANDON = "abandon"
    DEFER = "defer"
    DEAD_LETTER = "dead-letter"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class Settlement:
    """An outcome with what goes with it.

    Args:
        outcome: which; `RELEASE` gives back unseen, which is not counted as a delivery.
        reason: of a dead letter.
        description: of a dead letter.
        changes: encoded application properties to set, by encoded key.
    """

    outcome: Outcome
    reason: str = ""
    description: str = ""
    changes: Mapping[bytes, bytes] = field(default_factory=dict[bytes, bytes])


class Routes(Protocol):
    """Where messages go that leave a queue for another; the queue has let go of them before."""

    def bury(self, queue: Queue, stored: Stored, reason: str, description: str, now: int) -> None:
        """Move a message to the queue's dead letters."""
        ...

    def forward(self, queue: Queue, stored: Stored, now: int) -> None:
        """Move a message to the queue that it is forwarded to."""
        ...


class Queue:
    """One queue, or the dead letters of one. Instants are microseconds since the epoch.

    Args:
        name: of the queue, with its path in it if it is a sub-queue.
        settings: what it is like.
        tokens: yields the tokens of locks: 16 bytes, never twice the same.
        routes: where messages go from here.
        is_last: dead letters are kept here: they do not expire, and stay however often they are delivered. Source:
            Service Bus, "Overview of Service Bus dead-letter queues".
    """

    def __init__(
        self, name: str, settings: EmulatedQueue, tokens: Iterator[bytes], routes: Routes, *, is_last: bool = False
    ) -> None:
        lock_us = round(settings.lock_s * SECOND)
        self.name = name
        self.settings = settings
        self.store = Store(has_sessions=settings.sessions)
        self.sessions = Sessions(name, lock_us) if settings.sessions else None
        self.locks = Locks(name, lock_us, tokens, self.sessions)
        self.lost: list[int | None] = []
        """Holders of sessions whose lock has ended; cleared by who tells them."""
        self._routes = routes
        self._is_last = is_last
        window_s = settings.duplicate_window_s
        self._recent = Recent(None if window_s is None else round(window_s * SECOND))

    # --- in -----------------------------------------------------------------------------------------------------

    def check(self, contents: Sequence[Content]) -> None:
        """Look at messages before one of them is put: a batch is taken whole, or not at all.

        Raises:
            Refused: one needs a session id, or there is no room.
        """
        name = self.name
        if self.sessions is not None and any(content.session_id is None for content in contents):
            raise Refused(Condition.NOT_ALLOWED, f"queue {name} has sessions: give every message a session id")
        room = self.settings.max_bytes - self.store.size
        needed = sum(content.size for content in contents)
        if needed > room:
            text = f"queue {name} is full: {needed} bytes are to be stored and {room} are free; receive from it first"
            raise Refused(Condition.QUOTA, text)

    def put(self, content: Content, now: int) -> int | None:
        """Keep a message that was checked, and return its number; None for a duplicate, which is dropped.

        Source: Service Bus, "Duplicate detection" and "Scheduled messages".
        """
        if self._recent.is_known(content.message_id, now):
            return None
        stored = self.store.add(content, now)
        if content.due_at is not None and content.due_at > now:
            self.store.schedule(stored, content.due_at)
        else:
            self._enqueue(stored, now)
        return stored.sequence

    def adopt(self, moved: Stored, now: int) -> Stored:
        """Keep a message that another queue had, under a number of this one."""
        stored = self.store.add(moved.content, now)
        stored.delivery_count = moved.delivery_count
        stored.changes = moved.changes
        stored.first_sequence = moved.first_sequence or moved.sequence
        self.store.ready(stored)
        return stored

    def cancel(self, sequence: int) -> None:
        """Forget a scheduled message.

        Raises:
            Refused: there is none of that number.
        """
        stored = self.store.messages.get(sequence)
        if stored is None or stored.state is not State.SCHEDULED:
            raise _unknown(self.name, sequence, "scheduled")
        self.store.drop(stored)

    def _enqueue(self, stored: Stored, now: int) -> None:
        """Let a message be delivered. Its time to live begins here. Source: Service Bus, "Message expiration"."""
        if self.settings.forward_to is not None:
            self.store.drop(stored)
            self._routes.forward(self, stored, now)
            return
        own, longest = stored.content.ttl_us, self.settings.ttl_s
        limits = [limit for limit in (own, None if longest is None else round(longest * SECOND)) if limit is not None]
        if limits:
            self.store.expire(stored, now + min(limits))
        self.store.ready(stored)

    # --- out ----------------------------------------------------------------------------------------------------

    def take(self, now: int, *, session: Session | None = None, delete: bool = False) -> Stored | None:
        """Return the next message - of `session`, where there are sessions - or None.

        It is locked, or gone from the queue with `delete`.
        """
        lane = None if session is None else session.name
        while (stored := self.store.head(lane)) is not None:
            self.store.pop(lane)
            if stored.expires_at is not None and stored.expires_at <= now:
                self._expire(stored, now)
                continue
            if delete:
                self.store.drop(stored)
            else:
                self.locks.lock(stored, now, session)
            return stored
        return None

    def fetch(self, sequence: int, now: int, *, session: Session | None = None, delete: bool = False) -> Stored:
        """Return a deferred message: locked, or gone with `delete`. Source: Service Bus, "Message deferral".

        Raises:
            Refused: there is none of that number, in that session, that is not locked already.
        """
        stored = self.store.messages.get(sequence)
        if (
            stored is None
            or stored.state is not State.DEFERRED
            or stored.token is not None
            or self.store.lane(stored) != (None if session is None else session.name)
        ):
            raise _unknown(self.name, sequence, "deferred")
        if delete:
            self.store.drop(stored)
        else:
            self.locks.lock(stored, now, session)
        return stored

    def settle(self, token: bytes, settlement: Settlement, now: int) -> None:
        """Do with a locked message what its receiver says.

        Raises:
            Refused: its lock is lost, or it is to be dead-lettered and is a dead letter already.
        """
        stored = self.locks.held(token, now)
        if settlement.outcome is Outcome.DEAD_LETTER and self._is_last:
            text = f"{self.name} holds dead letters already: complete the message, or abandon it"
            raise Refused(Condition.NOT_ALLOWED, text)
        self.locks.release(stored)
        if settlement.changes:
            stored.changes = {**stored.changes, **settlement.changes}
        match settlement.outcome:
            case Outcome.COMPLETE:
                self.store.drop(stored)
            case Outcome.DEFER:
                stored.state = State.DEFERRED
                self._return(stored, now, is_counted=False)
            case Outcome.DEAD_LETTER:
                self._bury(stored, settlement.reason, settlement.description, now)
            case abandoned_or_released:
                self._return(stored, now, is_counted=abandoned_or_released is Outcome.ABANDON)

    def free(self, session: Session, now: int, *, is_lost: bool) -> None:
        """Take a session from its holder, which gives its messages back: counted if the lock was lost, not if it was
        closed. Source: Service Bus, "Message sessions", impact of delivery count.
        """  # noqa: D205 - one sentence
        if self.sessions is not None:
            for stored in self.sessions.free(session):
                self.locks.release(stored)
                self._return(stored, now, is_counted=is_lost)

    def _return(self, stored: Stored, now: int, *, is_counted: bool) -> None:
        """Put a message back where it was: in its lane, or among the deferred.

        Source: Service Bus, "Overview of Service Bus dead-letter queues", maximum delivery count.
        """
        stored.delivery_count += is_counted
        most = self.settings.max_delivery_count
        if not self._is_last and stored.delivery_count >= most:
            text = f"Message could not be consumed after {most} delivery attempts."
            self._bury(stored, "MaxDeliveryCountExceeded", text, now)
        elif stored.expires_at is not None and stored.expires_at <= now:
            self._expire(stored, now)
        elif stored.state is State.ACTIVE:
            self.store.ready(stored)

    def _expire(self, stored: Stored, now: int) -> None:
        """End a message whose time is over. Source: Service Bus, "Message expiration"."""
        if self.settings.dead_letter_expired:
            self._bury(stored, "TTLExpiredException", "The message expired and was dead lettered.", now)
        else:
            self.store.drop(stored)

    def _bury(self, stored: Stored, reason: str, description: str, now: int) -> None:
        self.store.drop(stored)
        self._routes.bury(self, stored, reason, description, now)

    # --- time ---------------------------------------------------------------------------------------------------

    def tick(self, now: int) -> None:
        """Do what is due: enqueue what was scheduled, end locks and lives.

        A scheduled message takes a new number when it is enqueued. Source: Service Bus, "Message sequencing".
        """
        for stored in self.store.due(now):
            self.store.drop(stored)
            self._enqueue(self.store.add(stored.content, now), now)
        for stored in self.locks.lapsed(now):
            self.locks.release(stored)
            self._return(stored, now, is_counted=True)
        for session in self.sessions.lapsed(now) if self.sessions is not None else ():
            self.lost.append(session.holder)
            self.free(session, now, is_lost=True)
        for stored in self.store.expired(now):
            if stored.token is None:
                self._expire(stored, now)

    def next_at(self) -> int | None:
        """Return the instant at which `tick` may have something to do next."""
        sessions = None if self.sessions is None else self.sessions.next_at()
        return min(
            (at for at in (self.store.next_at(), self.locks.next_at(), sessions) if at is not None), default=None
        )


def _unknown(queue: str, sequence: int, state: str) -> Refused:
    text = f"queue {queue} has no {state} message {sequence}; peek to see what it has"
    return Refused(Condition.MESSAGE_NOT_FOUND, text)
