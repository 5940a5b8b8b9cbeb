"""Sizes, credit and the ways out of a queue, as the real SDK meets them."""

from __future__ import annotations

import pytest
from azure.servicebus import ServiceBusMessage, ServiceBusSubQueue
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.exceptions import MessageSizeExceededError, ServiceBusQuotaExceededError

from queue_runtime.tools.servicebus_emulator import Counts, EmulatedQueue, ServiceBusEmulator
from tests.emulator.sdk import given, receive

pytestmark = pytest.mark.heavy  # the SDK takes a second for each link that it opens and closes


async def test_sizes_are_limited_by_message_by_batch_and_by_queue(
    client: ServiceBusClient, emulator: ServiceBusEmulator
) -> None:
    """The SDK learns the queue's limit, what is larger is refused, and so is what a full queue has no room for."""
    emulator.add_queue(EmulatedQueue(name="small", max_message_bytes=10_000, max_bytes=15_000))
    async with client.get_queue_sender("small") as sender:
        assert (await sender.create_message_batch()).max_size_in_bytes == 10_000
        with pytest.raises(MessageSizeExceededError):
            await sender.send_messages(ServiceBusMessage(b"x" * 10_001))
        await sender.send_messages(ServiceBusMessage(b"x" * 9_000))
        with pytest.raises(ServiceBusQuotaExceededError):
            await sender.send_messages(ServiceBusMessage(b"x" * 9_000))
    assert emulator.count("small").active == 1


async def test_a_large_message_is_cut_into_frames_and_put_together(
    client: ServiceBusClient, emulator: ServiceBusEmulator
) -> None:
    """A message of several frames goes both ways whole."""
    emulator.add_queue(EmulatedQueue(name="large", max_message_bytes=5_000_000))
    body = bytes(range(256)) * 12_000
    async with client.get_queue_sender("large") as sender:
        await sender.send_messages(ServiceBusMessage(body))
    async with client.get_queue_receiver("large") as receiver:
        (received,) = await receive(receiver, 1)
        assert b"".join(received.body) == body
        await receiver.complete_message(received)


async def test_no_more_is_locked_than_there_is_credit_for(
    client: ServiceBusClient, emulator: ServiceBusEmulator
) -> None:
    """A receiver gets as many as it asks for, with prefetch as many more; what it did not see goes back uncounted."""
    given(emulator, "orders", *"abcdefgh")
    async with client.get_queue_receiver("orders") as receiver:
        first = await receive(receiver, 3)
        assert emulator.count("orders") == Counts(active=5, locked=3, deferred=0, scheduled=0, dead_lettered=0)
        for one in first:
            await receiver.complete_message(one)
    async with client.get_queue_receiver("orders", prefetch_count=4) as receiver:
        (one,) = await receive(receiver, 1)
        await receiver.complete_message(one)
    assert emulator.count("orders") == Counts(active=4, locked=0, deferred=0, scheduled=0, dead_lettered=0)
    async with client.get_queue_receiver("orders") as receiver:
        assert [(str(one), one.delivery_count) for one in await receive(receiver, 4)] == [
            ("e", 0),
            ("f", 0),
            ("g", 0),
            ("h", 0),
        ]


async def test_what_cannot_be_forwarded_is_in_the_transfer_dead_letters(
    client: ServiceBusClient, emulator: ServiceBusEmulator
) -> None:
    """A message moves on under a new number with its old one beside it, or lands in the transfer sub-queue."""
    emulator.add_queue("first,forward=orders")
    emulator.add_queue("lost,forward=nowhere")
    given(emulator, "first", "a")
    given(emulator, "lost", "b")
    async with client.get_queue_receiver("orders") as receiver:
        (received,) = await receive(receiver, 1)
        assert (str(received), received.enqueued_sequence_number) == ("a", 1)
    where = ServiceBusSubQueue.TRANSFER_DEAD_LETTER
    async with client.get_queue_receiver("lost", sub_queue=where) as receiver:
        (dead,) = await receive(receiver, 1)
        assert (str(dead), dead.dead_letter_reason) == ("b", "amqp:not-found")


async def test_what_expires_or_comes_twice_is_not_delivered(
    client: ServiceBusClient, emulator: ServiceBusEmulator
) -> None:
    """An expired message is dead-lettered where the queue says so, and a message id is taken once in its window."""
    emulator.add_queue("brief,ttl=0.3,dead-letter-expired,duplicates=60")
    async with client.get_queue_sender("brief") as sender:
        for _ in range(2):
            await sender.send_messages(ServiceBusMessage("a", message_id="same"))
    async with client.get_queue_receiver("brief", sub_queue=ServiceBusSubQueue.DEAD_LETTER) as receiver:
        (dead,) = await receive(receiver, 1)
        assert dead.dead_letter_reason == "TTLExpiredException"
    assert emulator.count("brief") == Counts(active=0, locked=0, deferred=0, scheduled=0, dead_lettered=1)
