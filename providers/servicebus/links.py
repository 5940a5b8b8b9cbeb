"""The SDK's clients, senders, receivers and management connections: kept for use again, and each call with a time-out.

A call of the SDK without a time-out may wait for ever for a peer that has gone silent, so there is none. Senders try
again by themselves; receivers do not, their callers do. A link that failed is dropped: the next call makes another.
"""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import logging
import platform
import time
from collections import defaultdict
from collections.abc import Awaitable
from contextlib import suppress
from typing import TypeVar

from azure.servicebus import ServiceBusSubQueue
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver, ServiceBusSender

from queue_runtime.providers.errors import ConfigurationError, ProviderClosed, QueueError
from queue_runtime.providers.message import QueueName
from queue_runtime.providers.port import Address
from queue_runtime.providers.servicebus.errors import About, error_of
from queue_runtime.providers.servicebus.sdk import Management, end_credit, hurry
from queue_runtime.providers.servicebus.settings import PROVIDER, ServiceBusSettings

__all__ = ["CALL_S", "Link", "Links", "Outlet", "in_our_words"]

logger = logging.getLogger("queue_runtime.providers")

CALL_S = 15.0
OPEN_S = 20.0
CLOSE_S = 5.0
SEND_AGAIN = 1  # the SDK repeats what is refused for good as well, and opening a link apart from sending
SEND_PAUSE_S = 0.4
READ_S = 0.02  # how long a read may keep a settlement of the same link waiting: 0.2 s by default

T = TypeVar("T")


class Link:
    """A receiver of the SDK. `is_good` ends with the first failure of its link: nothing is received over it again."""

    def __init__(self, receiver: ServiceBusReceiver) -> None:
        self.receiver = receiver
        self.is_good = True
        self.was_idle = False
        self.heard_at = time.monotonic()


class Outlet:
    """A sender of the SDK, whose calls may not overlap: it would send messages twice, and others never."""

    def __init__(self, sender: ServiceBusSender) -> None:
        self.sender = sender
        self.turn = asyncio.Lock()


async def in_our_words(about: About, call: Awaitable[T], timeout_s: float = CALL_S) -> T:
    """Await a call of the SDK, for so long at most.

    Raises:
        QueueError: whatever went wrong.
    """
    try:
        async with asyncio.timeout(timeout_s):
            return await call
    except Exception as error:
        raise error_of(about, error) from error


