"""The port over Azure Service Bus."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from queue_runtime.providers.clock import Clock, SystemClock, Timestamp
from queue_runtime.providers.errors import InvalidReceipt, QueueError, SessionLockLost
from queue_runtime.providers.message import Delivery, Message, QueueName, Receipt, SessionId
from queue_runtime.providers.port import Address, Capabilities, HeldSession, Sent, Settlement
from queue_runtime.providers.servicebus.errors import About
from queue_runtime.providers.servicebus.ledger import Ledger
from queue_runtime.providers.servicebus.links import CALL_S, Links, in_our_words
from queue_runtime.providers.servicebus.receiving import Receiving
from queue_runtime.providers.servicebus.sending import Sender
from queue_runtime.providers.servicebus.session import HeldQueueSession
from queue_runtime.providers.servicebus.sessions import Sessions
from queue_runtime.providers.servicebus.settings import MAX_BATCH, PROVIDER, ServiceBusSettings
from queue_runtime.providers.servicebus.settling import Settler

__all__ = ["ServiceBusProvider"]

A_YEAR_S = 31_536_000.0  # stands for "no bound": a lock lasts as long as somebody renews it


class ServiceBusProvider:
    """A provider to queues of one Service Bus namespace, with and without sessions. Used on the loop that opens it."""

    def __init__(self, settings: ServiceBusSettings, clock: Clock | None = None, ledger: Ledger | None = None) -> None:
        self._settings = settings
        self._clock = clock if clock is not None else SystemClock()
        self._ledger = ledger if ledger is not None else Ledger()
        self._links = Links(settings)
        self._sender = Sender(self._links, settings)
        self._receiving = Receiving(self._links, self._ledger, self._clock)
        self._settler = Settler(self._links, self._receiving, self._ledger, self._clock)
        self._sessions = Sessions(
            self._links, self._receiving, self._settler, self._ledger, settings.lock_s, self._clock
        )

    @property
    def name(self) -> str:
        """`azure`."""
        return PROVIDER

    async def open(self) -> None:
        """Read the connection string; nothing is connected yet.

        Raises:
            ConfigurationError: it is none.
        """
        await self._links.open()

    async def close(self) -> None:
        """Close every link; what waits ends with `ProviderClosed`."""
        await self._links.close()

    def sibling(self) -> ServiceBusProvider:
        """Make a second, unopened provider, which knows of the same deliveries."""
        return ServiceBusProvider(self._settings, self._clock, self._ledger)

    async def capabilities(self, queue: QueueName) -> Capabilities:
        """Say what `queue` can do: whether it has sessions is found out, the rest is as the settings say."""
        self._links.check_open()
        has_sessions = await self._receiving.has_sessions(queue)
        return Capabilities(
            native_sessions=has_sessions,
            emulated_sessions=False,
            ordered_groups=False,
            ordered=has_sessions,
            sender_order=False,
            deduplicates=self._settings.deduplicates,
            scheduled_send=True,
            max_delay_s=None,
            cancel_scheduled=True,
            abandon_delay=False,
            uncounted_release=False,
            native_dead_letter=True,
            drops_expired=not self._settings.dead_letters_expired,
            peek=True,
            defer=True,
            session_state=has_sessions,
            late_complete=False,
            receipts_survive_restart=not has_sessions,
            max_batch=MAX_BATCH,
            max_message_bytes=self._settings.max_message_bytes,
            variable_lock=False,
            max_lock_s=A_YEAR_S,
            max_deliveries=self._settings.max_deliveries,
            lock_s=self._settings.lock_s,
        )

    async def send(
        self, queue: QueueName, messages: Sequence[Message], *, at: Timestamp | None = None
    ) -> list[Sent | QueueError]:
        """Send in batches, item by item."""
        return await self._sender.send(queue, messages, at) if messages else []

    async def cancel_scheduled(self, queue: QueueName, provider_ids: Sequence[str]) -> list[QueueError | None]:
        """Call off what was sent for later, item by item."""
        return await self._sender.cancel(queue, provider_ids)

    async def receive(self, source: Address, max_messages: int, wait_s: float) -> list[Delivery]:
        """Take what there is, or wait for it."""
        return await self._receiving.receive(source, max_messages, wait_s)

    async def receive_deferred(self, source: Address, sequences: Sequence[int]) -> list[Delivery]:
        """Receive messages that were set aside, by their sequence numbers; all of them or none.

        Raises:
            MessageNotFound: one of them is not there, or not set aside.
            UnsupportedOperation: the queue has sessions: what is set aside in one is received through it.
        """
        return await self._receiving.receive_deferred(source, sequences)

    async def settle(self, source: Address, settlements: Sequence[Settlement]) -> list[QueueError | None]:
        """Settle side by side, item by item."""
        return await self._settler.settle(source, settlements) if settlements else []

    async def renew(
        self, source: Address, receipts: Sequence[Receipt], for_s: float | None = None
    ) -> list[Timestamp | QueueError]:
        """Renew item by item, for the queue's lock duration; in a session each renews the session."""
        del for_s  # a lock of Service Bus has one duration
        answers: dict[int, Timestamp | QueueError] = {}
        plain: list[int] = []
        sessions: dict[HeldQueueSession, list[int]] = {}
        for number, receipt in enumerate(receipts):
            held = self._ledger.held(receipt)
            if held is not None and held.session is not None:
                sessions.setdefault(held.session, []).append(number)
            else:
                plain.append(number)
        for session, numbers in sessions.items():
            answers |= dict.fromkeys(numbers, await self._sessions.renew(source.queue, session))
        if plain and (source.dead_letters or not await self._receiving.has_sessions(source.queue)):
            renewed = await self._settler.renew(source, [receipts[number] for number in plain])
            answers |= {number: renewed[place] for place, number in enumerate(plain)}
        else:
            answers |= {number: _invalid(source, receipts[number]) for number in plain}
        return [answers[number] for number in range(len(receipts))]

    async def peek(self, source: Address, max_messages: int, after_sequence: int = 0) -> list[Delivery]:
        """Look at messages, of all sessions, in the queue's order."""
        self._links.check_open()
        call = self._links.management(source).peek(after_sequence, max_messages, CALL_S)
        found = await in_our_words(About("peek", source.queue, timeout_s=CALL_S), call, CALL_S + 1)
        return [self._receiving.peeked(source, raw) for raw in found]

    async def accept_session(self, queue: QueueName, session_id: SessionId | None, wait_s: float) -> HeldSession | None:
        """Lock the named session, or the next that has messages and is free.

        Raises:
            SessionLocked: the named session is somebody else's, for a lock's duration at most unless they renew.
            UnsupportedOperation: the queue has no sessions.
        """
        return await self._sessions.accept(queue, session_id, wait_s)

    async def renew_sessions(self, queue: QueueName, sessions: Sequence[HeldSession]) -> list[Timestamp | QueueError]:
        """Renew session locks item by item; on a sibling over its own connection."""
        self._links.check_open()
        return list(await asyncio.gather(*(_renewed(self._sessions, queue, session) for session in sessions)))


async def _renewed(sessions: Sessions, queue: QueueName, session: HeldSession) -> Timestamp | QueueError:
    if not isinstance(session, HeldQueueSession):  # granted by another kind of provider
        return SessionLockLost(session.session_id, queue=queue)
    return await sessions.renew(queue, session)


def _invalid(source: Address, receipt: Receipt) -> InvalidReceipt:
    context = About("renew", source.queue, receipt).context
    return InvalidReceipt(receipt.provider_id, receipt.digest, context=context)
