"""How a message looks to Service Bus, and how what it hands over looks to us.

Service Bus carries everything that a message has: ids, session and attributes go as the service's own properties, so
that other consumers read them. An id that is too long for the service, or that has to make room for a deduplication id,
travels as an application property. Bodies that others send as AMQP values or sequences are delivered as JSON.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# The SDK types what it hands over loosely; it is narrowed here.

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import cast
from uuid import UUID

from azure.servicebus import ServiceBusMessage, ServiceBusReceivedMessage
from azure.servicebus.amqp import AmqpMessageBodyType

from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.errors import SerializationError, ValidationError
from queue_runtime.providers.message import DeadLetter, Message, QueueName, SessionId

__all__ = ["DEAD_LETTER", "dead_letter_of", "foreign_message_of", "instant", "message_of", "record_of", "wire_of"]

MESSAGE_ID = "queue-runtime-id"
DEAD_LETTER = "queue-runtime-dead-letter"
OURS = frozenset({MESSAGE_ID, DEAD_LETTER})
SERVICES = frozenset({"DeadLetterReason", "DeadLetterErrorDescription"})
MAX_ID = 128  # Source: Service Bus, "Messages, payloads, and serialization": message and session ids
MIN_TTL = timedelta(milliseconds=1)


def wire_of(message: Message) -> ServiceBusMessage:
    """Return a message as the SDK sends it."""
    wanted = message.deduplication_id or str(message.message_id)
    own_id = wanted if len(wanted) <= MAX_ID else hashlib.sha256(wanted.encode()).hexdigest()
    properties: dict[str | bytes, str] = {**message.attributes}
    if own_id != message.message_id:
        properties[MESSAGE_ID] = str(message.message_id)
    ttl = message.time_to_live
    return ServiceBusMessage(
        message.body,
        message_id=own_id,
        session_id=None if message.session_id is None else str(message.session_id),
        correlation_id=message.correlation_id,
        content_type=message.content_type,
        application_properties=properties or None,  # pyright: ignore[reportArgumentType] - strings all
        time_to_live=None if ttl is None else max(ttl, MIN_TTL),
    )


def message_of(queue: QueueName, raw: ServiceBusReceivedMessage) -> Message:
    """Return what the service handed over; whatever somebody else sent is delivered.

    Raises:
        SerializationError: an id or a name in it is none that a message may have.
    """
    properties = _properties(raw)
    ttl = raw.time_to_live
    try:
        return Message(
            _body(raw),
            message_id=properties.get(MESSAGE_ID) or _text(raw.message_id) or str(raw.sequence_number),
            session_id=_session(raw),
            correlation_id=_text(raw.correlation_id) or None,
            content_type=_text(raw.content_type) or None,
            attributes={name: value for name, value in properties.items() if name and name not in OURS | SERVICES},
            time_to_live=ttl if ttl is not None and ttl > timedelta(0) else None,
        )
    except ValidationError as error:
        msg = f"message {raw.sequence_number} of queue {str(queue)!r} has a {error.field} that no message may have"
        raise SerializationError(msg) from None


def foreign_message_of(raw: ServiceBusReceivedMessage) -> Message:
    """Return body and session of a message whose ids are none that a message may have."""
    try:
        session_id = _session(raw)
    except ValidationError:
        session_id = None
    return Message(_body(raw), message_id=str(raw.sequence_number), session_id=session_id)


def _session(raw: ServiceBusReceivedMessage) -> str | None:
    session_id = _text(raw.session_id)
    return SessionId(session_id) if session_id else None


def _properties(raw: ServiceBusReceivedMessage) -> dict[str, str]:
    found = cast("Mapping[object, object]", raw.application_properties or {})
    return {_text(name): _text(value) for name, value in found.items()}


def _text(value: object) -> str:
    """Return a property of any type as text; bytes that are no text in base64."""
    match value:
        case None:
            return ""
        case str():
            return value
        case bytes():
            try:
                return value.decode()
            except UnicodeDecodeError:
                return base64.b64encode(value).decode()
        case bool():
            return "true" if value else "false"
        case datetime() | date():
            return value.isoformat()
        case _:
            return str(value)


def _body(raw: ServiceBusReceivedMessage) -> bytes:
    if raw.body_type is AmqpMessageBodyType.DATA:
        return b"".join(cast("Iterable[bytes]", raw.body))
    body: object = raw.body
    if raw.body_type is AmqpMessageBodyType.SEQUENCE:
        body = [item for part in cast("Iterable[Iterable[object]]", body) for item in part]
    if isinstance(body, bytes):
        return body
    if isinstance(body, str):
        return body.encode()
    return json.dumps(_plain(body), ensure_ascii=False).encode()


def _plain(value: object) -> object:
    """Return what JSON can carry of an AMQP value."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {_text(name): _plain(item) for name, item in cast("Mapping[object, object]", value).items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in cast("Iterable[object]", value)]
    if isinstance(value, UUID):
        return str(value)
    return _text(value)


def instant(moment: datetime | None) -> Timestamp | None:
    """Return an instant of the SDK as one of ours."""
    return None if moment is None else Timestamp.from_datetime(moment)


# --- dead letters ------------------------------------------------------------------------------------------------


def record_of(at: Timestamp, delivery_count: int | None, properties: Iterable[tuple[str, str]]) -> str:
    """Return what is added to a dead letter beside reason and description, as JSON that an operator reads."""
    pairs = [list(pair) for pair in properties]
    return json.dumps({"at_us": int(at), "delivery_count": delivery_count, "properties": pairs})


def dead_letter_of(raw: ServiceBusReceivedMessage, otherwise: Timestamp) -> DeadLetter:
    """Return why a message is among the dead letters. `otherwise`: when, if it was the service that moved it."""
    reason = _text(raw.dead_letter_reason) or "unknown"
    description = _text(raw.dead_letter_error_description)
    count = raw.delivery_count
    found = _properties(raw).get(DEAD_LETTER)
    try:
        parts: Mapping[str, object] = {} if found is None else json.loads(found)
        pairs = cast("list[list[object]]", parts.get("properties", []))
        properties = tuple((str(name), str(value)) for name, value in pairs)
        at = Timestamp(int(cast("int", parts.get("at_us", otherwise))))
        counted = parts.get("delivery_count", count)
    except (ValueError, TypeError, AttributeError):  # somebody else wrote it: the message counts all the same
        properties, at, counted = (), otherwise, count
    return DeadLetter(reason, description, at, counted if isinstance(counted, int) else None, properties)
