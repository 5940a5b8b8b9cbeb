"""A namespace of the emulator's broker, with what a test does to it in a word each."""

from __future__ import annotations

from itertools import count

from queue_runtime.tools.servicebus_emulator.broker.message import Content, Stored
from queue_runtime.tools.servicebus_emulator.broker.namespace import Namespace
from queue_runtime.tools.servicebus_emulator.broker.queue import Outcome, Queue, Settlement
from queue_runtime.tools.servicebus_emulator.emulated_queue import parse_queue

__all__ = ["NOW", "S", "bodies", "namespace", "put", "settle", "taken"]

S = 1_000_000
NOW = 1_000 * S


def namespace(*queues: str) -> Namespace:
    """Return a namespace with queues, described as on the command line."""
    made = Namespace(number.to_bytes(16, "big") for number in count(1))
    for queue in queues:
        made.add(parse_queue(queue))
    return made


def put(
    space: Namespace,
    queue: str,
    *bodies: str,
    now: int = NOW,
    session: str | None = None,
    ttl_us: int | None = None,
    due_at: int | None = None,
    message_id: str | None = None,
) -> list[int]:
    """Send messages, and return their numbers."""
    contents = [
        Content(
            body=body.encode(),
            session_id=session,
            ttl_us=ttl_us,
            due_at=due_at,
            message_id=message_id,
            size=len(body),
        )
        for body in bodies
    ]
    return space.send(space.find(queue), contents, now)


def taken(queue: Queue, now: int = NOW) -> Stored:
    """Take the next message, which there must be."""
    stored = queue.take(now)
    assert stored is not None
    return stored


def settle(queue: Queue, stored: Stored, outcome: Outcome, now: int = NOW) -> None:
    """Settle a message by its lock."""
    assert stored.token is not None
    queue.settle(stored.token, Settlement(outcome, "why", "because"), now)


def bodies(queue: Queue) -> list[str]:
    """Return the bodies of all that a queue has, in the order of their numbers."""
    return [stored.content.body.decode() for stored in queue.store.messages.values()]
