"""An emulator with a client of the real SDK, for every test here."""

from collections.abc import AsyncIterator

import pytest
from azure.servicebus.aio import ServiceBusClient

from queue_runtime.tools.servicebus_emulator import ServiceBusEmulator

QUEUES = ("orders", "pulls,sessions", "quick,lock=0.5", "thrice,deliveries=3")


@pytest.fixture
async def emulator() -> AsyncIterator[ServiceBusEmulator]:
    """Run an emulator with a few queues."""
    async with ServiceBusEmulator(QUEUES) as running:
        yield running


@pytest.fixture
async def client(emulator: ServiceBusEmulator) -> AsyncIterator[ServiceBusClient]:
    """Connect the SDK, which is to show each error instead of trying again."""
    async with ServiceBusClient.from_connection_string(emulator.connection_string(), retry_total=0) as connected:
        yield connected
