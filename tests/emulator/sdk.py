"""Sending and receiving through the SDK, in a line each."""

from azure.servicebus import ServiceBusMessage, ServiceBusReceivedMessage
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver

from queue_runtime.tools.servicebus_emulator import ServiceBusEmulator
from queue_runtime.tools.servicebus_emulator.amqp.encode import NULL, binary, described, list_of, string
from queue_runtime.tools.servicebus_emulator.amqp.sections import PROPERTIES, parse

__all__ = ["EMPTY_S", "WAIT_S", "given", "receive", "send"]

WAIT_S = 20
"""How long to wait for what comes: long, since a loaded machine takes its time."""
EMPTY_S = 0.5
"""How long to wait for what must not come."""


async def send(client: ServiceBusClient, queue: str, *bodies: str, session: str | None = None) -> None:
    """Send messages in one batch."""
    async with client.get_queue_sender(queue) as sender:
        await sender.send_messages([ServiceBusMessage(body, session_id=session) for body in bodies])


def given(emulator: ServiceBusEmulator, queue: str, *bodies: str, session: str | None = None) -> None:
    """Put messages into a queue without the SDK, which takes a second to open a sender and to close it."""
    group = NULL if session is None else string(session)
    served = emulator.served
    for body in bodies:
        properties = described(PROPERTIES, list_of([string(body), *(NULL,) * 9, group]))
        content = parse(properties + described(0x75, binary(body.encode())))
        served.namespace.send(served.namespace.find(queue), [content], served.now())
    served.changed(served.namespace.find(queue))


async def receive(receiver: ServiceBusReceiver, count: int) -> list[ServiceBusReceivedMessage]:
    """Receive exactly so many messages."""
    found: list[ServiceBusReceivedMessage] = []
    while len(found) < count:
        received = await receiver.receive_messages(count - len(found), max_wait_time=WAIT_S)
        assert received, f"{len(found)} of {count} messages came"
        found += received
    return found
