"""How a message looks to SQS, and how what SQS hands over looks to us.

SQS carries text of certain characters and ten attributes. What fits goes as it is, so that other consumers read it: its
ids travel as attributes beside the sender's own. What does not fit goes into an envelope, marked by an attribute. What
has none of these marks is somebody else's, and is delivered as it came.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import cast
from urllib.parse import unquote

from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.envelope import decode, encode
from queue_runtime.providers.errors import SerializationError, ValidationError
from queue_runtime.providers.message import MAX_SESSION_ID, DeadLetter, Message, QueueName, SendStamp
from queue_runtime.providers.sqs.stamps import parsed, text_of

__all__ = [
    "Wire",
    "dead_letter_of",
    "foreign_message_of",
    "group_id",
    "message_of",
    "session_of",
    "stamp_of",
    "system_attributes",
    "token",
    "wire_of",
]

ENVELOPE = "queue-runtime-envelope"
MESSAGE_ID = "queue-runtime-id"
SESSION_ID = "queue-runtime-session-id"
CORRELATION_ID = "queue-runtime-correlation-id"
CONTENT_TYPE = "queue-runtime-content-type"
TIME_TO_LIVE = "queue-runtime-ttl-us"
DEAD_LETTER = "queue-runtime-dead-letter"
STAMP = "queue-runtime-stamp"
TRACE_HEADER = "AWSTraceHeader"
OURS = frozenset({ENVELOPE, MESSAGE_ID, SESSION_ID, CORRELATION_ID, CONTENT_TYPE, TIME_TO_LIVE, DEAD_LETTER, STAMP})

# Source: SQS API reference, SendMessage and "Amazon SQS message attributes", read November 2026.
MAX_ATTRIBUTES = 10
MAX_NAME = 256
_CONTROLS = bytes(set(range(0x20)) - set(b"\t\n\r"))
_NO_CHARACTERS = ("\ufffe", "\uffff")  # of what a body that is UTF-8 can hold
_NOT_SENDABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NAME = re.compile(r"(?!\.)(?!.*\.\.)(?!(?i:aws\.|amazon\.))[A-Za-z0-9_.-]+(?<!\.)")
_TOKEN = re.compile(r"[!-~]{1,128}")
_TRACE = re.compile(r"[ -~]{1,256}")
_ESCAPE = re.compile(r"%(?:20|25)")


@dataclass(frozen=True, slots=True)
class Wire:
    """What is sent: the parts of a batch entry that a message decides, and their size as SQS counts it."""

    body: str
    attributes: Mapping[str, str]
    trace_header: str | None
    size_bytes: int

    def entry(self) -> dict[str, object]:
        """Return the entry of a send, without its number and what the queue decides."""
        entry: dict[str, object] = {"MessageBody": self.body}
        if self.attributes:
            entry["MessageAttributes"] = {name: _string(value) for name, value in self.attributes.items()}
        if self.trace_header is not None:
            entry["MessageSystemAttributes"] = {TRACE_HEADER: _string(self.trace_header)}
        return entry


def _string(value: str) -> dict[str, str]:
    return {"DataType": "String", "StringValue": value}


def wire_of(
    message: Message, dead_letter: DeadLetter | None = None, stamp: SendStamp | None = None, *, is_fifo: bool
) -> Wire:
    """Return how `message` goes over the wire: as it is if SQS can carry all of it, else in an envelope.

    On a FIFO queue the message group carries the session.
    """
    extra = {} if dead_letter is None else {DEAD_LETTER: _record(dead_letter)}
    if stamp is not None:
        extra[STAMP] = text_of(stamp)
    trace = message.attributes.get(TRACE_HEADER)
    if trace is not None and _TRACE.fullmatch(trace) is None:
        trace = None
    own = dict(message.attributes)
    if trace is not None:
        del own[TRACE_HEADER]
    text = _plain_text(message.body)
    attributes = {**own, **_ids(message), **extra}
    if is_fifo:
        attributes.pop(SESSION_ID, None)
    is_whole = len(attributes) <= MAX_ATTRIBUTES and not own.keys() & OURS
    if text is not None and is_whole and all(_can_carry(*item) for item in attributes.items()):
        return Wire(text, attributes, trace, len(message.body) + _size(attributes))
    envelope, marks = encode(message), {ENVELOPE: "1", **extra}
    return Wire(envelope, marks, None, len(envelope) + _size(marks))  # base64: a byte a character


def _size(attributes: Mapping[str, str]) -> int:
    return sum(len(name.encode()) + len("String") + len(value.encode()) for name, value in attributes.items())


def _ids(message: Message) -> dict[str, str]:
    ttl = message.time_to_live
    ids = {MESSAGE_ID: str(message.message_id)}
    if message.session_id is not None:
        ids[SESSION_ID] = str(message.session_id)
    if message.correlation_id is not None:
        ids[CORRELATION_ID] = message.correlation_id
    if message.content_type is not None:
        ids[CONTENT_TYPE] = message.content_type
    if ttl is not None:
        ids[TIME_TO_LIVE] = str(ttl // timedelta(microseconds=1))
    return ids


def _plain_text(body: bytes) -> str | None:
    """Return a body as text, if SQS carries it unchanged."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    # As `_NOT_SENDABLE`, in 9 us instead of 45 for a webhook.
    is_carried = len(body.translate(None, _CONTROLS)) == len(body) and not any(map(text.__contains__, _NO_CHARACTERS))
    return text if text and is_carried else None


def _can_carry(name: str, value: str) -> bool:
    is_name = len(name) <= MAX_NAME and _NAME.fullmatch(name) is not None
    return is_name and value != "" and _is_sendable(value)


