"""An emulator for every test here."""

import gc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from queue_runtime.tools.servicebus_emulator import ServiceBusEmulator
from tests.sdk_sockets import pardon

QUEUES = ("orders", "pulls,sessions")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Pardon the SDK its sockets."""
    pardon(items, Path(__file__).parent)


@pytest.fixture
async def emulator() -> AsyncIterator[ServiceBusEmulator]:
    """Run an emulator with a few queues."""
    async with ServiceBusEmulator(QUEUES) as running:
        yield running
    gc.collect()  # what the SDK let go of is to be found here, where it is pardoned, not in the next test
