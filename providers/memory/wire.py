"""How calls to an in-memory broker travel between processes: msgpack, in frames that begin with their length.

A request is `[number, method, arguments]`, an answer `[number, result]`; a result that is an error is raised by who
asked. Both ends are of one version of this package: the wire is private, and compatible with nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import cast

import msgpack

from queue_runtime.providers import errors
from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.errors import Category, ErrorContext, QueueError, SerializationError
from queue_runtime.providers.message import (
    DeadLetter,
    Delivery,
    Message,
    MessageFields,
    MessageId,
    QueueName,
    Receipt,
    SessionId,
)
from queue_runtime.providers.port import Address, Capabilities, QueueCounts, Sent, SettleKind, Settlement

__all__ = ["decode", "encode", "read_frame", "write_frame"]

MAX_FRAME_BYTES = 1 << 30
HEADER_BYTES = 4


# msgpack brings no types of its own
_pack = cast("Callable[..., bytes]", msgpack.packb)
_unpack = cast("Callable[..., object]", msgpack.unpackb)


class _MessageOnWire(MessageFields):
    body: bytes


_RECORDS = (Address, Capabilities, DeadLetter, Delivery, ErrorContext, QueueCounts, Receipt, Sent, Settlement)
_STRINGS = (MessageId, QueueName, SessionId, SettleKind, Category)
_TIMESTAMP, _DURATION, _MESSAGE, _ERROR, _FIRST_STRING, _FIRST_RECORD = 0, 1, 2, 3, 10, 30
_FIELDS: dict[type, tuple[str, ...]] = {kind: tuple(kind.__dataclass_fields__) for kind in (*_RECORDS, Message)}
_KINDS: dict[int, type] = {
    **{_FIRST_STRING + i: kind for i, kind in enumerate(_STRINGS)},
    **{_FIRST_RECORD + i: kind for i, kind in enumerate(_RECORDS)},
}
_CODES = {kind: code for code, kind in _KINDS.items()}


def encode(value: object) -> bytes:
    """Turn a value of the port, or a list of them, into bytes."""
    return _pack(value, default=_to_wire, strict_types=True)


def decode(data: bytes) -> object:
    """Turn bytes back into the value; every list is a tuple.

    Raises:
        SerializationError: these bytes are not of `encode`.
    """
    try:
        return _unpack(data, ext_hook=_from_wire, use_list=False)
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError, msgpack.UnpackException) as error:
        msg = f"a frame of {len(data)} bytes does not decode: use one version of queue-runtime on both ends"
        raise SerializationError(msg) from error


def _to_wire(value: object) -> object:
    kind = type(value)
    if kind is tuple:
        return list(cast("tuple[object, ...]", value))
    if kind is Timestamp:
        return msgpack.ExtType(_TIMESTAMP, str(value).encode())
    if isinstance(value, timedelta):
        return msgpack.ExtType(_DURATION, encode([value.days, value.seconds, value.microseconds]))
    if isinstance(value, Message):
        return msgpack.ExtType(_MESSAGE, encode({name: getattr(value, name) for name in _FIELDS[Message]}))
    if isinstance(value, QueueError):
        return msgpack.ExtType(_ERROR, encode([kind.__name__, str(value), dict(vars(value))]))
    if isinstance(value, str):
        code = _CODES.get(kind)
        return str(value) if code is None else msgpack.ExtType(code, str(value).encode())
    return msgpack.ExtType(_CODES[kind], encode([getattr(value, name) for name in _FIELDS[kind]]))


def _from_wire(code: int, data: bytes) -> object:
    if code == _TIMESTAMP:
        return Timestamp(data.decode())
    if code == _DURATION:
        return timedelta(*cast("tuple[int, int, int]", decode(data)))
    if code == _MESSAGE:
        return Message(**cast("_MessageOnWire", decode(data)))
    if code == _ERROR:
        return _error(*cast("tuple[str, str, dict[str, object]]", decode(data)))
    kind = _KINDS[code]
    if issubclass(kind, str):
        return kind(data.decode())
    return kind(*cast("tuple[object, ...]", decode(data)))


def _error(name: str, text: str, about: dict[str, object]) -> QueueError:
    """Make the error again without its constructor, which would compose its text a second time."""
    kind = getattr(errors, name) if name in errors.__all__ else QueueError
    error = cast("QueueError", kind.__new__(kind, text))
    vars(error).update(about)
    return error


async def read_frame(reader: asyncio.StreamReader) -> object:
    """Read one value.

    Raises:
        IncompleteReadError: the other end is gone.
        SerializationError: what came is no frame.
    """
    size = int.from_bytes(await reader.readexactly(HEADER_BYTES), "big")
    if size > MAX_FRAME_BYTES:
        msg = f"a frame of {size} bytes is over the limit of {MAX_FRAME_BYTES}: this is no peer of ours"
        raise SerializationError(msg)
    return decode(await reader.readexactly(size))


def write_frame(writer: asyncio.StreamWriter, value: object) -> None:
    """Hand one value to the transport, whole."""
    data = encode(value)
    writer.write(len(data).to_bytes(HEADER_BYTES, "big") + data)
