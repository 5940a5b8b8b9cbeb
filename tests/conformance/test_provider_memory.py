"""The in-memory broker keeps every promise of the port, as each kind of queue."""

import itertools

import pytest

from queue_runtime.providers.conformance import Harness, ProviderConformance, QueueRules
from queue_runtime.providers.memory import MemoryBroker, MemoryProvider, QueueKind, QueueSettings
from queue_runtime.providers.message import QueueName
from tests.providers.fake_clock import FakeClock


class MemoryHarness:
    """A broker in this process, on a clock of the test's own."""

    patience_s = 0.0

    def __init__(self, kind: QueueKind) -> None:
        self.clock = FakeClock()
        self.broker = MemoryBroker(clock=self.clock)
        self._kind = kind
        self._numbers = itertools.count(1)

    async def open(self) -> MemoryProvider:
        provider = MemoryProvider(self.broker)
        await provider.open()
        return provider

    async def make_queue(self, rules: QueueRules) -> QueueName:
        settings = QueueSettings(kind=self._kind, max_deliveries=rules.max_deliveries, max_message_bytes=65_536)
        return self.broker.create_queue(f"queue-{next(self._numbers)}", settings)

    async def pass_time(self, seconds: float) -> None:
        await self.clock.advance(seconds)


class TestStandard(ProviderConformance):
    @pytest.fixture
    def harness(self) -> Harness:
        return MemoryHarness(QueueKind.STANDARD)


class TestFifo(ProviderConformance):
    @pytest.fixture
    def harness(self) -> Harness:
        return MemoryHarness(QueueKind.FIFO)


class TestSessions(ProviderConformance):
    @pytest.fixture
    def harness(self) -> Harness:
        return MemoryHarness(QueueKind.SESSIONS)
