"""A connection to a memory broker in another process: many calls at once over one socket."""

from __future__ import annotations

import asyncio
import itertools
from typing import cast

from queue_runtime.providers.errors import ConnectionFailed, ProviderClosed, QueueError, SerializationError
from queue_runtime.providers.memory.queue import PROVIDER
from queue_runtime.providers.memory.wire import read_frame, write_frame
from queue_runtime.providers.message import Delivery
from queue_runtime.providers.port import Address, SettleKind, Settlement

__all__ = ["Link"]


class Link:
    """Connects when a call needs it, and again after the broker was away."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.is_open = False
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[object]] = {}
        self._unwanted: dict[int, Address] = {}  # receives that were cancelled: what they still bring is given back
        self._connecting = asyncio.Lock()
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None

    async def call(self, method: str, *arguments: object) -> object:
        """Ask, and return the answer.

        Raises:
            ProviderClosed: the provider is not open.
            ConnectionFailed: the broker is not there, or went away before it answered.
            QueueError: what the broker answered.
        """
        writer = await self._connected()
        number = next(self._numbers)
        answered: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answered
        write_frame(writer, [number, method, arguments])
        try:
            result = await answered
        except asyncio.CancelledError:
            source = next((argument for argument in arguments if isinstance(argument, Address)), None)
            if source is not None and method == "receive":
                self._unwanted[number] = source
            write_frame(writer, [number, "cancel", ()])
            raise
        finally:
            del self._waiting[number]
        if isinstance(result, QueueError):
            raise result
        return result

    async def close(self) -> None:
        """Drop the connection, and end every call that waits with `ProviderClosed`."""
        self.is_open = False
        self._fail(ProviderClosed(PROVIDER))
        reading, writer = self._reading, self._writer
        self._reading = self._writer = None
        if reading is not None:
            reading.cancel()
            await asyncio.wait({reading})
        if writer is not None:
            writer.close()

    async def _connected(self) -> asyncio.StreamWriter:
        if not self.is_open:
            raise ProviderClosed(PROVIDER)
        async with self._connecting:
            if self._writer is None:
                reader, self._writer = await self._connect()
                self._reading = asyncio.ensure_future(self._read(reader))
            return self._writer

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, colon, port = self.address.rpartition(":")
        try:
            if colon and port.isdecimal():
                return await asyncio.open_connection(host, int(port))
            return await asyncio.open_unix_connection(self.address)
        except OSError as error:
            msg = f"no memory broker answers at {self.address!r}: start its MemoryBrokerServer, or correct the address"
            raise ConnectionFailed(msg) from error

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                number, result = cast("tuple[int, object]", await read_frame(reader))
                self._deliver(number, result)
        except (OSError, asyncio.IncompleteReadError, SerializationError):
            pass  # whatever broke the link, the callers are told the same below
        if self._writer is not None:
            self._writer.close()
        self._writer = None
        self._unwanted.clear()
        self._fail(ConnectionFailed(f"the memory broker at {self.address!r} went away: the call may have been done"))

    def _deliver(self, number: int, result: object) -> None:
        waiting = self._waiting.get(number)
        if waiting is not None and not waiting.done():
            waiting.set_result(result)
            return
        source = self._unwanted.pop(number, None)
        if source is not None and result and isinstance(result, tuple) and self._writer is not None:
            # Nobody waits for these messages any more: without this they would stay locked, and block their sessions.
            deliveries = cast("tuple[Delivery, ...]", result)
            back = [Settlement(SettleKind.ABANDON, delivery.receipt) for delivery in deliveries]
            write_frame(self._writer, [next(self._numbers), "settle", (source, back)])

    def _fail(self, error: QueueError) -> None:
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(error)
