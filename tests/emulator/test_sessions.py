"""Sessions, as the real SDK accepts, renews and loses them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from azure.servicebus import NEXT_AVAILABLE_SESSION, ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.exceptions import (
    OperationTimeoutError,
    ServiceBusError,
    SessionCannotBeLockedError,
    SessionLockLostError,
)

from queue_runtime.tools.servicebus_emulator import Counts, ServiceBusEmulator
from tests.emulator.sdk import EMPTY_S, WAIT_S, given, receive, send


async def test_a_session_gives_its_own_messages_in_order(
    client: ServiceBusClient, emulator: ServiceBusEmulator
) -> None:
    """A receiver of a session has that session's messages alone, in their order, an abandoned one first again."""
    given(emulator, "pulls", "a1", "a2", "a3", session="a")
    given(emulator, "pulls", "b1", session="b")
    async with client.get_queue_receiver("pulls", session_id="a") as receiver:
        received = await receive(receiver, 3)
        assert [(str(one), one.session_id) for one in received] == [("a1", "a"), ("a2", "a"), ("a3", "a")]
        for one in reversed(received):
            await receiver.abandon_message(one)
        (first,) = await receive(receiver, 1)
        assert (str(first), first.delivery_count) == ("a1", 1)
        await receiver.complete_message(first)
        assert [str(one) for one in await receive(receiver, 2)] == ["a2", "a3"]
        assert await receiver.receive_messages(max_wait_time=EMPTY_S) == []


async def test_a_session_has_one_receiver_at_a_time(client: ServiceBusClient, emulator: ServiceBusEmulator) -> None:
    """A held session is refused to others; it is free as soon as its receiver closes, and its messages uncounted."""
    given(emulator, "pulls", "a1", session="a")
    async with client.get_queue_receiver("pulls", session_id="a") as receiver:
        await receive(receiver, 1)
        with pytest.raises(SessionCannotBeLockedError):
            async with client.get_queue_receiver("pulls", session_id="a"):
                pass
    async with client.get_queue_receiver("pulls", session_id="a") as receiver:
        (again,) = await receive(receiver, 1)
        assert again.delivery_count == 0


async def test_the_next_available_session_is_the_one_that_waits_longest(
    client: ServiceBusClient, emulator: ServiceBusEmulator
) -> None:
    """Who asks for any session has the oldest that is free, waits for one to come, and is told when none did."""
    given(emulator, "pulls", "b1", session="b")
    given(emulator, "pulls", "a1", session="")
    async with (
        client.get_queue_receiver("pulls", session_id=NEXT_AVAILABLE_SESSION, max_wait_time=WAIT_S) as first,
        client.get_queue_receiver("pulls", session_id=NEXT_AVAILABLE_SESSION, max_wait_time=WAIT_S) as second,
    ):
        assert (first.session.session_id, second.session.session_id) == ("b", "")
        with pytest.raises(OperationTimeoutError):
            async with client.get_queue_receiver("pulls", session_id=NEXT_AVAILABLE_SESSION, max_wait_time=EMPTY_S):
                pass
        third = client.get_queue_receiver("pulls", session_id=NEXT_AVAILABLE_SESSION, max_wait_time=WAIT_S)
        opening = asyncio.create_task(third.__aenter__())
        given(emulator, "pulls", "c1", session="c")
        async with await opening:
            assert third.session.session_id == "c"


async def test_the_state_of_a_session_outlives_its_receiver(client: ServiceBusClient) -> None:
    """A state that was set is there for the next receiver, without a message, and can be cleared."""
    async with client.get_queue_receiver("pulls", session_id="a") as receiver:
        assert await receiver.session.get_state() is None
        await receiver.session.set_state(b"\x00parked")
    async with client.get_queue_receiver("pulls", session_id="a") as receiver:
        assert bytes(await receiver.session.get_state()) == b"\x00parked"
        await receiver.session.set_state(None)
        assert await receiver.session.get_state() is None


async def test_a_session_lock_is_renewed(client: ServiceBusClient, emulator: ServiceBusEmulator) -> None:
    """A renewal moves the end of the session's lock, which is that of its messages."""
    given(emulator, "pulls", "a1", session="a")
    async with client.get_queue_receiver("pulls", session_id="a") as receiver:
        (received,) = await receive(receiver, 1)
        until = receiver.session.locked_until_utc
        assert until is not None
        assert until > datetime.now(UTC) + timedelta(seconds=30)
        assert await receiver.session.renew_lock() > until
        await receiver.complete_message(received)


async def test_a_session_whose_lock_ends_is_lost(client: ServiceBusClient, emulator: ServiceBusEmulator) -> None:
    """When the lock ends the receiver is detached, its messages count as delivered, and another may have them."""
    given(emulator, "pulls", "a1", session="a")
    async with client.get_queue_receiver("pulls", session_id="a") as receiver:
        (received,) = await receive(receiver, 1)
        emulator.faults.expire_locks("pulls")
        with pytest.raises(SessionLockLostError):
            await receiver.complete_message(received)
        async with client.get_queue_receiver("pulls", session_id="a") as other:
            (again,) = await receive(other, 1)
            assert again.delivery_count == 1
            await other.complete_message(again)
    assert emulator.count("pulls") == Counts(active=0, locked=0, deferred=0, scheduled=0, dead_lettered=0)


async def test_messages_of_sessions_can_be_deferred_and_peeked(
    client: ServiceBusClient, emulator: ServiceBusEmulator
) -> None:
    """A deferred message is received by its number through its session; a session's receiver peeks at its own."""
    given(emulator, "pulls", "a1", session="a")
    given(emulator, "pulls", "b1", session="b")
    async with client.get_queue_receiver("pulls", session_id="a") as receiver:
        (received,) = await receive(receiver, 1)
        await receiver.defer_message(received)
        assert [(str(one), one.state.value) for one in await receiver.peek_messages(10, sequence_number=1)] == [
            ("a1", 1)
        ]
        (deferred,) = await receiver.receive_deferred_messages(received.sequence_number or 0)
        await receiver.complete_message(deferred)
        assert await receiver.peek_messages(10, sequence_number=1) == []


async def test_sessions_are_asked_of_those_that_have_them(client: ServiceBusClient) -> None:
    """What has no session is refused by a queue with sessions, and a receiver of a session by one without."""
    with pytest.raises(ServiceBusError, match="session"):
        await send(client, "pulls", "no session")
    with pytest.raises(ServiceBusError, match="session"):
        async with client.get_queue_receiver("pulls"):
            pass
    with pytest.raises(ServiceBusError, match="session"):
        async with client.get_queue_receiver("orders", session_id="a"):
            pass
    async with client.get_queue_sender("orders") as sender:
        await sender.send_messages(ServiceBusMessage("a session is allowed anywhere", session_id="a"))
