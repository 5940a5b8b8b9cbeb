"""A memory broker that other processes can use, so that it outlives them as a real broker would."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Self, cast

from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.errors import QueueError, SerializationError, UnsupportedOperation
from queue_runtime.providers.memory.broker import MemoryBroker
from queue_runtime.providers.memory.calls import Calls
from queue_runtime.providers.memory.held import Grip, MemorySession
from queue_runtime.providers.memory.polling import Polls
from queue_runtime.providers.memory.provider import MemoryProvider
from queue_runtime.providers.memory.wire import read_frame, write_frame
from queue_runtime.providers.message import Message, QueueName, SessionId
from queue_runtime.providers.port import Address

__all__ = ["MemoryBrokerServer"]

LOOPBACK = "127.0.0.1"
CANCEL = "cancel"

_Grip = tuple[SessionId, str, Timestamp]


class MemoryBrokerServer:
    """Serves a broker on a Unix socket, if `path_or_port` is a path, or else on a TCP port of the loopback interface.

    Port 0 takes a free one; `address` is what a `RemoteMemoryProvider` connects to. A client that dies gets no credit:
    what it held stays locked until the locks end. Use it as an async context manager; leaving it drops all clients and
    keeps the broker. There is no authentication: the socket is for this user alone, the port for this host.
    """

    def __init__(self, broker: MemoryBroker, path_or_port: Path | int) -> None:
        self._broker = broker
        self._place = path_or_port
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.address = ""

    async def __aenter__(self) -> Self:
        """Begin to listen.

        Raises:
            OSError: the path or port cannot be used.
        """
        if isinstance(self._place, Path):
            self._server = await asyncio.start_unix_server(self._serve, self._place)
            self._place.chmod(0o600)
            self.address = str(self._place)
        else:
            self._server = await asyncio.start_server(self._serve, LOOPBACK, self._place)
            self.address = f"{LOOPBACK}:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop listening and drop every client."""
        if self._server is not None:
            self._server.close()
        for connection in tuple(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        if isinstance(self._place, Path):
            self._place.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._connections.add(task)
        try:
            await _Connection(self._broker, writer).run(reader)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        except asyncio.CancelledError:
            writer.close()  # the server is closing; asyncio's stream callback would log a task that ends cancelled
        finally:
            if task is not None:
                self._connections.discard(task)


class _Connection:
    """One client: every request is a task of its own, so that a long poll holds up nothing."""

    def __init__(self, broker: MemoryBroker, writer: asyncio.StreamWriter) -> None:
        self._provider = MemoryProvider(broker)
        self._calls = Calls(broker)
        self._polls = Polls(broker)
        self._writer = writer
        self._running: dict[int, asyncio.Task[None]] = {}

    async def run(self, reader: asyncio.StreamReader) -> None:
        """Answer requests until the client is gone."""
        await self._provider.open()
        self._calls.is_open = True
        try:
            while True:
                number, method, arguments = cast("tuple[int, str, tuple[object, ...]]", await read_frame(reader))
                if method == CANCEL:
                    running = self._running.get(number)
                    if running is not None:
                        running.cancel()
                        write_frame(self._writer, [number, ()])
                else:
                    self._running[number] = asyncio.ensure_future(self._answer(number, method, arguments))
        except (OSError, asyncio.IncompleteReadError, SerializationError):
            return  # gone, or no client of ours
        finally:
            for running in self._running.values():
                running.cancel()
            await self._provider.close()

    async def _answer(self, number: int, method: str, arguments: tuple[object, ...]) -> None:
        result: object
        try:
            result = await self._call(method, arguments)
        except QueueError as error:
            result = error
        finally:
            del self._running[number]
        write_frame(self._writer, [number, result])

    async def _call(self, method: str, arguments: tuple[object, ...]) -> object:
        if method == "send":
            queue, messages, at = cast("tuple[QueueName, tuple[Message, ...], Timestamp | None]", arguments)
            return await self._provider.send(queue, messages, at=at)
        if method == "accept_session":
            accept = cast("tuple[QueueName, SessionId | None, float]", arguments)
            held = await self._provider.accept_session(*accept)
            return None if held is None else [held.session_id, held.token, held.locked_until]
        if method == "renew_sessions":
            queue, grips = cast("tuple[QueueName, tuple[_Grip, ...]]", arguments)
            return await self._provider.renew_sessions(queue, [self._session(queue, *grip) for grip in grips])
        if method.startswith("session."):
            queue, grip, *rest = cast("tuple[QueueName, _Grip, *tuple[object, ...]]", arguments)
            return await _method(self._session(queue, *grip), method.removeprefix("session."))(*rest)
        return await _method(self._provider, method)(*arguments)

    def _session(self, queue: QueueName, session_id: SessionId, token: str, until: Timestamp) -> MemorySession:
        return MemorySession(self._calls, self._polls, Address(queue), Grip(session_id, token, until))


_OFFERED = {
    *("capabilities", "counts", "cancel_scheduled", "receive", "settle", "renew", "peek"),  # of the provider
    *("get_state", "set_state", "close"),  # of a session, with `receive`
}


def _method(target: MemoryProvider | MemorySession, name: str) -> Callable[..., Awaitable[object]]:
    found = getattr(target, name, None) if name in _OFFERED else None
    if found is None:
        raise UnsupportedOperation(name, "this broker is of another version: use one on both ends")
    return cast("Callable[..., Awaitable[object]]", found)
