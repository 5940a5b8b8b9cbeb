"""What travels: the message that is sent, and the delivery that one hand-over of it is.

Everything is validated where it is constructed, so nothing invalid reaches a broker. The typed ids are strings: they
compare, hash and print as the raw value.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Self, TypedDict, Unpack, cast
from uuid import uuid4

from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.errors import InvalidFormat, OutOfRange, RequiredField

__all__ = [
    "DeadLetter",
    "Delivery",
    "Message",
    "MessageFields",
    "MessageId",
    "QueueName",
    "Receipt",
    "SendStamp",
    "SessionId",
]

MAX_QUEUE_NAME = 260  # Azure Service Bus' limit, the longest of the brokers'
MAX_SESSION_ID = 128  # the limit of both Service Bus' session id and SQS' message group id

_QUEUE_NAME = re.compile(r"(?!-)(?!.*--)[A-Za-z0-9_-]+(?<!-)(\.fifo)?")
_PRINTABLE_ASCII = re.compile(r"[ -~]+")


def _shown(value: str) -> str:
    """Return `value` for an error text: quoted, and cut if it is long."""
    longest = 60
    return repr(value) if len(value) <= longest else f"{value[:longest]!r}... ({len(value)} characters)"


class QueueName(str):
    """The name of a queue: 1 to 260 letters, digits, hyphens and underscores, with an optional `.fifo` at the end.

    No hyphen stands at an edge or beside another. A provider may be stricter.

    Raises:
        OutOfRange: too short or too long.
        InvalidFormat: any other rule is broken.
    """

    __slots__ = ()

    def __new__(cls, value: str) -> Self:
        """Validate `value`; a `QueueName` is taken as it is."""
        if type(value) is cls:
            return value
        if not 1 <= len(value) <= MAX_QUEUE_NAME:
            problem = f"{_shown(value)} has {len(value)} characters: use 1 to {MAX_QUEUE_NAME}"
            raise OutOfRange(field="queue_name", problem=problem)
        if _QUEUE_NAME.fullmatch(value) is None:
            rule = (
                "use letters, digits, underscores and single hyphens, none at an edge, and at most one .fifo at the end"
            )
            raise InvalidFormat(field="queue_name", problem=f"{_shown(value)} is not allowed: {rule}")
        return super().__new__(cls, value)

    @classmethod
    def with_prefix(cls, prefix: str, base: str) -> Self:
        """Join `prefix` and `base` with one hyphen.

        Raises:
            ValidationError: the joined name breaks a rule.
        """
        return cls(f"{prefix}-{base}")


class MessageId(str):
    """A sender's id of a message: any string that is not empty.

    Raises:
        RequiredField: it is empty.
    """

    __slots__ = ()

    def __new__(cls, value: str) -> Self:
        """Validate `value`; a `MessageId` is taken as it is."""
        if type(value) is cls:
            return value
        if not value:
            raise RequiredField(field="message_id")
        return super().__new__(cls, value)

    @classmethod
    def random(cls) -> Self:
        """Make an id that nobody else makes (UUID 4)."""
        return super().__new__(cls, uuid4())


class SessionId(str):
    """The ordered group that a message belongs to: 1 to 128 printable ASCII characters.

    Raises:
        RequiredField: it is empty.
        OutOfRange: it is too long.
        InvalidFormat: it holds a character outside printable ASCII.
    """

    __slots__ = ()

    def __new__(cls, value: str) -> Self:
        """Validate `value`; a `SessionId` is taken as it is."""
        if type(value) is cls:
            return value
        if not value:
            raise RequiredField(field="session_id")
        if len(value) > MAX_SESSION_ID:
            raise OutOfRange(
                field="session_id", problem=f"{_shown(value)} is too long: use at most {MAX_SESSION_ID} characters"
            )
        if _PRINTABLE_ASCII.fullmatch(value) is None:
            raise InvalidFormat(field="session_id", problem=f"{_shown(value)} is not allowed: use printable ASCII only")
        return super().__new__(cls, value)

    @classmethod
    def from_parts(cls, owner: str, repository: str, entity_type: str, entity_id: str) -> Self:
        """Join to `owner/repository/entity_type/entity_id`, so that different parts never give the same id.

        A slash or percent sign in any part but the last is percent-encoded.

        Raises:
            ValidationError: a part is empty, or the joined id breaks a rule.
        """
        if not (owner and repository and entity_type and entity_id):
            raise RequiredField(
                field="session_id", problem="needs owner, repository, entity_type and entity_id, none of them empty"
            )
        front = (part.replace("%", "%25").replace("/", "%2F") for part in (owner, repository, entity_type))
        return cls("/".join((*front, entity_id)))


class MessageFields(TypedDict, total=False):
    """What a message may bring beside its body, as its sender writes it: see `Message`."""

    message_id: str | None
    session_id: str | None
    correlation_id: str | None
    content_type: str | None
    attributes: Mapping[str, str] | None
    time_to_live: timedelta | None
    deduplication_id: str | None


@dataclass(frozen=True, slots=True, init=False)
class Message:
    """A message to send. Bare strings are accepted for the typed fields and validated here.

    `body` is opaque and arrives byte for byte. `message_id` is the idempotency key: a random one unless given.
    `attributes` travel beside the body, readable without it. `time_to_live`: dead-lettered or dropped, as the queue
    says, if not delivered within it; above zero. `deduplication_id`: where the broker deduplicates, sends under one id
    within its window are one message; the message id stands in for it.

    Raises:
        ValidationError: a value breaks a rule. The caller's fault.
    """

    body: bytes = field(repr=False)
    message_id: MessageId
    session_id: SessionId | None
    correlation_id: str | None
    content_type: str | None
    attributes: Mapping[str, str] = field(hash=False)
    time_to_live: timedelta | None
    deduplication_id: str | None

    def __init__(self, body: bytes, **fields: Unpack[MessageFields]) -> None:
        if unknown := fields.keys() - MessageFields.__annotations__.keys():
            msg = f"a message has no {', '.join(sorted(unknown))}"
            raise TypeError(msg)
        if type(body) is not bytes:
            raise InvalidFormat(field="body", problem=f"must be bytes, not {type(body).__name__}: encode it first")
        message_id, session_id = fields.get("message_id"), fields.get("session_id")
        attributes, time_to_live = fields.get("attributes"), fields.get("time_to_live")
        if time_to_live is not None and time_to_live <= timedelta(0):
            problem = f"of {time_to_live.total_seconds():g} s is not above zero"
            raise OutOfRange(field="time_to_live", problem=problem)
        if fields.get("deduplication_id") == "":
            raise RequiredField(field="deduplication_id")
        put = object.__setattr__
        put(self, "body", body)
        put(self, "message_id", MessageId.random() if message_id is None else MessageId(message_id))
        put(self, "session_id", None if session_id is None else SessionId(session_id))
        put(self, "correlation_id", fields.get("correlation_id"))
        put(self, "content_type", fields.get("content_type"))
        put(self, "attributes", _checked(attributes) if attributes else {})
        put(self, "time_to_live", time_to_live)
        put(self, "deduplication_id", fields.get("deduplication_id"))

    @property
    def size_bytes(self) -> int:
        """Body, attribute names and attribute values, in bytes: what size limits count."""
        attributes = sum(len(name.encode()) + len(value.encode()) for name, value in self.attributes.items())
        return len(self.body) + attributes


def _checked(attributes: Mapping[str, str]) -> dict[str, str]:
    """Copy `attributes`, so that a later change of the caller's mapping changes no message."""
    copied: dict[str, str] = {}
    for name, value in cast("Mapping[object, object]", attributes).items():
        if not (isinstance(name, str) and isinstance(value, str)):
            raise InvalidFormat(field="attributes", problem=f"must map strings to strings: look at {_shown(str(name))}")
        if not name:
            raise RequiredField(field="attributes", problem="must not hold an empty name")
        copied[str(name)] = str(value)  # plain strings: a typed id among them would not encode
    return copied


