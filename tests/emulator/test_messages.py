"""Messages of queues without sessions, as the real SDK sends, receives and settles them."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from azure.servicebus import ServiceBusMessage, ServiceBusReceiveMode, ServiceBusSubQueue
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.exceptions import MessageLockLostError, MessageNotFoundError

from queue_runtime.tools.servicebus_emulator import Counts, ServiceBusEmulator
from tests.emulator.sdk import EMPTY_S, given, receive


async def test_a_message_arrives_as_it_was_sent(client: ServiceBusClient) -> None:
    """Body, properties of every type, and what the sender said about the message reach the receiver."""
    properties: dict[str, object] = {"text": "ä", "number": 1 << 30, "yes": True, "half": 0.5, "id": uuid.UUID(int=7)}
    message = ServiceBusMessage(
        b"\x00body\xff",
        application_properties=properties,  # pyright: ignore[reportArgumentType] - the SDK's dict is invariant
        content_type="application/json",
        correlation_id="c",
        message_id="m",
        subject="s",
        time_to_live=timedelta(hours=1),
    )
    before = datetime.now(UTC).replace(microsecond=0)
    async with client.get_queue_sender("orders") as sender:
        await sender.send_messages(message)
    async with client.get_queue_receiver("orders") as receiver:
        (received,) = await receive(receiver, 1)

    assert b"".join(received.body) == b"\x00body\xff"
    assert {key.decode(): value for key, value in (received.application_properties or {}).items()} == {  # type: ignore[union-attr]
        **properties,
        "text": "ä".encode(),
    }
    assert (received.content_type, received.correlation_id, received.subject) == ("application/json", "c", "s")
    assert (received.message_id, received.time_to_live, received.delivery_count) == ("m", timedelta(hours=1), 0)
    assert (received.sequence_number, received.state.value) == (1, 0)
    assert before <= (received.enqueued_time_utc or before) <= datetime.now(UTC)
    assert received.locked_until_utc is not None
    assert received.locked_until_utc > datetime.now(UTC) + timedelta(seconds=30)


async def test_each_outcome_does_what_it_says(client: ServiceBusClient, emulator: ServiceBusEmulator) -> None:
    """Complete removes, abandon returns counted, dead-letter moves with its reason, defer sets aside."""
    given(emulator, "orders", "a", "b", "c", "d")
    async with client.get_queue_receiver("orders") as receiver:
        one, two, three, four = await receive(receiver, 4)
        await receiver.complete_message(one)
        await receiver.dead_letter_message(three, reason="why", error_description="because")
        await receiver.defer_message(four)
        await receiver.abandon_message(two)
        (again,) = await receive(receiver, 1)
        assert (str(again), again.delivery_count, again.sequence_number) == ("b", 1, two.sequence_number)
        (deferred,) = await receiver.receive_deferred_messages(four.sequence_number or 0)
        assert str(deferred) == "d"
        assert emulator.count("orders") == Counts(active=0, locked=2, deferred=0, scheduled=0, dead_lettered=1)
        await receiver.complete_message(deferred)
        await receiver.complete_message(again)
    async with client.get_queue_receiver("orders", sub_queue=ServiceBusSubQueue.DEAD_LETTER) as dead_letters:
        (dead,) = await receive(dead_letters, 1)
        assert (str(dead), dead.dead_letter_reason, dead.dead_letter_error_description) == ("c", "why", "because")
        await dead_letters.complete_message(dead)
    assert emulator.count("orders") == Counts(active=0, locked=0, deferred=0, scheduled=0, dead_lettered=0)


async def test_a_lock_that_ends_gives_the_message_back(client: ServiceBusClient, emulator: ServiceBusEmulator) -> None:
    """Without a renewal a message is delivered again, counted; with one it is not; the old lock settles nothing."""
    given(emulator, "quick", "a")
    async with client.get_queue_receiver("quick") as receiver, client.get_queue_receiver("quick") as other:
        (first,) = await receive(receiver, 1)
        until = first.locked_until_utc
        assert until is not None
        renewed = await receiver.renew_message_lock(first)
        assert renewed > until
        (second,) = await receive(other, 1)
        assert datetime.now(UTC) >= renewed
        assert second.delivery_count == 1
        with pytest.raises(MessageLockLostError):
            await receiver.complete_message(first)
        await other.complete_message(second)


async def test_a_message_that_fails_too_often_is_dead_lettered(
    client: ServiceBusClient, emulator: ServiceBusEmulator
) -> None:
    """After the deliveries that its queue allows a message is a dead letter, with the service's reason."""
    given(emulator, "thrice", "a")
    async with client.get_queue_receiver("thrice") as receiver:
        for count in range(3):
            (received,) = await receive(receiver, 1)
            assert received.delivery_count == count
            await receiver.abandon_message(received)
        assert await receiver.receive_messages(max_wait_time=EMPTY_S) == []
    async with client.get_queue_receiver("thrice", sub_queue=ServiceBusSubQueue.DEAD_LETTER) as dead_letters:
        (dead,) = await receive(dead_letters, 1)
    assert (dead.dead_letter_reason, dead.delivery_count) == ("MaxDeliveryCountExceeded", 3)


async def test_receive_and_delete_leaves_nothing(client: ServiceBusClient, emulator: ServiceBusEmulator) -> None:
    """A receiver that deletes has each message once, without a lock."""
    given(emulator, "orders", "a", "b")
    mode = ServiceBusReceiveMode.RECEIVE_AND_DELETE
    async with client.get_queue_receiver("orders", receive_mode=mode) as receiver:
        received = await receive(receiver, 2)
    assert [str(one) for one in received] == ["a", "b"]
    assert emulator.count("orders") == Counts(active=0, locked=0, deferred=0, scheduled=0, dead_lettered=0)


async def test_scheduled_messages_wait_and_can_be_cancelled(client: ServiceBusClient) -> None:
    """A scheduled message shows when peeked, comes not before its time, and not at all when it is cancelled."""
    async with client.get_queue_sender("orders") as sender, client.get_queue_receiver("orders") as receiver:
        later = datetime.now(UTC) + timedelta(hours=1)
        (cancelled,) = await sender.schedule_messages(ServiceBusMessage("gone"), later)
        assert [one.state.value for one in await receiver.peek_messages(5)] == [2]
        await sender.cancel_scheduled_messages(cancelled)
        with pytest.raises(MessageNotFoundError):
            await sender.cancel_scheduled_messages(cancelled)
        assert await receiver.peek_messages(5) == []
        due = datetime.now(UTC) + timedelta(seconds=0.5)
        (kept,) = await sender.schedule_messages(ServiceBusMessage("kept"), due)
        (received,) = await receive(receiver, 1)
        assert datetime.now(UTC) >= due.replace(microsecond=due.microsecond // 1_000 * 1_000)
        assert str(received) == "kept"
        assert (received.sequence_number or 0) > kept
        await receiver.complete_message(received)
