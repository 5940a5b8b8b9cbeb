"""How a dead letter is sent again. Pure.

A redrive sends a copy under a new id: brokers that drop duplicates would swallow the old one. The copy names its origin
and how often it was redriven, and its new id follows from the two, so that a redrive which is repeated after a crash
sends the same message again and not a second one. The engine derives the copy's idempotency key from the same two.
"""

from __future__ import annotations

from uuid import UUID, uuid5

from queue_runtime.providers.message import Message, MessageId

__all__ = ["ORIGIN_ATTRIBUTE", "REDRIVE_ATTRIBUTE", "origin_of", "redriven"]

ORIGIN_ATTRIBUTE = "queue-runtime-origin-id"
REDRIVE_ATTRIBUTE = "queue-runtime-redrive"

_NAMESPACE = UUID("6f1f7a44-52f0-4b59-9c1c-1d9f6b0f6c53")


def origin_of(message: Message) -> tuple[MessageId, int]:
    """Return the id under which a message was sent first, and how often it has been redriven since: 0 for never.

    Attributes that somebody else wrote, and that do not make sense, are taken as never redriven.
    """
    origin = message.attributes.get(ORIGIN_ATTRIBUTE)
    number = message.attributes.get(REDRIVE_ATTRIBUTE, "")
    if not origin or not number.isascii() or not number.isdecimal() or int(number) == 0:
        return message.message_id, 0
    return MessageId(origin), int(number)


def redriven(message: Message) -> Message:
    """Make the copy of a dead-lettered message that is to be sent; without its time to live, which may have ended."""
    origin, number = origin_of(message)
    number += 1
    return Message(
        message.body,
        message_id=str(uuid5(_NAMESPACE, f"{number}:{origin}")),
        session_id=message.session_id,
        correlation_id=message.correlation_id,
        content_type=message.content_type,
        attributes={**message.attributes, ORIGIN_ATTRIBUTE: origin, REDRIVE_ATTRIBUTE: str(number)},
    )