@dataclass(frozen=True, slots=True)
class Receipt:
    """The token that settles one hand-over. Only providers make one; it is a secret, and dies with its lock."""

    handle: str = field(repr=False)
    provider_id: str
    expires_at: Timestamp
    provider: str

    @property
    def digest(self) -> str:
        """A short name for logs and errors; it settles nothing."""
        return hashlib.sha256(self.handle.encode()).hexdigest()[:12]

    def is_expired(self, now: Timestamp) -> bool:
        """Say whether the lock that this receipt was made with has ended; renewals since then are not known here."""
        return now >= self.expires_at

    def time_left_s(self, now: Timestamp) -> float:
        """Return the seconds until `expires_at`; never below zero."""
        return max(0, self.expires_at - now) / 1_000_000


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Why a message is among the dead letters. `delivery_count`: how often the queue had delivered it, if known."""

    reason: str
    description: str
    at: Timestamp
    delivery_count: int | None = None
    properties: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class SendStamp:
    """The place of a message in what one sender sent of one session, on brokers that keep no order.

    `number` counts from 1 in each `epoch`, which grows whenever the sender begins to count anew; `at` is the instant of
    the send, in microseconds, and grows with every message.
    """

    sender: str
    epoch: int
    number: int
    at: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """One hand-over of a message by a broker.

    `delivery_count` is the broker's own, from 1. `sequence` is the broker's order, where it has one. `expires_at` is
    the end of the message's time to live. `dead_letter` is there on deliveries from the dead letters only. `stamp`:
    where `Capabilities.sender_order` is True. `foreign_deliveries`: how many of the earlier ones seem to have gone
    to somebody else, where that can be seen. `sealed`: the message as it travelled, where its body came encrypted and
    `message` holds it opened; whatever goes back to a broker is made of that.
    """

    queue: QueueName
    message: Message
    receipt: Receipt
    delivery_count: int
    sequence: int | None
    enqueued_at: Timestamp | None
    expires_at: Timestamp | None
    first_delivered_at: Timestamp
    delivered_at: Timestamp
    dead_letter: DeadLetter | None = None
    stamp: SendStamp | None = None
    foreign_deliveries: int = 0
    sealed: Message | None = None

    @property
    def as_sent(self) -> Message:
        """The message as it travelled: with its body encrypted, if it came so."""
        return self.message if self.sealed is None else self.sealed

    def exceeds(self, max_deliveries: int) -> bool:
        """Say whether the broker has delivered this more often than `max_deliveries`."""
        return self.delivery_count > max_deliveries
