"""The port over a memory broker in another process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.errors import QueueError, SessionLockLost
from queue_runtime.providers.memory.inspection import MemoryInspector
from queue_runtime.providers.memory.link import Link
from queue_runtime.providers.memory.queue import PROVIDER
from queue_runtime.providers.message import Delivery, Message, QueueName, Receipt, SessionId
from queue_runtime.providers.port import Address, Capabilities, HeldSession, QueueCounts, Sent, Settlement

__all__ = ["RemoteMemoryProvider"]


class RemoteMemoryProvider:
    """A provider to the broker that a `MemoryBrokerServer` serves at `address`: a socket's path, or host:port.

    Errors beside those of the port: `ConnectionFailed` while the broker is away; the next call connects again.
    """

    def __init__(self, address: str) -> None:
        self._link = Link(address)
        self.inspector = MemoryInspector(self.capabilities)

    @property
    def name(self) -> str:
        """`memory`: receipts are the broker's, whichever way they travel."""
        return PROVIDER

    async def open(self) -> None:
        """Allow calls; the first one connects."""
        self._link.is_open = True

    async def close(self) -> None:
        """End every call that waits with `ProviderClosed`, and disconnect; the broker keeps everything."""
        await self._link.close()

    def sibling(self) -> RemoteMemoryProvider:
        """Make a second, unopened provider to the same broker."""
        return RemoteMemoryProvider(self._link.address)

    async def capabilities(self, queue: QueueName) -> Capabilities:
        """Say what `queue` can do."""
        return cast("Capabilities", await self._link.call("capabilities", queue))

    async def counts(self, queue: QueueName) -> QueueCounts:
        """Count the messages of a queue by what they are waiting for."""
        return cast("QueueCounts", await self._link.call("counts", queue))

    async def send(
        self, queue: QueueName, messages: Sequence[Message], *, at: Timestamp | None = None
    ) -> list[Sent | QueueError]:
        """Hand messages over, item by item."""
        answers = await self._link.call("send", queue, tuple(messages), at) if messages else ()
        return list(cast("tuple[Sent | QueueError, ...]", answers))

    async def cancel_scheduled(self, queue: QueueName, provider_ids: Sequence[str]) -> list[QueueError | None]:
        """Call off scheduled messages, item by item."""
        answers = await self._link.call("cancel_scheduled", queue, tuple(provider_ids))
        return list(cast("tuple[QueueError | None, ...]", answers))

    async def receive(self, source: Address, max_messages: int, wait_s: float) -> list[Delivery]:
        """Take what is ready, or wait for it."""
        return list(cast("tuple[Delivery, ...]", await self._link.call("receive", source, max_messages, wait_s)))

    async def settle(self, source: Address, settlements: Sequence[Settlement]) -> list[QueueError | None]:
        """Settle item by item."""
        answers = await self._link.call("settle", source, tuple(settlements))
        return list(cast("tuple[QueueError | None, ...]", answers))

    async def renew(
        self, source: Address, receipts: Sequence[Receipt], for_s: float | None = None
    ) -> list[Timestamp | QueueError]:
        """Renew item by item; in a session each renews the session."""
        answers = await self._link.call("renew", source, tuple(receipts), for_s)
        return list(cast("tuple[Timestamp | QueueError, ...]", answers))

    async def peek(self, source: Address, max_messages: int, after_sequence: int = 0) -> list[Delivery]:
        """Look at what is not scheduled, locked or not, in the queue's order."""
        return list(cast("tuple[Delivery, ...]", await self._link.call("peek", source, max_messages, after_sequence)))

    async def accept_session(
        self, queue: QueueName, session_id: SessionId | None, wait_s: float
    ) -> RemoteSession | None:
        """Lock the named session, or the free one with the oldest message; None at the time-out."""
        grip = await self._link.call("accept_session", queue, session_id, wait_s)
        return None if grip is None else RemoteSession(self._link, queue, cast("_Grip", grip))

    async def renew_sessions(self, queue: QueueName, sessions: Sequence[HeldSession]) -> list[Timestamp | QueueError]:
        """Renew session locks item by item."""
        ours = [session for session in sessions if isinstance(session, RemoteSession)]
        answers = await self._link.call("renew_sessions", queue, tuple(session.grip for session in ours))
        ends = dict(zip(ours, cast("tuple[Timestamp | QueueError, ...]", answers), strict=True))
        for session, end in ends.items():
            if isinstance(end, Timestamp):
                session.locked_until = end
        lost = SessionLockLost
        return [ends[s] if isinstance(s, RemoteSession) else lost(s.session_id, queue=queue) for s in sessions]


_Grip = tuple[SessionId, str, Timestamp]


class RemoteSession:
    """A hold on a session of the broker in the other process."""

    def __init__(self, link: Link, queue: QueueName, grip: _Grip) -> None:
        self._link = link
        self._queue = queue
        self.grip = grip
        self.locked_until = grip[2]

    @property
    def session_id(self) -> SessionId:
        """The session that is held."""
        return self.grip[0]

    async def receive(self, max_messages: int, wait_s: float) -> list[Delivery]:
        """Take the session's next messages, in order, or wait for them."""
        deliveries = await self._link.call("session.receive", self._queue, self.grip, max_messages, wait_s)
        return list(cast("tuple[Delivery, ...]", deliveries))

    async def get_state(self) -> bytes | None:
        """Return what was stored for the session last; None if nothing was."""
        return cast("bytes | None", await self._link.call("session.get_state", self._queue, self.grip))

    async def set_state(self, state: bytes | None) -> None:
        """Store a value for the session; it outlives the lock and the messages."""
        await self._link.call("session.set_state", self._queue, self.grip, state)

    async def close(self) -> None:
        """Give the session back with everything that was not settled; nothing if it is lost or given back already."""
        await self._link.call("session.close", self._queue, self.grip)
