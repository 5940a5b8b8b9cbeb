"""Sessions of a FIFO queue, as far as one process can have them: the service hands out no group by its name.

Whoever wants a group pulls whatever comes; what is of another group is kept for whoever wants that one: see `pool`.
Between processes a group is exclusive only while a message of it is in flight, as always.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from queue_runtime.providers.clock import Clock, Timestamp
from queue_runtime.providers.errors import SessionLocked, SessionLockLost, UnsupportedOperation
from queue_runtime.providers.message import Delivery, QueueName, SessionId
from queue_runtime.providers.port import HeldSession
from queue_runtime.providers.sqs.group_session import GroupSession
from queue_runtime.providers.sqs.intake import Intake
from queue_runtime.providers.sqs.ledger import Ledger
from queue_runtime.providers.sqs.pool import Pool
from queue_runtime.providers.sqs.queues import Queue
from queue_runtime.providers.sqs.receiving import Receiving
from queue_runtime.providers.sqs.settling import Settler

__all__ = ["Groups"]


class Groups:
    """The groups that one provider holds or keeps. For one loop, but for the renewal of sessions."""

    def __init__(self, receiving: Receiving, intake: Intake, settler: Settler, ledger: Ledger, clock: Clock) -> None:
        self._intake = intake
        self._ledger = ledger
        self._clock = clock
        self._pool = Pool(receiving, intake, settler, clock, self.unheld)
        self._held: dict[tuple[QueueName, SessionId], GroupSession] = {}
        self._releasing: set[asyncio.Task[None]] = set()

    # --- for sessions ---

    async def accept(self, queue: Queue, session_id: SessionId | None, wait_s: float) -> HeldSession | None:
        """Hold a group: a named one at once, whatever is in it; else that of the oldest message which nobody holds.

        Raises:
            SessionLocked: the named one is held here already.
            UnsupportedOperation: the queue is a standard one.
        """
        if not queue.is_fifo:
            operation = "accept_session"
            why = f"standard queue {str(queue.name)!r} has no sessions: receive from the queue"
            raise UnsupportedOperation(operation, why)
        if session_id is None:
            return await self._pool.until(queue, wait_s, lambda: self._next(queue))
        holder = self._holder(queue, session_id)
        if holder is not None:
            raise SessionLocked(session_id, holder.locked_until, queue=queue.name)
        return self._hold(queue, session_id)

    def _next(self, queue: Queue) -> GroupSession | None:
        session_id = self._pool.oldest(queue)
        return None if session_id is None else self._hold(queue, session_id)

    def _hold(self, queue: Queue, session_id: SessionId) -> GroupSession:
        mine = self._pool.take_group(queue, session_id)
        fresh = Timestamp(self._clock.now() + queue.visibility_s * 1_000_000)
        until = min((delivery.receipt.expires_at for delivery in mine), default=fresh)
        session = self._held[queue.name, session_id] = GroupSession(self, queue, session_id, until)
        session.waiting = mine
        return session

    def _holder(self, queue: Queue, session_id: SessionId | None) -> GroupSession | None:
        session = None if session_id is None else self._held.get((queue.name, session_id))
        if session is not None and session.locked_until <= self._clock.now():
            self._lose(session)
            return None
        return session

    def check(self, session: GroupSession) -> None:
        """See that a session is its holder's still.

        Raises:
            SessionLockLost: it is not.
        """
        if self._holder(session.queue, session.session_id) is not session:
            raise SessionLockLost(session.session_id, queue=session.queue.name)

    def _lose(self, session: GroupSession) -> None:
        """Let go of a session whose lock has ended; what was not handed out of it comes again behind what was."""
        self._held.pop((session.queue.name, session.session_id), None)
        self._start(self._intake.give_back(session.queue, session.waiting))

    def _start(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.ensure_future(work)
        self._releasing.add(task)
        task.add_done_callback(self._releasing.discard)

    async def receive(self, session: GroupSession, max_messages: int, wait_s: float) -> list[Delivery]:
        """Take messages of a session in order.

        Raises:
            SessionLockLost: it is somebody else's by now.
        """

        def take() -> list[Delivery] | None:
            self.check(session)
            return session.take(max_messages) or None

        return await self._pool.until(session.queue, wait_s, take) or []

    async def release(self, session: GroupSession) -> None:
        """Give a session back: what is not settled of it is released, tail to head. A lost one is left alone."""
        if self._holder(session.queue, session.session_id) is session:
            del self._held[session.queue.name, session.session_id]
            await self._intake.give_back(session.queue, session.in_flight(self._ledger))

    # --- for receives without a session ---

    def unclaimed(self, queue: Queue, max_messages: int) -> list[Delivery]:
        """Take what is kept of groups that nobody holds."""
        return self._pool.take(queue, max_messages)

    def unheld(self, queue: Queue, deliveries: list[Delivery]) -> list[Delivery]:
        """Return what is of no held session; the sessions get theirs."""
        rest: list[Delivery] = []
        for delivery in deliveries:
            holder = self._holder(queue, delivery.message.session_id)
            (rest if holder is None else holder.waiting).append(delivery)
        return rest

    async def close(self) -> None:
        """Give back what was not handed out. After the receives have ended."""
        await self._pool.close()
        for session in self._held.values():
            await self._intake.give_back(session.queue, session.waiting)
        self._held.clear()
        if self._releasing:
            await asyncio.wait(self._releasing)