def _is_sendable(value: str) -> bool:
    return _NOT_SENDABLE.search(value) is None


# --- groups and tokens -------------------------------------------------------------------------------------------


def group_id(session_id: str) -> str | None:
    """Return the message group of a session: a group takes no space. None if that makes it too long.

    Source: SQS API reference, SendMessage, MessageGroupId: alphanumeric characters and punctuation, at most 128.
    """
    group = session_id.replace("%", "%25").replace(" ", "%20")
    return group if len(group) <= MAX_SESSION_ID else None


def session_of(group: str) -> str:
    """Return the session of a group: what `group_id` encoded, and other people's groups as they are."""
    return _ESCAPE.sub(lambda found: unquote(found[0]), group)


def token(value: str) -> str:
    """Return a deduplication id: `value` if SQS takes it, else a digest of it."""
    return value if _TOKEN.fullmatch(value) else hashlib.sha256(value.encode()).hexdigest()


# --- what comes --------------------------------------------------------------------------------------------------


def message_of(queue: QueueName, raw: Mapping[str, object], *, is_fifo: bool) -> Message:
    """Return the message that SQS handed over.

    Raises:
        SerializationError: it is marked as an envelope, and is none; or an id of ours is none.
    """
    attributes = _attributes(raw)
    body = str(raw.get("Body", ""))
    if ENVELOPE in attributes:
        return decode(body)
    system = system_attributes(raw)
    if (trace := system.get(TRACE_HEADER)) is not None:
        attributes[TRACE_HEADER] = trace
    own = {name: value for name, value in attributes.items() if name not in OURS}
    group = system.get("MessageGroupId")
    session_id = attributes.get(SESSION_ID)
    if session_id is None and is_fifo and group is not None:
        session_id = session_of(group)
    ttl = attributes.get(TIME_TO_LIVE)
    try:
        return Message(
            body.encode(),
            message_id=attributes.get(MESSAGE_ID) or str(raw["MessageId"]),
            session_id=session_id,
            correlation_id=attributes.get(CORRELATION_ID),
            content_type=attributes.get(CONTENT_TYPE),
            attributes=own,
            time_to_live=None if ttl is None else timedelta(microseconds=int(ttl)),
        )
    except (ValueError, OverflowError) as error:
        field = error.field if isinstance(error, ValidationError) else "time_to_live"
        msg = f"attributes of a message of queue {str(queue)!r} have a {field} that no message may have"
        raise SerializationError(msg) from None


def foreign_message_of(raw: Mapping[str, object], *, is_fifo: bool) -> Message:
    """Return what SQS handed over as if nothing in it were ours: the body as it came, and others' attributes."""
    group = system_attributes(raw).get("MessageGroupId")
    return Message(
        str(raw.get("Body", "")).encode(),
        message_id=str(raw["MessageId"]),
        session_id=session_of(group) if is_fifo and group is not None else None,
        attributes={name: value for name, value in _attributes(raw).items() if name not in OURS},
    )


def stamp_of(raw: Mapping[str, object]) -> SendStamp | None:
    """Return where a message stands in what its sender sent of its session, if its sender said."""
    return parsed(_message_attributes(raw).get(STAMP, {}).get("StringValue"))


def system_attributes(raw: Mapping[str, object]) -> Mapping[str, str]:
    """Return what the service says about a message."""
    return cast("Mapping[str, str]", raw.get("Attributes") or {})


def _attributes(raw: Mapping[str, object]) -> dict[str, str]:
    """Return the message's attributes as texts; binary ones, which only others send, in base64 as they come."""
    return {
        name: value.get("StringValue") or value.get("BinaryValue", "")
        for name, value in _message_attributes(raw).items()
    }


def _message_attributes(raw: Mapping[str, object]) -> Mapping[str, Mapping[str, str]]:
    return cast("Mapping[str, Mapping[str, str]]", raw.get("MessageAttributes") or {})


# --- dead letters ------------------------------------------------------------------------------------------------

MAX_RECORD = 32_000  # characters; beside it there has to be room for the message


def _record(dead: DeadLetter) -> str:
    """Return why a message was dead-lettered as JSON, which an operator reads in the console."""
    parts: dict[str, object] = {
        "reason": dead.reason,
        "description": dead.description,
        "at_us": int(dead.at),
        "delivery_count": dead.delivery_count,
        "properties": [list(pair) for pair in dead.properties],
    }
    text = json.dumps(parts)
    if len(text) > MAX_RECORD:
        parts["description"] = dead.description[: MAX_RECORD // 8]
        parts["properties"] = []
        text = json.dumps(parts)
    return text


def dead_letter_of(raw: Mapping[str, object], otherwise: str) -> DeadLetter:
    """Return why a message is among the dead letters; `otherwise`: the reason if it was the service that moved it."""
    sent_at = Timestamp(int(system_attributes(raw).get("SentTimestamp", "0")) * 1_000)
    found = _attributes(raw).get(DEAD_LETTER)
    try:
        parts: Mapping[str, object] = {} if found is None else json.loads(found)
        count = parts.get("delivery_count")
        pairs = cast("list[list[object]]", parts.get("properties", []))
        return DeadLetter(
            reason=str(parts.get("reason", otherwise)),
            description=str(parts.get("description", "")),
            at=Timestamp(int(cast("int", parts.get("at_us", sent_at)))),
            delivery_count=count if isinstance(count, int) else None,
            properties=tuple((str(name), str(value)) for name, value in pairs),
        )
    except (ValueError, TypeError, AttributeError):  # somebody else wrote it: the message counts all the same
        return DeadLetter(otherwise, "", sent_at)
