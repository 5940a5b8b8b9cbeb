"""The fixture for users, in a test without an event loop of its own."""

import asyncio

import pytest
from azure.servicebus.aio import ServiceBusClient

from queue_runtime.tools.servicebus_emulator import Refused
from queue_runtime.tools.servicebus_emulator.fixture import ThreadedEmulator, servicebus_emulator
from tests.emulator.sdk import send

__all__ = ["servicebus_emulator"]


def test_the_fixture_is_an_emulator_that_any_test_may_use(servicebus_emulator: ThreadedEmulator) -> None:
    """A client on another loop sends to it; what is asked of it is done on its own thread, errors and all."""

    async def use() -> None:
        async with ServiceBusClient.from_connection_string(servicebus_emulator.connection_string()) as client:
            await send(client, "orders", "a")

    servicebus_emulator.do(lambda it: it.add_queue("orders"))
    asyncio.run(use())
    assert servicebus_emulator.do(lambda it: it.count("orders").active) == 1
    with pytest.raises(Refused, match="orders"):
        servicebus_emulator.do(lambda it: it.add_queue("orders"))
