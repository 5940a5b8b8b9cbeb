"""The provider over the emulator: what the public suite does not ask."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.amqp import AmqpAnnotatedMessage

from queue_runtime.providers import Address, ConfigurationError, Delivery, Message, QueueName, SettleKind, Settlement
from queue_runtime.providers.registry import provider_from_settings
from queue_runtime.providers.servicebus import ServiceBusProvider, ServiceBusSettings
from queue_runtime.providers.settings import ProviderSettings
from queue_runtime.tools.servicebus_emulator import ServiceBusEmulator

ORDERS = QueueName("orders")
SOURCE = Address(ORDERS)
WAIT_S = 20.0


@pytest.fixture
async def provider(emulator: ServiceBusEmulator) -> AsyncIterator[ServiceBusProvider]:
    opened = ServiceBusProvider(ServiceBusSettings(emulator.connection_string()))
    await opened.open()
    yield opened
    await opened.close()


def test_it_is_made_from_settings_and_shows_no_secret() -> None:
    """The entry point makes it, under either name; without a connection string it says which setting is missing."""
    text = "Endpoint=sb://127.0.0.1:1;SharedAccessKeyName=k;SharedAccessKey=hush;UseDevelopmentEmulator=true"
    settings = ProviderSettings(provider="servicebus", servicebus_connection_string=text)  # pyright: ignore[reportArgumentType]

    assert provider_from_settings(settings).name == "azure"
    assert "hush" not in repr(settings) + repr(ServiceBusSettings(text))
    with pytest.raises(ConfigurationError, match="QUEUE_SERVICEBUS_CONNECTION_STRING"):
        provider_from_settings(ProviderSettings(provider="azure"))


async def test_a_string_that_is_no_connection_string_is_not_shown() -> None:
    """What might be a secret is not part of the error, nor of its cause."""
    with pytest.raises(ConfigurationError) as caught:
        await ServiceBusProvider(ServiceBusSettings("hush")).open()
    assert "hush" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_foreign_messages_are_delivered(emulator: ServiceBusEmulator, provider: ServiceBusProvider) -> None:
    """Properties of every type arrive as texts; bodies that are values or sequences as JSON; texts as their bytes."""
    properties: dict[str | bytes, object] = {"n": 1, "yes": True, "half": 0.5, "text": "ü"}
    async with (
        ServiceBusClient.from_connection_string(emulator.connection_string()) as client,
        client.get_queue_sender("orders") as sender,
    ):
        await sender.send_messages(ServiceBusMessage("plain", application_properties=properties))  # pyright: ignore[reportArgumentType]
        await sender.send_messages(AmqpAnnotatedMessage(value_body={"a": [1, None]}))
        await sender.send_messages(AmqpAnnotatedMessage(sequence_body=[[1, 2], ["b"]]))

    found: list[Delivery] = []
    while len(found) < 3:
        found += await provider.receive(SOURCE, 3 - len(found), WAIT_S)

    assert [delivery.message.body for delivery in found] == [b"plain", b'{"a": [1, null]}', b'[1, 2, "b"]']
    assert found[0].message.attributes == {"n": "1", "yes": "true", "half": "0.5", "text": "ü"}


async def test_what_is_set_aside_is_received_by_its_number_and_settled(provider: ServiceBusProvider) -> None:
    """A deferred message is not delivered; asked for by its number it is, and completes."""
    await provider.send(ORDERS, [Message(b"later")])
    (delivery,) = await provider.receive(SOURCE, 1, WAIT_S)
    assert await provider.settle(SOURCE, [Settlement(SettleKind.DEFER, delivery.receipt)]) == [None]

    (again,) = await provider.receive_deferred(SOURCE, [delivery.sequence or 0])

    assert again.message.body == b"later"
    assert await provider.settle(SOURCE, [Settlement(SettleKind.COMPLETE, again.receipt)]) == [None]


async def test_a_message_held_over_a_cut_link_settles_past_it(
    emulator: ServiceBusEmulator, provider: ServiceBusProvider
) -> None:
    """Locks outlive the connection that took them: the settlement goes by lock token."""
    await provider.send(ORDERS, [Message(b"held")])
    (delivery,) = await provider.receive(SOURCE, 1, WAIT_S)
    emulator.faults.drop_connections()

    assert await provider.settle(SOURCE, [Settlement(SettleKind.COMPLETE, delivery.receipt)]) == [None]
    assert emulator.count("orders").locked == 0


async def test_an_id_that_is_too_long_for_the_service_arrives_whole(provider: ServiceBusProvider) -> None:
    """It travels beside a digest of it."""
    await provider.send(ORDERS, [Message(b"x", message_id="i" * 300)])
    (delivery,) = await provider.receive(SOURCE, 1, WAIT_S)

    assert delivery.message.message_id == "i" * 300
    assert delivery.message.attributes == {}
