"""An emulator for every test here."""

import gc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from queue_runtime.tools.servicebus_emulator import ServiceBusEmulator

QUEUES = ("orders", "pulls,sessions")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Pardon the SDK, which lets the sockets of links that failed go without closing them."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore::ResourceWarning"))
            item.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"))


@pytest.fixture
async def emulator() -> AsyncIterator[ServiceBusEmulator]:
    """Run an emulator with a few queues."""
    async with ServiceBusEmulator(QUEUES) as running:
        yield running
    gc.collect()  # what the SDK let go of is to be found here, where it is pardoned, not in the next test
