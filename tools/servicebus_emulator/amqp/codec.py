"""AMQP 1.0 values (OASIS amqp-core-types-v1.0, part 1) from bytes: decoded to Python values, or skipped.

What passes through unchanged is never decoded: `end_of` finds where a value ends, and `items` and `pairs` cut a
compound into its encoded parts.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from itertools import starmap

from queue_runtime.tools.servicebus_emulator.amqp.encode import EMPTY_LIST, NULL, TRUE

__all__ = ["CodecError", "Described", "decode", "decoded", "end_of", "is_true", "items", "pairs"]

_U32 = struct.Struct(">I")


class CodecError(Exception):
    """What a peer sent is not AMQP; the text says what was met, never the bytes."""


@dataclass(frozen=True, slots=True)
class Described:
    """A value with the descriptor that says what it is."""

    descriptor: object
    value: object


# --- skip and cut ------------------------------------------------------------------------------------------------

_FIXED = {0x40: 0, 0x50: 1, 0x60: 2, 0x70: 4, 0x80: 8, 0x90: 16}


def end_of(data: bytes, at: int) -> int:
    """Return where the value that begins at `at` ends.

    Raises:
        CodecError: it is cut off, or of no type.
    """
    try:
        code = data[at]
        width = code & 0xF0
        if code == 0:
            return end_of(data, end_of(data, at + 1))
        if width in _FIXED:
            end = at + 1 + _FIXED[width]
        elif width in {0xA0, 0xC0, 0xE0}:
            end = at + 2 + data[at + 1]
        elif width in {0xB0, 0xD0, 0xF0}:
            end = at + 5 + _U32.unpack_from(data, at + 1)[0]
        else:
            msg = f"no value begins with {code:#x}"
            raise CodecError(msg)
    except (IndexError, struct.error, RecursionError) as error:
        msg = "a value is cut off or nested too deeply"
        raise CodecError(msg) from error
    if end > len(data):
        msg = "a value is cut off"
        raise CodecError(msg)
    return end


def _cut(data: bytes, at: int, small: int, large: int) -> list[bytes]:
    code = data[at] if at < len(data) else -1
    end = end_of(data, at)
    if code == small:
        start, count = at + 3, data[at + 2]
    elif code == large:
        start, count = at + 9, _U32.unpack_from(data, at + 5)[0]
    else:
        msg = f"a value begins with {code:#x} where {small:#x} or {large:#x} must"
        raise CodecError(msg)
    parts: list[bytes] = []
    while start < end:
        stop = end_of(data, start)
        parts.append(data[start:stop])
        start = stop
    if len(parts) != count:
        msg = f"a compound of {count} values holds {len(parts)}"
        raise CodecError(msg)
    return parts


def items(data: bytes, at: int = 0) -> list[bytes]:
    """Return the encoded elements of the list that begins at `at`.

    Raises:
        CodecError: there is no list.
    """
    if data[at : at + 1] == EMPTY_LIST:
        return []
    return _cut(data, at, 0xC0, 0xD0)


def pairs(data: bytes, at: int = 0) -> dict[bytes, bytes]:
    """Return the encoded entries of the map that begins at `at`; none for a null.

    Raises:
        CodecError: there is no map.
    """
    if data[at : at + 1] == NULL:
        return {}
    parts = _cut(data, at, 0xC1, 0xD1)
    if len(parts) % 2:
        msg = "a map has a key without a value"
        raise CodecError(msg)
    return dict(zip(parts[::2], parts[1::2], strict=True))


# --- decode ------------------------------------------------------------------------------------------------------


def _number(code: str) -> Callable[[bytes, int], tuple[object, int]]:
    shape = struct.Struct(code)

    def read(data: bytes, at: int) -> tuple[object, int]:
        return shape.unpack_from(data, at)[0], at + shape.size

    return read


def _constant(value: object) -> Callable[[bytes, int], tuple[object, int]]:
    return lambda _, at: (value, at)


def _sized(data: bytes, at: int, width: int) -> tuple[bytes, int]:
    size = data[at] if width == 1 else _U32.unpack_from(data, at)[0]
    end = at + width + size
    if end > len(data):
        msg = "a value is cut off"
        raise CodecError(msg)
    return data[at + width : end], end


def _bytes(width: int) -> Callable[[bytes, int], tuple[object, int]]:
    return lambda data, at: _sized(data, at, width)


def _text(width: int) -> Callable[[bytes, int], tuple[object, int]]:
    def read(data: bytes, at: int) -> tuple[object, int]:
        value, end = _sized(data, at, width)
        return value.decode(), end

    return read


def _plain(width: int) -> Callable[[bytes, int], tuple[object, int]]:
    def read(data: bytes, at: int) -> tuple[object, int]:
        end = at + width
        if end > len(data):
            msg = "a value is cut off"
            raise CodecError(msg)
        return data[at:end], end

    return read


def _read_list(data: bytes, at: int) -> tuple[object, int]:
    end = end_of(data, at - 1)
    return [decode(part, 0)[0] for part in items(data, at - 1)], end


def _read_map(data: bytes, at: int) -> tuple[object, int]:
    end = end_of(data, at - 1)
    return dict(starmap(_entry, pairs(data, at - 1).items())), end


def _entry(key: bytes, value: bytes) -> tuple[object, object]:
    name = decode(key, 0)[0]
    return (name if isinstance(name, str | bytes | int) else repr(name)), decode(value, 0)[0]


def _read_array(width: int) -> Callable[[bytes, int], tuple[object, int]]:
    def read(data: bytes, at: int) -> tuple[object, int]:
        end = end_of(data, at - 1)
        count = data[at + 1] if width == 1 else _U32.unpack_from(data, at + 4)[0]
        if count > len(data):  # of elements without a byte there could be four thousand million
            msg = f"an array of {count} elements was announced, in {len(data)} bytes"
            raise CodecError(msg)
        start = at + 2 * width
        if data[start] == 0:
            start = end_of(data, start + 1)
        reader = _READERS[data[start]]
        start += 1
        values: list[object] = []
        for _ in range(count):
            value, start = reader(data, start)
            values.append(value)
            if start > end:
                msg = "an array is cut off"
                raise CodecError(msg)
        return values, end

    return read


def _read_described(data: bytes, at: int) -> tuple[object, int]:
    descriptor, at = decode(data, at)
    value, at = decode(data, at)
    return Described(descriptor, value), at


_READERS: dict[int, Callable[[bytes, int], tuple[object, int]]] = {
    0x00: _read_described,
    0x40: _constant(None),
    0x41: _constant(True),  # noqa: FBT003 - the value that the code stands for
    0x42: _constant(False),  # noqa: FBT003
    0x43: _constant(0),
    0x44: _constant(0),
    0x45: _constant([]),
    0x50: _number(">B"),
    0x51: _number(">b"),
    0x52: _number(">B"),
    0x53: _number(">B"),
    0x54: _number(">b"),
    0x55: _number(">b"),
    0x56: _number(">?"),
    0x60: _number(">H"),
    0x61: _number(">h"),
    0x70: _number(">I"),
    0x71: _number(">i"),
    0x72: _number(">f"),
    0x73: _plain(4),
    0x74: _plain(4),
    0x80: _number(">Q"),
    0x81: _number(">q"),
    0x82: _number(">d"),
    0x83: _number(">q"),
    0x84: _plain(8),
    0x94: _plain(16),
    0x98: _plain(16),
    0xA0: _bytes(1),
    0xA1: _text(1),
    0xA3: _text(1),
    0xB0: _bytes(4),
    0xB1: _text(4),
    0xB3: _text(4),
    0xC0: _read_list,
    0xC1: _read_map,
    0xD0: _read_list,
    0xD1: _read_map,
    0xE0: _read_array(1),
    0xF0: _read_array(4),
}


def decode(data: bytes, at: int) -> tuple[object, int]:
    """Return the value that begins at `at`, and where it ends.

    Numbers and timestamps are `int`, symbols and texts `str`, binaries and UUIDs `bytes`, lists and arrays `list`.

    Raises:
        CodecError: it is cut off, of no type, or not what its type says.
    """
    try:
        return _READERS[data[at]](data, at + 1)
    except (KeyError, IndexError, struct.error, UnicodeDecodeError, RecursionError) as error:
        msg = f"a value cannot be read: {type(error).__name__}"
        raise CodecError(msg) from error


def is_true(data: bytes) -> bool:
    """Return whether an encoded value is the boolean true, in either of its two encodings."""
    return data in {TRUE, b"\x56\x01"}


def decoded(data: bytes) -> object:
    """Return the value that `data` begins with.

    Raises:
        CodecError: as `decode`.
    """
    return decode(data, 0)[0]
