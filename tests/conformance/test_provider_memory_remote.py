"""A memory broker in another process keeps the same promises; here it is served by the test's own process."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from queue_runtime.providers.conformance import Harness, ProviderConformance, QueueRules
from queue_runtime.providers.memory import (
    MemoryBroker,
    MemoryBrokerServer,
    QueueKind,
    QueueSettings,
    RemoteMemoryProvider,
)
from queue_runtime.providers.message import QueueName
from tests.providers.fake_clock import FakeClock

QUEUE = QueueName("queue-0")


class RemoteHarness:
    """A served broker on a clock of the test's own, and a provider at the other end of a socket."""

    patience_s = 0.0

    def __init__(self, kind: QueueKind, broker: MemoryBroker, clock: FakeClock, server: MemoryBrokerServer) -> None:
        self._kind = kind
        self._broker = broker
        self._clock = clock
        self._server = server
        self._open: list[RemoteMemoryProvider] = []
        self._queues = 0

    async def open(self) -> RemoteMemoryProvider:
        provider = RemoteMemoryProvider(self._server.address)
        await provider.open()
        self._open.append(provider)
        return provider

    async def make_queue(self, rules: QueueRules) -> QueueName:
        self._queues += 1
        settings = QueueSettings(kind=self._kind, max_deliveries=rules.max_deliveries, max_message_bytes=65_536)
        return self._broker.create_queue(f"queue-{self._queues}", settings)

    async def pass_time(self, seconds: float) -> None:
        await self._open[0].capabilities(QueueName("queue-1"))  # behind every request that is on its way already
        await self._clock.advance(seconds)

    async def cut(self) -> None:
        await self._server.__aexit__(None, None, None)

    async def mend(self) -> None:
        place = self._server.address
        port_or_path = Path(place) if place.startswith("/") else int(place.rpartition(":")[2])
        self._server = MemoryBrokerServer(self._broker, port_or_path)
        await self._server.__aenter__()


async def served(kind: QueueKind, place: Path | int) -> AsyncIterator[Harness]:
    clock = FakeClock()
    broker = MemoryBroker(clock=clock)
    server = MemoryBrokerServer(broker, place)
    await server.__aenter__()
    harness = RemoteHarness(kind, broker, clock, server)
    yield harness
    await harness.cut()


class TestStandardOverTcp(ProviderConformance):
    """memory in another process, standard."""

    @pytest.fixture
    async def harness(self) -> AsyncIterator[Harness]:
        async for harness in served(QueueKind.STANDARD, 0):
            yield harness


class TestFifoOverASocketFile(ProviderConformance):
    """memory in another process, FIFO."""

    @pytest.fixture
    async def harness(self, tmp_path: Path) -> AsyncIterator[Harness]:
        async for harness in served(QueueKind.FIFO, tmp_path / "broker.sock"):
            yield harness


class TestSessionsOverASocketFile(ProviderConformance):
    """memory in another process, sessions."""

    @pytest.fixture
    async def harness(self, tmp_path: Path) -> AsyncIterator[Harness]:
        async for harness in served(QueueKind.SESSIONS, tmp_path / "broker.sock"):
            yield harness
