"""One group of a FIFO queue in the hands of one consumer of this process."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from queue_runtime.providers.clock import Clock, Timestamp
from queue_runtime.providers.errors import QueueError, SessionLockLost, UnsupportedOperation
from queue_runtime.providers.message import Delivery, SessionId
from queue_runtime.providers.sqs.ledger import Ledger
from queue_runtime.providers.sqs.queues import Queue
from queue_runtime.providers.sqs.settling import Settler

__all__ = ["GroupSession", "Holders", "renewed"]


class Holders(Protocol):
    """Who knows which session is whose."""

    def check(self, session: GroupSession) -> None:
        """Raise `SessionLockLost` if it is not its holder's any more."""
        ...

    async def receive(self, session: GroupSession, max_messages: int, wait_s: float) -> list[Delivery]:
        """Take messages of it."""
        ...

    async def release(self, session: GroupSession) -> None:
        """Give it back."""
        ...


class GroupSession:
    """A held group. What came of it and was not handed out yet is `waiting`."""

    def __init__(self, holders: Holders, queue: Queue, session_id: SessionId, locked_until: Timestamp) -> None:
        self._holders = holders
        self.queue = queue
        self.waiting: list[Delivery] = []
        self._out: list[Delivery] = []
        self._session_id = session_id
        self._locked_until = locked_until

    @property
    def session_id(self) -> SessionId:
        """The session that is held."""
        return self._session_id

    @property
    def locked_until(self) -> Timestamp:
        """When the first of its locks ends; moves with every renewal, a sibling's too."""
        return self._locked_until

    def extend(self, until: Timestamp) -> None:
        """Its locks end later now."""
        self._locked_until = until

    def take(self, max_messages: int) -> list[Delivery]:
        """Hand out what waits, in order."""
        taken, self.waiting = self.waiting[:max_messages], self.waiting[max_messages:]
        taken = [_known(delivery, self._locked_until) for delivery in taken]
        self._out += taken
        return taken

    def in_flight(self, ledger: Ledger) -> list[Delivery]:
        """Return what is not settled of it, in order; what is settled is forgotten."""
        self._out = [delivery for delivery in self._out if ledger.settled_as(delivery.receipt) is None]
        return [*self._out, *self.waiting]

    async def receive(self, max_messages: int, wait_s: float) -> list[Delivery]:
        """Take messages of this session, in order."""
        return await self._holders.receive(self, max_messages, wait_s)

    async def get_state(self) -> bytes | None:
        """Refuse: SQS keeps nothing for a group."""
        raise self._without_state()

    async def set_state(self, state: bytes | None) -> None:
        """Refuse: SQS keeps nothing for a group."""
        del state
        raise self._without_state()

    def _without_state(self) -> UnsupportedOperation:
        self._holders.check(self)
        return UnsupportedOperation("session state", "SQS keeps no state for a group: keep it in a store of yours")

    async def close(self) -> None:
        """Give the session back. Twice is harmless; one that was lost is left to whoever has it."""
        await self._holders.release(self)


def _known(delivery: Delivery, until: Timestamp) -> Delivery:
    receipt = delivery.receipt
    return replace(delivery, receipt=replace(receipt, expires_at=max(receipt.expires_at, until)))


async def renewed(
    session: GroupSession, queue: Queue, settler: Settler, ledger: Ledger, clock: Clock
) -> Timestamp | QueueError:
    """Extend every lock of a session, in batches; on any thread, with the settler of its loop."""
    lost = SessionLockLost(session.session_id, queue=queue.name)
    now = clock.now()
    if session.locked_until <= now:
        return lost
    receipts = [delivery.receipt for delivery in session.in_flight(ledger)]
    answers = await settler.renew(queue, receipts, None)
    until = Timestamp(now + queue.visibility_s * 1_000_000)
    for receipt, answer in zip(receipts, answers, strict=True):
        if not isinstance(answer, QueueError):
            until = min(until, answer)
        elif answer.transient:
            return answer
        elif ledger.settled_as(receipt) is None:
            return lost
    session.extend(until)
    return until
