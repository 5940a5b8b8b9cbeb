"""A connection to a memory broker in another process: many calls at once over one socket."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from dataclasses import dataclass
from typing import cast

from queue_runtime.providers.errors import ConnectionFailed, ProviderClosed, QueueError, SerializationError
from queue_runtime.providers.memory.queue import PROVIDER
from queue_runtime.providers.memory.wire import read_frame, write_frame
from queue_runtime.providers.message import Delivery, QueueName
from queue_runtime.providers.port import Address, SettleKind, Settlement

__all__ = ["Link"]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A call that is not answered yet. `source`: where a receive takes messages from."""

    answered: asyncio.Future[object]
    source: Address | None


class Link:
    """Connects when a call needs it, and again after the broker was away."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.is_open = False
        self._numbers = itertools.count(1)
        self._asked: dict[int, _Asked] = {}  # until answered, also when nobody waits for the answer any more
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
        asked = _Asked(asyncio.get_running_loop().create_future(), _taken_from(method, arguments))
        self._asked[number] = asked
        write_frame(writer, [number, method, arguments])
        try:
            result = await asked.answered
        except asyncio.CancelledError:
            if asked.answered.cancelled():
                self._call_off(number)
            elif asked.answered.exception() is None:
                self._give_back(asked, asked.answered.result())
            raise
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
            with contextlib.suppress(OSError):
                await writer.wait_closed()

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
        self._fail(ConnectionFailed(f"the memory broker at {self.address!r} went away: the call may have been done"))

    def _call_off(self, number: int) -> None:
        # The broker answers this like any call, or it was too late: then the answer is what was asked for.
        if self._writer is not None:
            write_frame(self._writer, [number, "cancel", ()])

    def _deliver(self, number: int, result: object) -> None:
        asked = self._asked.pop(number, None)
        if asked is None:
            return
        if asked.answered.done():
            self._give_back(asked, result)
        else:
            asked.answered.set_result(result)

    def _give_back(self, asked: _Asked, result: object) -> None:
        # Nobody waits for these messages any more: without this they would stay locked, and block their sessions.
        if asked.source is not None and result and isinstance(result, tuple) and self._writer is not None:
            deliveries = cast("tuple[Delivery, ...]", result)
            back = [Settlement(SettleKind.ABANDON, delivery.receipt) for delivery in deliveries]
            write_frame(self._writer, [next(self._numbers), "settle", (asked.source, back)])

    def _fail(self, error: QueueError) -> None:
        for asked in self._asked.values():
            if not asked.answered.done():
                asked.answered.set_exception(error)
        self._asked.clear()


def _taken_from(method: str, arguments: tuple[object, ...]) -> Address | None:
    """Return where a receive takes messages from; None for other calls."""
    match method, arguments:
        case "receive", (Address() as source, *_):
            return source
        case "session.receive", (QueueName() as queue, *_):
            return Address(queue)
        case _:
            return None
