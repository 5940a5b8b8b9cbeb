"""One call at the broker, from the check that the provider is open to the fault that spoils its answer."""

from __future__ import annotations

from collections.abc import Sequence

from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.errors import (
    ConnectionFailed,
    ErrorContext,
    ProviderClosed,
    QueueError,
    UnsupportedOperation,
)
from queue_runtime.providers.memory.broker import MemoryBroker
from queue_runtime.providers.memory.faults import FaultKind, Operation
from queue_runtime.providers.memory.queue import PROVIDER, BrokerQueue, delivery_of, stale
from queue_runtime.providers.memory.sessions import Session
from queue_runtime.providers.memory.stored import Place, later
from queue_runtime.providers.message import Delivery, Message, QueueName, Receipt, SessionId
from queue_runtime.providers.port import Address, Sent, Settlement

__all__ = ["Calls"]


class Calls:
    """The broker as one provider calls it. Nothing here waits but `begin`."""

    def __init__(self, broker: MemoryBroker) -> None:
        self.broker = broker
        self.is_open = False

    async def begin(self, operation: Operation, queue: QueueName, *, itemised: bool = False) -> None:
        """Commit the faults that come before a call: a delay, a refusal of the whole.

        Raises:
            ProviderClosed: the provider is not open.
            QueueError: a planned refusal, unless the call answers item by item and so refuses item by item.
        """
        self.check_open()
        faults = self.broker.faults
        # Even without a delay this lets others run: a receiver that always finds messages must not starve the loop.
        await self.broker.clock.sleep(faults.next_delay_s(operation, queue))
        if not itemised and (refused := faults.next_refusal(operation, queue)) is not None:
            raise refused

    def check_open(self) -> None:
        """Refuse calls before `open` and after `close`.

        Raises:
            ProviderClosed: the provider is not open.
        """
        if not self.is_open:
            raise ProviderClosed(PROVIDER)

    def send(self, queue: QueueName, messages: Sequence[Message], at: Timestamp | None) -> list[Sent | QueueError]:
        """Take messages in, each on its own."""
        with self.broker.at(Address(queue)) as (found, now):
            return [self._send_one(found, message, at, now) for message in messages]

    def _send_one(
        self, queue: BrokerQueue, message: Message, at: Timestamp | None, now: Timestamp
    ) -> Sent | QueueError:
        refused = self.broker.faults.next_refusal(Operation.SEND, queue.name)
        if refused is not None:
            return refused
        try:
            sent = queue.send(message, at, now)
        except QueueError as error:
            return error
        return self._lost_answer(Operation.SEND, queue.name) or sent

    def cancel(self, queue: QueueName, provider_ids: Sequence[str]) -> list[QueueError | None]:
        """Call off scheduled messages, each on its own."""
        refusal = self.broker.faults.next_refusal
        with self.broker.at(Address(queue)) as (found, _):
            return [refusal(Operation.CANCEL, queue) or found.cancel(provider_id) for provider_id in provider_ids]

    def receive(self, source: Address, max_messages: int) -> list[Delivery]:
        """Take what is ready.

        Raises:
            UnsupportedOperation: the queue has sessions.
        """
        self.check_open()
        with self.broker.at(source) as (queue, now):
            if queue.sessions is not None:
                raise _unsupported(Operation.RECEIVE, source, "has sessions: accept_session first")
            return self.spoil(queue, queue.receive(max_messages, now), now)

    def spoil(self, queue: BrokerQueue, deliveries: list[Delivery], now: Timestamp) -> list[Delivery]:
        """Commit the faults that are planned for deliveries."""
        faults = self.broker.faults
        if not faults.are_planned:
            return deliveries
        for delivery in deliveries:
            if faults.hits(FaultKind.DUPLICATE, Operation.RECEIVE, queue.name):
                queue.put(delivery.message, f"{delivery.receipt.provider_id}-again", now)
            if faults.hits(FaultKind.LOSE_LOCK, Operation.RECEIVE, queue.name):
                stored = queue.stored[delivery.receipt.provider_id]
                queue.locks.free(stored)
                queue.release(stored, now)
        return deliveries

    def settle(self, source: Address, settlements: Sequence[Settlement]) -> list[QueueError | None]:
        """Settle deliveries, each on its own."""
        with self.broker.at(source) as (queue, now):
            if not self.broker.faults.are_planned:
                return [queue.settle(settlement, now) for settlement in settlements]
            refusal = self.broker.faults.next_refusal
            return [
                refusal(Operation.SETTLE, source.queue)
                or queue.settle(settlement, now)
                or self._lost_answer(Operation.SETTLE, source.queue)
                for settlement in settlements
            ]

    def renew(self, source: Address, receipts: Sequence[Receipt], for_s: float | None) -> list[Timestamp | QueueError]:
        """Extend locks, each on its own; in a session each extends the session's.

        Where the broker would renew what has ended, the receipt's own end decides: see `Provider.renew`.
        """
        refusal = self.broker.faults.next_refusal
        with self.broker.at(source) as (queue, now):
            believes = queue.settings.late_receipts
            return [
                refusal(Operation.RENEW, source.queue)
                or (stale(queue, receipt, Operation.RENEW) if believes and receipt.is_expired(now) else None)
                or queue.renew(receipt, now, for_s)
                for receipt in receipts
            ]

    def peek(self, source: Address, max_messages: int, after_sequence: int) -> list[Delivery]:
        """Look at what is not scheduled, locked or not, in the queue's order."""
        with self.broker.at(source) as (queue, now):
            seen = [s for s in queue.stored.values() if s.place is not Place.SCHEDULED and s.sequence > after_sequence]
            seen.sort(key=lambda stored: stored.sequence)
            return [delivery_of(queue.name, stored, "", now) for stored in seen[: max(0, max_messages)]]

    def accept(self, source: Address, session_id: SessionId | None) -> list[Session]:
        """Lock the named session, or the free one with the oldest message; an empty list when there is none.

        Raises:
            SessionLocked: the named one is held.
            UnsupportedOperation: the queue has no sessions.
        """
        self.check_open()
        with self.broker.at(source) as (queue, now):
            if queue.sessions is None:
                raise _unsupported(Operation.ACCEPT, source, "has no sessions: receive from it")
            until = later(now, queue.settings.session_lock_s)
            session = queue.sessions.accept(session_id, self.broker.token(), until)
            return [] if session is None else [session]

    def _lost_answer(self, operation: Operation, queue: QueueName) -> QueueError | None:
        if not self.broker.faults.hits(FaultKind.LOSE_ANSWER, operation, queue):
            return None
        context = ErrorContext(queue=queue, operation=operation)
        return ConnectionFailed(f"the link broke before {operation} on queue {queue!r} was answered", context=context)


def _unsupported(operation: Operation, source: Address, why: str) -> UnsupportedOperation:
    context = ErrorContext(queue=source.queue, operation=operation)
    return UnsupportedOperation(operation, f"queue {source.queue!r} {why}", context=context)
