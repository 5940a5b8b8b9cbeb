"""A message as a queue keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

__all__ = ["Content", "State", "Stored"]


class State(IntEnum):
    """Where a message is in its life. Source: Service Bus, "AMQP 1.0 in Azure Service Bus", `x-opt-message-state`."""

    ACTIVE = 0
    DEFERRED = 1
    SCHEDULED = 2


@dataclass(frozen=True, slots=True)
class Content:
    """What a sender sent: the encoded parts of a message, and what a queue has to know of them.

    Args:
        header: the encoded fields of the header section.
        annotations: encoded entries of the message annotations, without those that the broker writes.
        properties: the encoded properties section, or nothing.
        application: encoded entries of the application properties.
        body: the encoded body sections and footer.
        message_id: of the sender, for duplicate detection.
        session_id: the session that the message belongs to.
        ttl_us: time to live in microseconds.
        due_at: when it is to be enqueued, in microseconds since the epoch.
        size: bytes on the wire.
    """

    header: tuple[bytes, ...] = ()
    annotations: Mapping[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    properties: bytes = b""
    application: Mapping[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    body: bytes = b""
    message_id: object = None
    session_id: str | None = None
    ttl_us: int | None = None
    due_at: int | None = None
    size: int = 0


@dataclass(slots=True, eq=False)
class Stored:
    """A message in a queue. Instants are microseconds since the epoch.

    Args:
        content: what was sent.
        sequence: its number in this queue.
        enqueued_at: when this queue took it.
        expires_at: when its time to live ends, if it does.
        state: active, deferred or scheduled.
        delivery_count: how many deliveries failed.
        token: of the lock, 16 bytes, while it is locked.
        locked_until: end of the lock.
        changes: encoded application properties that were set since, by encoded key.
        dead_letter: why it is one, if it is: reason and description.
        first_sequence: the number it had in the queue that it was sent to, if it was moved since.
    """

    content: Content
    sequence: int
    enqueued_at: int
    expires_at: int | None = None
    state: State = State.ACTIVE
    delivery_count: int = 0
    token: bytes | None = None
    locked_until: int = 0
    changes: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    dead_letter: tuple[str, str] | None = None
    first_sequence: int | None = None
