"""What travels: the message that is sent, and the delivery that one hand-over of it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from queue_runtime.providers.clock import Timestamp

__all__ = ["Delivery", "Message", "MessageId", "QueueName", "Receipt", "SessionId"]


class QueueName(str):
    """The name of a queue (spec A2-A4). TODO(providers): validation."""

    __slots__ = ()


class MessageId(str):
    """A sender's id of a message (spec A5)."""

    __slots__ = ()


class SessionId(str):
    """The ordered group that a message belongs to (spec A6, A7)."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Message:
    """A message to send. Bare strings are accepted for the typed fields and validated here."""

    body: bytes = field(repr=False)
    message_id: MessageId
    session_id: SessionId | None = None
    correlation_id: str | None = None
    content_type: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    time_to_live: timedelta | None = None
    deduplication_id: str | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """The token that settles one hand-over. Only providers make one; it is a secret, and dies with its lock."""

    handle: str = field(repr=False)
    provider_id: str
    expires_at: Timestamp
    provider: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One hand-over of a message by a broker."""

    queue: QueueName
    message: Message
    receipt: Receipt
    delivery_count: int
    sequence: int | None
    enqueued_at: Timestamp | None
    expires_at: Timestamp | None
    first_delivered_at: Timestamp
    delivered_at: Timestamp