class Links:
    """Everything that one provider keeps open. Used on the loop that opens it."""

    def __init__(self, settings: ServiceBusSettings) -> None:
        self._settings = settings
        self._sends: ServiceBusClient | None = None
        self._receives: ServiceBusClient | None = None
        self._outlets: dict[QueueName, Outlet] = {}
        self._management: dict[Address, Management] = {}
        self._idle: defaultdict[Address, list[Link]] = defaultdict(list)
        self._open: set[Link] = set()
        self.closing = asyncio.Event()
        self._left: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Read the connection string; connects to nothing.

        Raises:
            ConfigurationError: it is none.
        """
        await asyncio.to_thread(platform.platform)  # it runs a program, once: else the SDK has it do so on the loop
        text = self._settings.connection_string
        try:
            self._sends = ServiceBusClient.from_connection_string(
                text, retry_total=SEND_AGAIN, retry_backoff_factor=SEND_PAUSE_S
            )
            self._receives = ServiceBusClient.from_connection_string(text, retry_total=0)
        except ValueError:  # its text may hold the string
            msg = "the connection string is none: copy it whole from the namespace's shared access policies"
            raise ConfigurationError(msg) from None
        self.closing = asyncio.Event()

    async def close(self) -> None:
        """Close every link. Twice is harmless."""
        self.closing.set()
        while self._left:
            await asyncio.wait(set(self._left))
        clients, self._sends, self._receives = (self._sends, self._receives), None, None
        closing = [
            *(outlet.sender.close() for outlet in self._outlets.values()),
            *(management.close() for management in self._management.values()),
            *(link.receiver.close() for link in self._open),
        ]
        self._outlets.clear()
        self._management.clear()
        self._idle.clear()
        self._open.clear()
        await asyncio.gather(*(_bounded(each) for each in closing))
        for client in clients:
            if client is not None:
                await _bounded(client.close())

    def check_open(self) -> None:
        """Raise `ProviderClosed` unless it is open."""
        if self._receives is None or self.closing.is_set():
            raise ProviderClosed(PROVIDER)

    def in_background(self, work: Awaitable[None]) -> None:
        """Finish something that nobody waits for; closing waits for it."""
        task = asyncio.ensure_future(_quietly(work))
        self._left.add(task)
        task.add_done_callback(self._left.discard)

    # --- senders and management ---

    def outlet(self, queue: QueueName) -> Outlet:
        """Return the sender to a queue."""
        self.check_open()
        found = self._outlets.get(queue)
        if found is None and self._sends is not None:
            found = self._outlets[queue] = Outlet(self._sends.get_queue_sender(queue))
        if found is None:
            raise ProviderClosed(PROVIDER)
        return found

    def management(self, source: Address) -> Management:
        """Return the management connection of a queue or of its dead letters."""
        self.check_open()
        found = self._management.get(source)
        if found is None and self._receives is not None:
            path = f"{source.queue}/$DeadLetterQueue" if source.dead_letters else str(source.queue)
            found = self._management[source] = Management(self._receives, path)
        if found is None:
            raise ProviderClosed(PROVIDER)
        return found

    # --- receivers ---

    async def take(self, source: Address) -> Link:
        """Return a receiver that nobody uses, opened; give it back with `put`.

        Raises:
            QueueError: it cannot be opened.
        """
        self.check_open()
        idle = self._idle[source]
        if not idle:
            return await self.receiver(source)
        link = idle.pop()
        link.was_idle = True
        return link

    def put(self, source: Address, link: Link) -> None:
        """Take a receiver back that `take` gave."""
        if link.is_good and link in self._open:
            self._idle[source].append(link)

    async def receiver(self, source: Address, session_id: object = None, wait_s: float | None = None) -> Link:
        """Open a receiver.

        Raises:
            Exception: as the SDK says it.
        """
        if self._receives is None:
            raise ProviderClosed(PROVIDER)
        kind = ServiceBusSubQueue.DEAD_LETTER if source.dead_letters else None
        given: dict[str, object] = {"socket_timeout": READ_S}
        if kind is not None:
            given["sub_queue"] = kind
        if session_id is not None:
            given["session_id"] = session_id
        if wait_s is not None:
            given["max_wait_time"] = wait_s
        receiver = self._receives.get_queue_receiver(str(source.queue), **given)  # pyright: ignore[reportArgumentType]
        hurry(receiver)
        link = Link(receiver)
        self._open.add(link)
        try:
            async with asyncio.timeout(OPEN_S + (wait_s or 0)):
                await receiver.__aenter__()
            await end_credit(receiver)
        except BaseException:
            self._open.discard(link)
            self.in_background(receiver.close())
            raise
        return link

    def drop_idle(self, source: Address) -> None:
        """Close the receivers of a source that nobody uses."""
        for link in self._idle.pop(source, []):
            self.drop(link)

    def drop(self, link: Link) -> None:
        """Close a receiver that is of no use any more."""
        link.is_good = False
        if link in self._open:
            self._open.discard(link)
            self.in_background(link.receiver.close())

    async def end(self, link: Link) -> None:
        """Close a receiver, and wait for it."""
        link.is_good = False
        self._open.discard(link)
        await _bounded(link.receiver.close())


async def _bounded(closing: Awaitable[None]) -> None:
    """Close something that may be broken: what it holds is free at the end of its lock in any case."""
    with suppress(Exception):
        async with asyncio.timeout(CLOSE_S):
            await closing


async def _quietly(work: Awaitable[None]) -> None:
    try:
        async with asyncio.timeout(OPEN_S):
            await work
    except QueueError as error:
        logger.warning("a call that nobody waits for failed: %s", error)
    except Exception as error:  # noqa: BLE001 - the SDK's, of a link that is given up
        logger.debug("a link that is given up could not be closed: %s", type(error).__name__)
