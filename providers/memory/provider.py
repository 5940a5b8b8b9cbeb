"""The port over an in-memory broker."""

from __future__ import annotations

from collections.abc import Sequence

from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.errors import QueueError
from queue_runtime.providers.memory.broker import MemoryBroker
from queue_runtime.providers.memory.calls import Calls
from queue_runtime.providers.memory.faults import Operation
from queue_runtime.providers.memory.held import Grip, MemorySession, renew_session
from queue_runtime.providers.memory.inspection import MemoryInspector
from queue_runtime.providers.memory.polling import Polls
from queue_runtime.providers.memory.queue import PROVIDER
from queue_runtime.providers.memory.settings import QueueKind
from queue_runtime.providers.message import Delivery, Message, QueueName, Receipt, SessionId
from queue_runtime.providers.port import Address, Capabilities, HeldSession, QueueCounts, Sent, Settlement

__all__ = ["MemoryProvider"]

A_YEAR_S = 31_536_000.0  # stands for "no bound": a lock lasts as long as somebody renews it
MAX_BATCH = 100


class MemoryProvider:
    """A provider to a `MemoryBroker` in this process. Any number of them share one broker, on any loops."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self._calls = Calls(broker)
        self._polls = Polls(broker)
        self.inspector = MemoryInspector(self.capabilities)

    @property
    def name(self) -> str:
        """`memory`."""
        return PROVIDER

    async def open(self) -> None:
        """Allow calls."""
        self._calls.is_open = True

    async def close(self) -> None:
        """End every call that waits with `ProviderClosed`; the broker keeps everything."""
        self._calls.is_open = False
        self._polls.wake_all()

    def sibling(self) -> MemoryProvider:
        """Make a second, unopened provider to the same broker."""
        return MemoryProvider(self._broker)

    async def capabilities(self, queue: QueueName) -> Capabilities:
        """Say what `queue` can do, by its settings."""
        self._calls.check_open()
        with self._broker.at(Address(queue)) as (found, _):
            settings = found.settings
        has_sessions = settings.kind is QueueKind.SESSIONS
        return Capabilities(
            native_sessions=has_sessions,
            emulated_sessions=False,
            ordered_groups=settings.kind is QueueKind.FIFO,
            ordered=True,
            deduplicates=settings.window_s is not None,
            scheduled_send=True,
            max_delay_s=None,
            cancel_scheduled=True,
            abandon_delay=True,
            uncounted_release=False,
            native_dead_letter=True,
            sender_order=False,
            drops_expired=not settings.dead_letter_expired,
            peek=True,
            defer=False,
            session_state=has_sessions,
            late_complete=settings.late_receipts,
            receipts_survive_restart=True,
            max_batch=MAX_BATCH,
            max_message_bytes=settings.max_message_bytes,
            variable_lock=not has_sessions,
            max_lock_s=A_YEAR_S,
            max_deliveries=settings.max_deliveries,
            lock_s=settings.session_lock_s if has_sessions else settings.lock_s,
        )

    async def counts(self, queue: QueueName) -> QueueCounts:
        """Count the messages of a queue by what they are waiting for."""
        self._calls.check_open()
        return self._broker.counts(queue)

    async def send(
        self, queue: QueueName, messages: Sequence[Message], *, at: Timestamp | None = None
    ) -> list[Sent | QueueError]:
        """Take messages in, item by item."""
        if not messages:
            return []
        await self._calls.begin(Operation.SEND, queue, itemised=True)
        return self._calls.send(queue, messages, at)

    async def cancel_scheduled(self, queue: QueueName, provider_ids: Sequence[str]) -> list[QueueError | None]:
        """Call off scheduled messages, item by item."""
        await self._calls.begin(Operation.CANCEL, queue, itemised=True)
        return self._calls.cancel(queue, provider_ids)

    async def receive(self, source: Address, max_messages: int, wait_s: float) -> list[Delivery]:
        """Take what is ready, or wait for it."""
        await self._calls.begin(Operation.RECEIVE, source.queue)
        if max_messages <= 0:
            return []
        return await self._polls.until(source, lambda: self._calls.receive(source, max_messages), wait_s)

    async def settle(self, source: Address, settlements: Sequence[Settlement]) -> list[QueueError | None]:
        """Settle item by item."""
        await self._calls.begin(Operation.SETTLE, source.queue, itemised=True)
        return self._calls.settle(source, settlements)

    async def renew(
        self, source: Address, receipts: Sequence[Receipt], for_s: float | None = None
    ) -> list[Timestamp | QueueError]:
        """Renew item by item; in a session each renews the session."""
        await self._calls.begin(Operation.RENEW, source.queue, itemised=True)
        return self._calls.renew(source, receipts, for_s)

    async def peek(self, source: Address, max_messages: int, after_sequence: int = 0) -> list[Delivery]:
        """Look at what is not scheduled, locked or not, in the queue's order."""
        await self._calls.begin(Operation.PEEK, source.queue)
        return self._calls.peek(source, max_messages, after_sequence)

    async def accept_session(
        self, queue: QueueName, session_id: SessionId | None, wait_s: float
    ) -> MemorySession | None:
        """Lock the named session, or the free one with the oldest message; None at the time-out."""
        await self._calls.begin(Operation.ACCEPT, queue)
        source = Address(queue)
        accepted = await self._polls.until(source, lambda: self._calls.accept(source, session_id), wait_s)
        if not accepted:
            return None
        (session,) = accepted
        grip = Grip(SessionId(session.session_id), session.token, session.locked_until)
        return MemorySession(self._calls, self._polls, source, grip)

    async def renew_sessions(self, queue: QueueName, sessions: Sequence[HeldSession]) -> list[Timestamp | QueueError]:
        """Renew session locks item by item."""
        await self._calls.begin(Operation.RENEW_SESSION, queue, itemised=True)
        return [renew_session(self._broker, queue, session) for session in sessions]
