"""Service Bus keeps the port's promises, over the emulator: the SDK as it is, real frames on a real connection."""

import pytest

from queue_runtime.providers.conformance import Harness, ProviderConformance
from queue_runtime.tools.servicebus_emulator import ServiceBusEmulator
from tests.servicebus.servers import EmulatorHarness

pytestmark = pytest.mark.heavy  # opening and closing the SDK's links takes it a second or two in each


class TestPlain(ProviderConformance):
    """Service Bus, without sessions."""

    @pytest.fixture
    def harness(self, emulator: ServiceBusEmulator) -> Harness:
        return EmulatorHarness(emulator, sessions=False)


class TestSessions(ProviderConformance):
    """Service Bus, with sessions."""

    @pytest.fixture
    def harness(self, emulator: ServiceBusEmulator) -> Harness:
        return EmulatorHarness(emulator, sessions=True)
