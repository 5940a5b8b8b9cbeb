"""Request and response over a pair of links: `$cbs` and `$management` are asked so.

Source: OASIS amqp-man-v1.0 draft; Service Bus, "AMQP 1.0 in Azure Service Bus: request-response-based operations".
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from queue_runtime.tools.servicebus_emulator.amqp.codec import decoded, items
from queue_runtime.tools.servicebus_emulator.amqp.codec import pairs as map_pairs
from queue_runtime.tools.servicebus_emulator.amqp.encode import (
    FALSE,
    NULL,
    described,
    int32,
    list_of,
    map_of,
    string,
    symbol,
    uint,
)
from queue_runtime.tools.servicebus_emulator.amqp.frames import ACCEPTED
from queue_runtime.tools.servicebus_emulator.amqp.sections import APPLICATION, PROPERTIES, VALUE, sections
from queue_runtime.tools.servicebus_emulator.channel import Incoming, SessionChannel

__all__ = ["Answer", "Replies", "Request", "Requests", "read_request"]

CREDIT = 100
U32 = 0xFFFF_FFFF
MESSAGE_ID, REPLY_TO = 0, 4


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked.

    Args:
        message_id: encoded; the answer's correlation id.
        reply_to: where the answer goes; empty for the link of the same address.
        properties: application properties, decoded.
        value: the encoded body.
    """

    message_id: bytes
    reply_to: str
    properties: Mapping[str, object]
    value: bytes

    def text(self, name: str) -> str:
        """Return an application property as a text, an empty one if it is missing."""
        value = self.properties.get(name)
        return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")

    def arguments(self) -> dict[str, bytes]:
        """Return the encoded entries of a body that is a map.

        Raises:
            CodecError: it is none.
        """
        return {str(decoded(key)): value for key, value in map_pairs(self.value).items()}


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered.

    Args:
        status: as HTTP has them.
        description: of the status.
        condition: of the error, if it is one.
        body: encoded entries of the body.
    """

    status: int = 200
    description: str = "OK"
    condition: str = ""
    body: Mapping[bytes, bytes] | None = None


def read_request(payload: bytes) -> Request:
    """Return the request that a message holds.

    Raises:
        CodecError: it is no message.
    """
    fields: list[bytes] = []
    properties: dict[str, object] = {}
    value = NULL
    for code, _, start, end in sections(payload):
        if code == PROPERTIES:
            fields = items(payload, start)
        elif code == APPLICATION:
            properties = {str(decoded(name)): decoded(one) for name, one in map_pairs(payload, start).items()}
        elif code == VALUE:
            value = payload[start:end]
    fields += [NULL] * (REPLY_TO + 1 - len(fields))
    return Request(fields[MESSAGE_ID], str(decoded(fields[REPLY_TO]) or ""), properties, value)


def _response(request: Request, answer: Answer, *, is_cbs: bool) -> bytes:
    """Encode an answer. `$cbs` has other names for the status than `$management`."""
    names = ("status-code", "status-description") if is_cbs else ("statusCode", "statusDescription")
    properties = {string(names[0]): int32(answer.status), string(names[1]): string(answer.description)}
    if answer.condition:
        properties[string("errorCondition")] = symbol(answer.condition)
    return b"".join(
        (
            described(PROPERTIES, list_of((*(NULL,) * 5, request.message_id))),
            described(APPLICATION, map_of(properties)),
            described(VALUE, map_of(answer.body or {})),
        )
    )


class Replies:
    """A link on which answers go out.

    Args:
        channel: carries it.
        handle: its number.
        path: of what is asked, for its claims.
    """

    def __init__(self, channel: SessionChannel, handle: int, path: str) -> None:
        self.path = path
        self._channel = channel
        self._handle = handle
        self._tags = itertools.count()
        self._waiting: deque[bytes] = deque()
        self._count = 0
        self._credit = 0

    def reply(self, payload: bytes) -> None:
        """Send an answer, as soon as there is credit for it."""
        self._waiting.append(payload)
        self._send()

    def _send(self) -> None:
        while self._waiting and self._credit > 0:
            self._credit -= 1
            self._count = (self._count + 1) & U32
            tag = next(self._tags).to_bytes(8, "big")
            self._channel.deliver(self, self._handle, tag, self._waiting.popleft(), settled=True)

    def on_flow(self, count: int | None, credit: int, *, is_drain: bool) -> None:
        """Take credit."""
        self._credit = ((count or 0) + credit - self._count) & U32
        self._send()
        if is_drain:
            self._count = (self._count + self._credit) & U32
            self._credit = 0
            self._channel.flow(uint(self._handle), uint(self._count), uint(0), uint(0), b"\x41")

    def on_transfer(self, incoming: Incoming) -> None:
        """Nothing comes in here."""

    def on_outcome(self, tag: bytes, state: bytes) -> bytes | None:
        """Answers are sent settled."""

    def on_closed(self) -> None:
        """Nothing is held."""


class Requests:
    """A link on which requests come in.

    Args:
        channel: carries it.
        handle: its number.
        path: of what is asked, for its claims.
        perform: answers a request.
    """

    def __init__(
        self,
        channel: SessionChannel,
        handle: int,
        path: str,
        perform: Callable[[Request], Answer],
        replies: Callable[[str], Replies | None],
    ) -> None:
        self.path = path
        self._channel = channel
        self._handle = handle
        self._perform = perform
        self._replies = replies
        self._count = 0

    def open(self) -> None:
        """Let the client ask."""
        self._channel.flow(uint(self._handle), uint(self._count), uint(CREDIT), uint(0), FALSE)

    def on_transfer(self, incoming: Incoming) -> None:
        """Answer a request, on the link that it says."""
        self._count = (self._count + 1) & U32
        if not incoming.is_settled:
            self._channel.settle(incoming.delivery_id, ACCEPTED, from_receiver=True)
        request = read_request(incoming.payload)
        answer = self._perform(request)
        replies = self._replies(request.reply_to)
        if replies is not None:
            replies.reply(_response(request, answer, is_cbs=self.path == "$cbs"))
        self.open()

    def on_flow(self, count: int | None, credit: int, *, is_drain: bool) -> None:
        """Nothing follows: a sender's flow tells what it has."""

    def on_outcome(self, tag: bytes, state: bytes) -> bytes | None:
        """Nothing was delivered."""

    def on_closed(self) -> None:
        """Nothing is held."""
