"""msgpack, strictly: only what comes back equal goes in, and only what we wrote comes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, cast

import msgpack

__all__ = ["packer", "unpack"]

_BIG_INTEGER = 1  # extension type: msgpack ends at 64 bits, the sequence numbers of SQS FIFO queues have 20 digits


class _Packer(Protocol):
    def pack(self, value: object, /) -> bytes: ...


_new_packer = cast("Callable[..., _Packer]", msgpack.Packer)
_unpackb = cast("Callable[..., object]", msgpack.unpackb)


def packer(plain: Callable[[object], object]) -> Callable[[object], bytes]:
    """Return a function that packs values; `plain` turns what msgpack does not know into what it does.

    The function keeps one buffer, so it is not for several threads at once. It raises TypeError, ValueError or
    OverflowError for what cannot be stored.
    """

    def default(value: object) -> object:
        if isinstance(value, int):
            size = value.bit_length() // 8 + 1
            return msgpack.ExtType(_BIG_INTEGER, value.to_bytes(size, "big", signed=True))
        if isinstance(value, Mapping):
            return dict(cast("Mapping[object, object]", value))
        return plain(value)

    return _new_packer(default=default).pack


def unpack(data: bytes) -> object:
    """Return the one value in `data`; sequences come back as tuples.

    Raises:
        ValueError: it is not one well-formed value.
    """
    try:
        return _unpackb(data, use_list=False, strict_map_key=False, ext_hook=_extension)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        msg = f"not msgpack as this journal writes it: {error}"
        raise ValueError(msg) from error


def _extension(code: int, data: bytes) -> object:
    if code != _BIG_INTEGER:
        msg = f"extension type {code} is unknown"
        raise ValueError(msg)
    return int.from_bytes(data, "big", signed=True)
