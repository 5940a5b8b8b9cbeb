"""The port over Amazon SQS."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from queue_runtime.providers.clock import Clock, SystemClock, Timestamp
from queue_runtime.providers.errors import (
    QueueError,
    SessionLockLost,
    UnsupportedOperation,
)
from queue_runtime.providers.message import Delivery, Message, QueueName, Receipt, SessionId
from queue_runtime.providers.port import Address, Capabilities, HeldSession, QueueCounts, Sent, Settlement
from queue_runtime.providers.sqs.clients import Clients
from queue_runtime.providers.sqs.group_session import GroupSession, renewed
from queue_runtime.providers.sqs.groups import Groups
from queue_runtime.providers.sqs.inspection import SqsInspector
from queue_runtime.providers.sqs.intake import Intake
from queue_runtime.providers.sqs.ledger import Ledger
from queue_runtime.providers.sqs.queues import Queues, capabilities_of
from queue_runtime.providers.sqs.receiving import Receiving
from queue_runtime.providers.sqs.sending import Outgoing, Sender
from queue_runtime.providers.sqs.settings import PROVIDER, SqsSettings
from queue_runtime.providers.sqs.settling import Settler

__all__ = ["SqsProvider"]


class SqsProvider:
    """A provider to standard and FIFO queues of Amazon SQS. Used on the loop that opens it; a session is a group.

    Attributes:
        inspector: tells how queues are set up.
    """

    def __init__(self, settings: SqsSettings, clock: Clock | None = None, ledger: Ledger | None = None) -> None:
        self._settings = settings
        self._clock = clock if clock is not None else SystemClock()
        self._ledger = ledger if ledger is not None else Ledger(self._clock.now())
        self._clients = Clients(settings)
        self._queues = Queues(self._clients, settings)
        self.inspector = SqsInspector(self._clients, self._queues)
        self._sender = Sender(self._clients, settings, self._clock)
        self._settler = Settler(self._clients, self._queues, self._sender, self._ledger, self._clock)
        intake = Intake(self._settler, self._ledger, self._clock)
        self._receiving = Receiving(self._clients, self._queues, intake, self._clock, settings.longest_poll_s)
        self._groups = Groups(self._receiving, intake, self._settler, self._ledger, self._clock)

    @property
    def name(self) -> str:
        """`aws`."""
        return PROVIDER

    async def open(self) -> None:
        """Make the SDK's clients; no queue is asked for yet.

        Raises:
            ConfigurationError: no region is set.
        """
        await self._clients.open()
        self._queues.is_open = True

    async def close(self) -> None:
        """End every call that waits. Long polls under way are waited for, and what they bring is given back."""
        self._queues.is_open = False
        await self._receiving.close()
        await self._groups.close()
        await self._clients.close()

    def sibling(self) -> SqsProvider:
        """Make a second, unopened provider, which knows of the same deliveries."""
        return SqsProvider(self._settings, self._clock, self._ledger)

    async def capabilities(self, queue: QueueName) -> Capabilities:
        """Say what `queue` can do, by its kind and by how it is set up."""
        return capabilities_of(await self._queues.find(Address(queue)), self._settings)

    async def counts(self, queue: QueueName) -> QueueCounts:
        """Count the messages of a queue, as nearly as the service does."""
        await self._queues.find(Address(queue))
        return await self._queues.counts(queue)

    async def send(
        self, queue: QueueName, messages: Sequence[Message], *, at: Timestamp | None = None
    ) -> list[Sent | QueueError]:
        """Send in batches, item by item."""
        if not messages:
            return []
        found = await self._queues.find(Address(queue))
        outgoing = [Outgoing(message, message.deduplication_id or message.message_id) for message in messages]
        return self._queues.checked(found, await self._sender.send(found, outgoing, at))

    async def cancel_scheduled(self, queue: QueueName, provider_ids: Sequence[str]) -> list[QueueError | None]:
        """Refuse: SQS does not give back what it delays."""
        await self._queues.find(Address(queue))
        why = "SQS does not give back a message that it delays: let an engine's journal hold it"
        return [UnsupportedOperation("cancel a scheduled send", why) for _ in provider_ids]

    async def receive(self, source: Address, max_messages: int, wait_s: float) -> list[Delivery]:
        """Take what there is, or wait for it in long polls."""
        queue = await self._queues.find(source)
        if max_messages <= 0:
            return []
        if not queue.is_fifo:
            return await self._receiving.receive(queue, max_messages, wait_s)
        unclaimed = self._groups.unclaimed(queue, max_messages)
        return unclaimed or self._groups.unheld(queue, await self._receiving.receive(queue, max_messages, wait_s))

    async def settle(self, source: Address, settlements: Sequence[Settlement]) -> list[QueueError | None]:
        """Settle in batches, item by item."""
        if not settlements:
            return []
        queue = await self._queues.find(source)
        return self._queues.checked(queue, await self._settler.settle(queue, settlements))

    async def renew(
        self, source: Address, receipts: Sequence[Receipt], for_s: float | None = None
    ) -> list[Timestamp | QueueError]:
        """Extend locks in batches, item by item: those of a group together, as one blocks the others."""
        if not receipts:
            return []
        queue = await self._queues.find(source)
        return self._queues.checked(queue, await self._settler.renew(queue, receipts, for_s))

    async def peek(self, source: Address, max_messages: int, after_sequence: int = 0) -> list[Delivery]:
        """Refuse: SQS shows no message without delivering it."""
        del max_messages, after_sequence
        await self._queues.find(source)
        operation, why = "peek", "SQS shows no message without delivering it"
        raise UnsupportedOperation(operation, why)

    async def accept_session(self, queue: QueueName, session_id: SessionId | None, wait_s: float) -> HeldSession | None:
        """Hold a group of a FIFO queue in this process; see `groups`.

        Raises:
            UnsupportedOperation: the queue is a standard one.
        """
        return await self._groups.accept(await self._queues.find(Address(queue)), session_id, wait_s)

    async def renew_sessions(self, queue: QueueName, sessions: Sequence[HeldSession]) -> list[Timestamp | QueueError]:
        """Extend the locks of everything that is in flight of each session."""
        found = await self._queues.find(Address(queue))
        calls = [
            renewed(session, found, self._settler, self._ledger, self._clock)
            for session in sessions
            if isinstance(session, GroupSession)  # others were not granted by this kind of provider
        ]
        answers = iter(await asyncio.gather(*calls))
        return [
            next(answers) if isinstance(session, GroupSession) else SessionLockLost(session.session_id, queue=queue)
            for session in sessions
        ]
