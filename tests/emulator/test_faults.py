"""Faults on command, and what the real SDK makes of each."""

from __future__ import annotations

import asyncio
import time

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.exceptions import (
    MessageLockLostError,
    MessagingEntityDisabledError,
    ServiceBusAuthorizationError,
    ServiceBusConnectionError,
    ServiceBusServerBusyError,
)

from queue_runtime.tools.servicebus_emulator import Counts, ServiceBusEmulator
from tests.emulator.sdk import WAIT_S, given, receive, send

EMPTY = Counts(active=0, locked=0, deferred=0, scheduled=0, dead_lettered=0)


async def test_a_busy_server_refuses_what_it_was_told(client: ServiceBusClient, emulator: ServiceBusEmulator) -> None:
    """A busy server refuses so many operations, sends and requests, and takes the next."""
    async with client.get_queue_sender("orders") as sender, client.get_queue_receiver("orders") as receiver:
        emulator.faults.busy(2)
        with pytest.raises(ServiceBusServerBusyError):
            await sender.send_messages(ServiceBusMessage("a"))
        with pytest.raises(ServiceBusServerBusyError):
            await receiver.peek_messages()
        await sender.send_messages(ServiceBusMessage("a"))
    assert emulator.count("orders").active == 1


@pytest.mark.heavy
async def test_a_settlement_whose_answer_is_lost_was_applied(
    patient: ServiceBusClient, emulator: ServiceBusEmulator
) -> None:
    """The message is gone although the client cannot know: its lock is lost when it asks again."""
    given(emulator, "orders", "a")
    async with patient.get_queue_receiver("orders") as receiver:
        (received,) = await receive(receiver, 1)
        emulator.faults.lose_settlements(1)
        with pytest.raises(MessageLockLostError):
            await receiver.complete_message(received)
    assert emulator.count("orders") == EMPTY


@pytest.mark.parametrize("fault", ["detach", "drop_connections", "close_idle"])
async def test_a_link_that_is_gone_is_a_connection_error(
    client: ServiceBusClient, emulator: ServiceBusEmulator, fault: str
) -> None:
    """A forced detach, a cut and an idle time-out fail a send as a connection error; the next one connects again."""
    async with client.get_queue_sender("orders") as sender:
        await sender.send_messages(ServiceBusMessage("a"))
        assert getattr(emulator.faults, fault)() >= 1
        with pytest.raises(ServiceBusConnectionError):
            await sender.send_messages(ServiceBusMessage("b"))
        await sender.send_messages(ServiceBusMessage("c"))
    assert emulator.count("orders").active == 2


@pytest.mark.heavy
async def test_a_message_locked_over_a_cut_link_settles_by_request(
    patient: ServiceBusClient, emulator: ServiceBusEmulator
) -> None:
    """The lock of a message outlives its link: the SDK settles it through the management link."""
    given(emulator, "orders", "a")
    async with patient.get_queue_receiver("orders") as receiver:
        (received,) = await receive(receiver, 1)
        emulator.faults.drop_connections()
        await receiver.complete_message(received)
    assert emulator.count("orders") == EMPTY


async def test_a_disabled_queue_refuses_everything(client: ServiceBusClient, emulator: ServiceBusEmulator) -> None:
    """A disabled queue detaches its links and takes no new ones, until it is enabled again."""
    async with client.get_queue_receiver("orders") as receiver:
        emulator.faults.disable("orders")
        with pytest.raises(MessagingEntityDisabledError):
            await receiver.receive_messages(max_wait_time=WAIT_S)
        with pytest.raises(MessagingEntityDisabledError):
            await send(client, "orders", "a")
    emulator.faults.enable("orders")
    await send(client, "orders", "b")
    assert emulator.count("orders").active == 1


async def test_an_expired_token_ends_its_links(client: ServiceBusClient, emulator: ServiceBusEmulator) -> None:
    """A link whose token expired is detached for want of authorization; a new token opens a new one."""
    given(emulator, "orders", "a")
    async with client.get_queue_receiver("orders") as receiver:
        emulator.faults.expire_tokens()
        with pytest.raises(ServiceBusAuthorizationError):
            await receiver.receive_messages(max_wait_time=WAIT_S)
    async with client.get_queue_receiver("orders") as receiver:
        await receive(receiver, 1)


async def test_a_silent_server_answers_nothing(client: ServiceBusClient, emulator: ServiceBusEmulator) -> None:
    """While it is silent a send times out and stores nothing; afterwards a new connection works."""
    async with client.get_queue_sender("orders") as sender:
        emulator.faults.is_silent = True
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(sender.send_messages(ServiceBusMessage("a")), 0.5)
        emulator.faults.is_silent = False
        emulator.faults.drop_connections()
    await send(client, "orders", "b")
    assert emulator.count("orders").active == 1


async def test_answers_can_be_late(client: ServiceBusClient, emulator: ServiceBusEmulator) -> None:
    """With a delay no answer comes before it is over, and all come in order."""
    async with client.get_queue_sender("orders") as sender:
        emulator.faults.answer_delay_s = 0.2
        began = time.monotonic()
        await sender.send_messages(ServiceBusMessage("a"))
        assert time.monotonic() - began >= 0.2
        await sender.send_messages(ServiceBusMessage("b"))
        emulator.faults.answer_delay_s = 0
    async with client.get_queue_receiver("orders") as receiver:
        assert [str(one) for one in await receive(receiver, 2)] == ["a", "b"]
