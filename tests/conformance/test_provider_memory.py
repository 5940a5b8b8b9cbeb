"""The in-memory broker keeps every promise of the port, as each kind of queue."""

import itertools
from dataclasses import replace

import pytest

from queue_runtime.providers.conformance import Harness, ProviderConformance, QueueRules
from queue_runtime.providers.memory import MemoryBroker, MemoryProvider, QueueKind, QueueSettings
from queue_runtime.providers.message import QueueName
from tests.providers.fake_clock import FakeClock


class MemoryHarness:
    """A broker in this process, on a clock of the test's own."""

    patience_s = 0.0

    def __init__(self, settings: QueueSettings) -> None:
        self.clock = FakeClock()
        self.broker = MemoryBroker(clock=self.clock)
        self._settings = replace(settings, max_message_bytes=65_536)
        self._numbers = itertools.count(1)

    async def open(self) -> MemoryProvider:
        provider = MemoryProvider(self.broker)
        await provider.open()
        return provider

    async def make_queue(self, rules: QueueRules) -> QueueName:
        settings = replace(self._settings, max_deliveries=rules.max_deliveries)
        return self.broker.create_queue(f"queue-{next(self._numbers)}", settings)

    async def pass_time(self, seconds: float) -> None:
        await self.clock.advance(seconds)


class TestStandard(ProviderConformance):
    """memory, standard."""

    @pytest.fixture
    def harness(self) -> Harness:
        return MemoryHarness(QueueSettings())


class TestLateReceipts(ProviderConformance):
    """memory, standard with receipts and expiry as SQS has them."""

    @pytest.fixture
    def harness(self) -> Harness:
        return MemoryHarness(QueueSettings(late_receipts=True, dead_letter_expired=False))


class TestFifo(ProviderConformance):
    """memory, FIFO."""

    @pytest.fixture
    def harness(self) -> Harness:
        return MemoryHarness(QueueSettings(kind=QueueKind.FIFO))


class TestSessions(ProviderConformance):
    """memory, sessions."""

    @pytest.fixture
    def harness(self) -> Harness:
        return MemoryHarness(QueueSettings(kind=QueueKind.SESSIONS))
