"""The connections of one provider: few, used again, and waited for when all are in use."""

import asyncio
from typing import cast
from urllib.parse import urlsplit

import pytest

from queue_runtime.providers.conformance import QueueRules
from queue_runtime.providers.message import Message
from queue_runtime.providers.port import Address, Sent, SettleKind, Settlement
from queue_runtime.providers.sqs import SqsProvider, clients
from tests.sqs.servers import SqsHarness
from tests.sqs.strict import StrictServer

BOUND = 3
MANY = 40


class Gate:
    """Passes connections on to a server, and counts them."""

    def __init__(self, server: StrictServer) -> None:
        self._server = urlsplit(server.url)
        self.opened: set[asyncio.Task[None] | None] = set()

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened.add(cast("asyncio.Task[None] | None", asyncio.current_task()))
        there = await asyncio.open_connection(self._server.hostname, self._server.port)
        await asyncio.gather(_copy(reader, there[1]), _copy(there[0], writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while content := await reader.read(65_536):
        writer.write(content)
        await writer.drain()
    writer.close()


async def test_L19_connections_are_bounded_used_again_and_waited_for(
    strict: StrictServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More calls at one time than connections: each is answered, and no further connection is opened for them."""
    monkeypatch.setattr(clients, "CONNECTIONS", BOUND)
    harness = SqsHarness(strict, is_fifo=False)
    queue = await harness.make_queue(QueueRules())
    gate = Gate(strict)
    listening = await asyncio.start_server(gate.pass_on, "127.0.0.1", 0)
    port: int = listening.sockets[0].getsockname()[1]
    provider = SqsProvider(harness.settings(endpoint_url=f"http://127.0.0.1:{port}"), strict.clock)
    await provider.open()

    sent = await asyncio.gather(*(provider.send(queue, [Message(b"%d" % number)]) for number in range(MANY)))
    assert all(isinstance(answer, Sent) for answers in sent for answer in answers)
    deliveries = [one for _ in range(MANY // 10) for one in await provider.receive(Address(queue), 10, 0)]
    settlements = [Settlement(SettleKind.COMPLETE, delivery.receipt) for delivery in deliveries]
    settled = await asyncio.gather(*(provider.settle(Address(queue), [one]) for one in settlements))

    assert settled == [[None]] * MANY
    assert strict.queues[str(queue)].held == []
    assert len(gate.opened) <= BOUND * len(clients.Use)
    await provider.close()
    await asyncio.gather(*(task for task in gate.opened if task is not None))
    listening.close()
