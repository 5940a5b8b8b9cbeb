"""How a handler's own values become bytes: msgpack, and nothing that would not come back equal."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import cast

import msgpack

__all__ = ["digest", "pack", "unpack"]

_packb = cast("Callable[..., bytes]", msgpack.packb)
_unpackb = cast("Callable[..., object]", msgpack.unpackb)


def pack(value: object) -> bytes:
    """Return `value` as bytes.

    Raises:
        TypeError, ValueError, OverflowError: it holds what msgpack does not carry, a tuple for example.
    """
    return _packb(value, strict_types=True)


def unpack(data: bytes) -> object:
    """Return what was packed."""
    return _unpackb(data, strict_map_key=False)


def digest(value: object) -> bytes | None:
    """Tell values apart without keeping them; None for None, and for what has no stable form."""
    if value is None:
        return None
    try:
        return hashlib.sha256(_packb(value)).digest()[:16]
    except (TypeError, ValueError, OverflowError):
        return None
