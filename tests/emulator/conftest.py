"""An emulator with a client of the real SDK, for every test here."""

import gc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from azure.servicebus.aio import ServiceBusClient

from queue_runtime.tools.servicebus_emulator import ServiceBusEmulator
from tests.sdk_sockets import pardon

QUEUES = ("orders", "pulls,sessions", "quick,lock=0.5", "thrice,deliveries=3")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Pardon the SDK its sockets."""
    pardon(items, Path(__file__).parent)


@pytest.fixture
async def emulator() -> AsyncIterator[ServiceBusEmulator]:
    """Run an emulator with a few queues."""
    async with ServiceBusEmulator(QUEUES) as running:
        yield running
    gc.collect()  # what the SDK let go of is to be found here, where it is pardoned, not in the next test


@pytest.fixture
async def client(emulator: ServiceBusEmulator) -> AsyncIterator[ServiceBusClient]:
    """Connect the SDK, which is to show each error instead of trying again."""
    async with ServiceBusClient.from_connection_string(emulator.connection_string(), retry_total=0) as connected:
        yield connected


@pytest.fixture
async def patient(emulator: ServiceBusEmulator) -> AsyncIterator[ServiceBusClient]:
    """Connect the SDK as it comes: it tries again."""
    async with ServiceBusClient.from_connection_string(emulator.connection_string()) as connected:
        yield connected
