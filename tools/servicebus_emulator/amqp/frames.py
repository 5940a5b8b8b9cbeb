"""Frames and performatives (OASIS amqp-core-transport-v1.0, amqp-core-security-v1.0): cut from bytes, made to bytes."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from queue_runtime.tools.servicebus_emulator.amqp.codec import CodecError, end_of, items
from queue_runtime.tools.servicebus_emulator.amqp.encode import (
    FALSE,
    NULL,
    TRUE,
    boolean,
    described,
    list_of,
    map_of,
    string,
    symbol,
    uint,
)

__all__ = [
    "ACCEPTED",
    "ATTACH",
    "BEGIN",
    "CLOSE",
    "DETACH",
    "DISPOSITION",
    "EMPTY_FRAME",
    "END",
    "FLOW",
    "OPEN",
    "SASL_INIT",
    "SASL_MECHANISMS",
    "SASL_OUTCOME",
    "TRANSFER",
    "disposition",
    "error",
    "frame",
    "performative",
    "rejected",
    "sasl_frame",
    "transfer",
]

OPEN, BEGIN, ATTACH, FLOW, TRANSFER, DISPOSITION, DETACH, END, CLOSE = range(0x10, 0x19)
SASL_MECHANISMS, SASL_INIT, SASL_OUTCOME = 0x40, 0x41, 0x44
ACCEPTED = described(0x24, list_of([]))
EMPTY_FRAME = b"\x00\x00\x00\x08\x02\x00\x00\x00"

_HEAD = struct.Struct(">IBBH")


def frame(channel: int, code: int, fields: Sequence[bytes], payload: bytes = b"") -> bytes:
    """Encode a frame of a performative."""
    body = described(code, list_of(fields))
    return _HEAD.pack(8 + len(body) + len(payload), 2, 0, channel) + body + payload


def sasl_frame(code: int, fields: Sequence[bytes]) -> bytes:
    """Encode a frame of the security layer."""
    body = described(code, list_of(fields))
    return _HEAD.pack(8 + len(body), 2, 1, 0) + body


def performative(body: bytes, width: int) -> tuple[int, list[bytes], bytes]:
    """Return a frame's performative, its encoded fields filled up with nulls to `width`, and the payload behind them.

    Raises:
        CodecError: there is none.
    """
    if body[:2] == b"\x00\x53":
        code, at = body[2], 3
    elif body[:2] == b"\x00\x80":
        code, at = int.from_bytes(body[2:10], "big"), 10
    else:
        msg = "a frame holds no performative"
        raise CodecError(msg)
    fields = items(body, at)
    if len(fields) < width:
        fields += [NULL] * (width - len(fields))
    return code, fields, body[end_of(body, at) :]


def transfer(channel: int, head: bytes, *, more: bool, payload: bytes) -> bytes:
    """Encode a transfer, of which `head` is the encoded handle, delivery id, tag, format and settled flag.

    A transfer is sent for each message: this is `frame` by hand, for a list that is always short.
    """
    size = len(head) + 1
    return b"".join(
        (
            _HEAD.pack(8 + 6 + size + len(payload), 2, 0, channel),
            bytes((0x00, 0x53, TRANSFER, 0xC0, size + 1, 6)),
            head,
            TRUE if more else FALSE,
            payload,
        )
    )


def disposition(channel: int, *, from_receiver: bool, first: int, last: int, state: bytes) -> bytes:
    """Encode a disposition that settles."""
    return frame(channel, DISPOSITION, [boolean(from_receiver), uint(first), uint(last), TRUE, state])


def error(condition: str, description: str) -> bytes:
    """Encode an error with all three of its fields: without the third, azure-servicebus sends on for ever."""
    return described(0x1D, list_of([symbol(condition), string(description), map_of({})]))


def rejected(condition: str, description: str) -> bytes:
    """Encode the outcome of a delivery that failed."""
    return described(0x25, list_of([error(condition, description)]))
