"""The emulator: a namespace behind a port."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Self

from queue_runtime.tools.servicebus_emulator.broker.browse import Counts, count
from queue_runtime.tools.servicebus_emulator.broker.namespace import DEAD_LETTERS
from queue_runtime.tools.servicebus_emulator.broker.refusal import Condition
from queue_runtime.tools.servicebus_emulator.claims import AccessKey
from queue_runtime.tools.servicebus_emulator.client import Client
from queue_runtime.tools.servicebus_emulator.connection import Connection
from queue_runtime.tools.servicebus_emulator.emulated_queue import EmulatedQueue, parse_queue
from queue_runtime.tools.servicebus_emulator.faults import Faults
from queue_runtime.tools.servicebus_emulator.host import Host

__all__ = ["ROOT_KEY", "ServiceBusEmulator"]

ROOT_KEY = "RootManageSharedAccessKey"
ROOT_SECRET = "SAS_KEY_VALUE"  # noqa: S105 - Microsoft's own emulator has this one, and it guards nothing


class ServiceBusEmulator:
    """A Service Bus namespace on a local port, to which the unmodified SDKs connect.

    Use it as an asynchronous context manager, or call `start` and `close`. It lives on the event loop that starts it,
    and keeps nothing.

    Args:
        queues: the queues to begin with, as settings or as texts: `"pulls,sessions,lock=30"`.
        host: where to listen.
        port: 0 for one that is free; its number after the start.
        keys: shared access policies by name, besides that of the root.
    """

    def __init__(
        self,
        queues: Iterable[EmulatedQueue | str] = (),
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        keys: Mapping[str, AccessKey] | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self.faults = Faults(_Surgery(self))
        self.keys = {ROOT_KEY: AccessKey(ROOT_SECRET), **(keys or {})}
        self.served = Host(self.keys, lambda: time.time_ns() // 1_000, os.urandom(8))
        self.clients: set[Client] = set()
        self._server: asyncio.Server | None = None
        for queue in queues:
            self.add_queue(queue)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the port is taken.
        """
        self._server = await asyncio.get_running_loop().create_server(self._connect, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening, and cut what is connected. It may be called twice."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for client in list(self.clients):
            client.connection.abort()
        self.served.close()
        if server is not None:
            await server.wait_closed()

    def _connect(self) -> Connection:
        client = Client(self.served, self.faults, self.clients.discard)
        self.clients.add(client)
        return client.connection

    def connection_string(self, policy: str = ROOT_KEY) -> str:
        """Return what an SDK connects with.

        Args:
            policy: the shared access policy; there is one by default, that of the root.
        """
        endpoint = f"Endpoint=sb://{self.host}:{self.port}"
        key = f"SharedAccessKeyName={policy};SharedAccessKey={self.keys[policy].key}"
        return f"{endpoint};{key};UseDevelopmentEmulator=true"

    def add_queue(self, queue: EmulatedQueue | str) -> None:
        """Create a queue.

        Raises:
            Refused: there is one of that name.
            ValueError: a text describes none.
        """
        self.served.namespace.add(parse_queue(queue) if isinstance(queue, str) else queue)

    def remove_queue(self, name: str) -> None:
        """Delete a queue with all that it holds; its links are detached.

        Raises:
            Refused: there is none of that name.
        """
        for queue in self.served.namespace.remove(name):
            self.served.forget(queue)
        for client in list(self.clients):
            client.detach(name.lower(), Condition.NOT_FOUND, f"queue {name} was deleted")

    def count(self, name: str) -> Counts:
        """Return how many messages a queue has.

        Raises:
            Refused: there is none of that name.
        """
        find = self.served.namespace.find
        return count(find(name), find(name + DEAD_LETTERS))


class _Surgery:
    """What faults do to a running emulator."""

    def __init__(self, emulator: ServiceBusEmulator) -> None:
        self._emulator = emulator

    def detach(self, path: str | None) -> int:
        text = "the link was detached by force, as the emulator was told; attach again"
        return self._detach(path, Condition.DETACHED, text)

    def _detach(self, path: str | None, condition: Condition, text: str) -> int:
        where = None if path is None else path.lower()
        return sum(client.detach(where, condition, text) for client in list(self._emulator.clients))

    def drop(self) -> int:
        clients = list(self._emulator.clients)
        for client in clients:
            client.connection.abort()
        return len(clients)

    def close_idle(self) -> int:
        clients = list(self._emulator.clients)
        for client in clients:
            text = "The connection was inactive for more than the allowed 240000 milliseconds and is closed."
            client.connection.close(Condition.FORCED, text)
        return len(clients)

    def expire_tokens(self) -> None:
        for client in list(self._emulator.clients):
            client.claims.expire()
            client.enforce()

    def expire_locks(self, path: str) -> None:
        served = self._emulator.served
        queue = served.namespace.find(path)
        queue.locks.end_all(served.now())
        if queue.sessions is not None:
            queue.sessions.end_all(served.now())
        served.tick(queue)

    def disable(self, path: str, *, is_disabled: bool) -> None:
        namespace = self._emulator.served.namespace
        if is_disabled:
            namespace.find(path)
            namespace.disabled.add(path.lower())
            self._detach(path, Condition.DISABLED, f"queue {path} is disabled; enable it first")
        else:
            namespace.disabled.discard(path.lower())
