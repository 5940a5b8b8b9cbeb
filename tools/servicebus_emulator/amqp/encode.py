"""AMQP 1.0 values (OASIS amqp-core-types-v1.0, part 1) to bytes.

One function a type, since Python's `int` is eight types on this wire.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping

__all__ = [
    "EMPTY_LIST",
    "FALSE",
    "NULL",
    "TRUE",
    "array",
    "binary",
    "boolean",
    "described",
    "int32",
    "list_of",
    "long",
    "long_item",
    "map_of",
    "string",
    "symbol",
    "timestamp",
    "timestamp_item",
    "ubyte",
    "uint",
    "ulong",
    "ushort",
    "uuid",
]

NULL = b"\x40"
TRUE = b"\x41"
FALSE = b"\x42"
EMPTY_LIST = b"\x45"

_U16 = struct.Struct(">H")
_U32 = struct.Struct(">I")
_U64 = struct.Struct(">Q")
_I32 = struct.Struct(">i")
_I64 = struct.Struct(">q")
_TWO_U32 = struct.Struct(">II")


def boolean(value: bool) -> bytes:  # noqa: FBT001 - it is the value
    """Encode a boolean."""
    return TRUE if value else FALSE


def ubyte(value: int) -> bytes:
    """Encode an unsigned byte."""
    return bytes((0x50, value))


def ushort(value: int) -> bytes:
    """Encode an unsigned 16-bit number."""
    return b"\x60" + _U16.pack(value)


def uint(value: int) -> bytes:
    """Encode an unsigned 32-bit number."""
    if value < 256:
        return bytes((0x52, value)) if value else b"\x43"
    return b"\x70" + _U32.pack(value)


def ulong(value: int) -> bytes:
    """Encode an unsigned 64-bit number."""
    if value < 256:
        return bytes((0x53, value)) if value else b"\x44"
    return b"\x80" + _U64.pack(value)


def int32(value: int) -> bytes:
    """Encode a signed 32-bit number."""
    return b"\x71" + _I32.pack(value)


def long(value: int) -> bytes:
    """Encode a signed 64-bit number."""
    return b"\x81" + _I64.pack(value)


def long_item(value: int) -> bytes:
    """Encode an element of an array of `long`."""
    return _I64.pack(value)


def timestamp(milliseconds: int) -> bytes:
    """Encode an instant, in milliseconds since the epoch."""
    return b"\x83" + _I64.pack(milliseconds)


timestamp_item = long_item


def uuid(value: bytes) -> bytes:
    """Encode a UUID of 16 bytes."""
    return b"\x98" + value


def _variable(value: bytes, short: int) -> bytes:
    size = len(value)
    return bytes((short, size)) + value if size < 256 else bytes((short | 0x10,)) + _U32.pack(size) + value


def binary(value: bytes) -> bytes:
    """Encode bytes."""
    return _variable(value, 0xA0)


def string(value: str) -> bytes:
    """Encode a text."""
    return _variable(value.encode(), 0xA1)


def symbol(value: str) -> bytes:
    """Encode a name of the protocol, in ASCII."""
    return _variable(value.encode("ascii"), 0xA3)


def _compound(parts: list[bytes], short: int) -> bytes:
    body = b"".join(parts)
    size, count = len(body), len(parts)
    if size < 255 and count < 256:
        return bytes((short, size + 1, count)) + body
    return bytes((short | 0x10,)) + _TWO_U32.pack(size + 4, count) + body


def list_of(parts: Iterable[bytes]) -> bytes:
    """Encode a list of encoded values."""
    given = list(parts)
    return _compound(given, 0xC0) if given else EMPTY_LIST


def map_of(entries: Mapping[bytes, bytes]) -> bytes:
    """Encode a map of encoded keys and values."""
    return _compound([part for entry in entries.items() for part in entry], 0xC1)


def array(constructor: int, elements: list[bytes]) -> bytes:
    """Encode an array of elements without their constructor, which all of them share."""
    body = b"".join(elements)
    return b"\xf0" + _TWO_U32.pack(len(body) + 5, len(elements)) + bytes((constructor,)) + body


def described(code: int, value: bytes) -> bytes:
    """Encode a described value; the codes of the standard fit in a byte."""
    return bytes((0x00, 0x53, code)) + value
