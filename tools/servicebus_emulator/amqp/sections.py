"""Messages as bytes: cut into sections when they come, put together when they go; a body is never decoded.

Sources: OASIS amqp-core-messaging-v1.0, section 3.2; Service Bus, "AMQP 1.0 in Azure Service Bus protocol guide".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from uuid import uuid4

from queue_runtime.tools.servicebus_emulator.amqp.codec import CodecError, decoded, end_of, items, pairs
from queue_runtime.tools.servicebus_emulator.amqp.encode import (
    NULL,
    described,
    int32,
    list_of,
    long,
    map_of,
    string,
    symbol,
    timestamp,
    uint,
    uuid,
)
from queue_runtime.tools.servicebus_emulator.broker.message import Content, Stored

__all__ = ["APPLICATION", "BATCH_FORMAT", "PROPERTIES", "VALUE", "contents_of", "message", "parse", "sections"]

BATCH_FORMAT = 0x80013700
"""The message format of a batch: data sections that each hold a message."""
HEADER, DELIVERY_ANNOTATIONS, ANNOTATIONS, PROPERTIES, APPLICATION, DATA, _, VALUE = range(0x70, 0x78)
MESSAGE_ID, SESSION_ID = 0, 10

_SCHEDULED = symbol("x-opt-scheduled-enqueue-time")
_LOCK_TOKEN = symbol("x-opt-lock-token")
_SEQUENCE = symbol("x-opt-sequence-number")
_FIRST_SEQUENCE = symbol("x-opt-enqueue-sequence-number")
_ENQUEUED = symbol("x-opt-enqueued-time")
_LOCKED_UNTIL = symbol("x-opt-locked-until")
_STATE = symbol("x-opt-message-state")
_OURS = frozenset({_SEQUENCE, _FIRST_SEQUENCE, _ENQUEUED, _LOCKED_UNTIL, _STATE, _LOCK_TOKEN})
_DEAD_LETTER = (string("DeadLetterReason"), string("DeadLetterErrorDescription"))
_LOCK_TOKEN_HEAD = described(DELIVERY_ANNOTATIONS, b"")
_FALSE = b"\x42"


def sections(payload: bytes) -> Iterable[tuple[int, int, int, int]]:
    """Yield code, start, start of the value, and end of each section.

    Raises:
        CodecError: these are none.
    """
    at = 0
    while at < len(payload):
        head = payload[at : at + 2]
        if head == b"\x00\x53" and at + 2 < len(payload):
            code, value = payload[at + 2], at + 3
        elif head == b"\x00\x80":
            code, value = int.from_bytes(payload[at + 2 : at + 10], "big"), at + 10
        else:
            msg = "a message has a section without a descriptor"
            raise CodecError(msg)
        end = end_of(payload, value)
        yield code, at, value, end
        at = end


def parse(payload: bytes) -> Content:
    """Cut a message; one without an id is given one, on which JavaScript's client relies.

    Raises:
        CodecError: it is none.
    """
    header: list[bytes] = []
    annotations: dict[bytes, bytes] = {}
    application: dict[bytes, bytes] = {}
    fields: list[bytes] = []
    body = len(payload)
    for code, start, value, _ in sections(payload):
        if code == HEADER:
            header = items(payload, value)
        elif code == ANNOTATIONS:
            annotations = pairs(payload, value)
        elif code == PROPERTIES:
            fields = items(payload, value)
        elif code == APPLICATION:
            application = pairs(payload, value)
        elif code >= DATA:
            body = start
            break
    if not fields or fields[MESSAGE_ID] == NULL:
        fields = [string(uuid4().hex), *fields[1:]]
    due = decoded(annotations[_SCHEDULED]) if _SCHEDULED in annotations else None
    session = decoded(fields[SESSION_ID]) if len(fields) > SESSION_ID else None
    ttl = decoded(header[2]) if len(header) > 2 else None
    message_id = decoded(fields[MESSAGE_ID])
    return Content(
        header=tuple(header),
        annotations={key: value for key, value in annotations.items() if key not in _OURS},
        properties=described(PROPERTIES, list_of(fields)),
        application=application,
        body=payload[body:],
        message_id=message_id if isinstance(message_id, str | bytes | int) else None,
        session_id=session if isinstance(session, str) else None,
        ttl_us=ttl * 1_000 if isinstance(ttl, int) else None,
        due_at=due * 1_000 if isinstance(due, int) else None,
        size=len(payload),
    )


def contents_of(payload: bytes, message_format: int) -> list[Content]:
    """Return the message, or the messages of a batch.

    Raises:
        CodecError: it is neither.
    """
    if message_format != BATCH_FORMAT:
        return [parse(payload)]
    found: list[Content] = []
    for code, _, value, _ in sections(payload):
        if code == DATA:
            found.append(parse(_binary(payload, value)))
    return found


def _binary(payload: bytes, at: int) -> bytes:
    end = end_of(payload, at)
    if payload[at] not in {0xA0, 0xB0}:
        msg = "a batch has a data section that holds no bytes"
        raise CodecError(msg)
    return payload[at + (2 if payload[at] == 0xA0 else 5) : end]


def message(stored: Stored, *, is_peeked: bool = False) -> bytes:
    """Return a message as a receiver gets it: with its lock token, if it has one, unless it is only looked at."""
    content = stored.content
    header = content.header
    durable, priority, ttl = (header[index] if len(header) > index else NULL for index in range(3))
    annotations = dict(content.annotations)
    annotations[_SEQUENCE] = long(stored.sequence)
    annotations[_ENQUEUED] = timestamp(stored.enqueued_at // 1_000)
    annotations[_STATE] = int32(stored.state)
    if stored.first_sequence is not None:
        annotations[_FIRST_SEQUENCE] = long(stored.first_sequence)
    parts = [described(HEADER, list_of((durable, priority, ttl, _FALSE, uint(stored.delivery_count))))]
    if stored.token is not None and not is_peeked:
        annotations[_LOCKED_UNTIL] = timestamp(stored.locked_until // 1_000)
        parts += (_LOCK_TOKEN_HEAD, map_of({_LOCK_TOKEN: uuid(stored.token)}))
    parts += (described(ANNOTATIONS, map_of(annotations)), content.properties)
    application: Mapping[bytes, bytes] = content.application
    if stored.changes:
        application = {**application, **stored.changes}
    if stored.dead_letter is not None:
        stated = {name: string(text) for name, text in zip(_DEAD_LETTER, stored.dead_letter, strict=True) if text}
        application = {**application, **stated}
    if application:
        parts.append(described(APPLICATION, map_of(application)))
    parts.append(content.body)
    return b"".join(parts)
