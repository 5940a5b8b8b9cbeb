"""A message as one text, for brokers whose own format cannot carry all of its parts: msgpack, version 1, in base64.

What is decoded comes from outside: anybody who may send to the queue may send anything. So a decoder takes exactly what
`encode` writes, within bounds, and refuses all else; the text of its error never holds the input.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from datetime import timedelta
from typing import NoReturn, cast

import msgpack

from queue_runtime.providers.errors import SerializationError, ValidationError
from queue_runtime.providers.message import Message

__all__ = ["decode", "encode"]

VERSION = 1
MAX_TEXT = 2_000_000  # twice what any broker carries
MAX_ATTRIBUTES = 1_000
MAX_TTL_US = 10**17  # 3,000 years

_TEXTS = ("id", "sid", "cid", "ct")
_KEYS = frozenset({"v", *_TEXTS, "ttl", "attrs", "body"})
# msgpack brings no types of its own
_pack = cast("Callable[..., bytes]", msgpack.packb)
_unpack = cast("Callable[..., object]", msgpack.unpackb)


def encode(message: Message) -> str:
    """Return all of `message` but its deduplication id, which is between its sender and the broker."""
    ttl = message.time_to_live
    parts: dict[str, object] = {"v": VERSION, "id": str(message.message_id), "body": message.body}
    optional: dict[str, object] = {
        "sid": None if message.session_id is None else str(message.session_id),
        "cid": message.correlation_id,
        "ct": message.content_type,
        "ttl": None if ttl is None else ttl // timedelta(microseconds=1),
        "attrs": dict(message.attributes) or None,
    }
    parts.update((key, value) for key, value in optional.items() if value is not None)
    return base64.b64encode(_pack(parts)).decode("ascii")


def decode(text: str) -> Message:
    """Return the message that `encode` made `text` of.

    Raises:
        SerializationError: it is no such text, whoever wrote it. The sender's fault, for good.
    """
    if len(text) > MAX_TEXT:
        _refuse(f"of {len(text)} characters is over the limit of {MAX_TEXT}")
    try:
        packed = base64.b64decode(text.encode("ascii"), validate=True)
        parts = _unpack(packed, ext_hook=_no_extension, max_map_len=MAX_ATTRIBUTES)
    except (ValueError, binascii.Error, msgpack.UnpackException) as error:
        # The cause is kept out: its text may hold a part of what could not be decoded.
        raise SerializationError(_text(f"cannot be unpacked ({type(error).__name__})")) from None
    if not isinstance(parts, dict):
        _refuse("is not a map")
    return _message(cast("dict[object, object]", parts))


def _message(parts: dict[object, object]) -> Message:
    version = parts.get("v")
    if type(version) is not int or version != VERSION:
        _refuse(f"is not of version {VERSION}: a newer sender needs a newer receiver")
    if not parts.keys() <= _KEYS:
        _refuse("has parts that its version does not know")
    body, ttl, attributes = parts.get("body"), parts.get("ttl"), parts.get("attrs", {})
    if not isinstance(body, bytes):
        _refuse("has no body")
    texts = [parts.get(key) for key in _TEXTS]
    if not isinstance(texts[0], str) or not all(value is None or isinstance(value, str) for value in texts):
        _refuse("has an id that is not text")
    if not isinstance(attributes, dict):
        _refuse("has attributes that are not a map")
    if ttl is not None and (type(ttl) is not int or ttl > MAX_TTL_US):
        _refuse("has a time to live that is no number of microseconds")
    message_id, session_id, correlation_id, content_type = cast("list[str]", texts)
    try:
        return Message(
            body,
            message_id=message_id,
            session_id=session_id,
            correlation_id=correlation_id,
            content_type=content_type,
            attributes=cast("dict[str, str]", attributes),
            time_to_live=None if ttl is None else timedelta(microseconds=ttl),
        )
    except ValidationError as error:
        raise SerializationError(_text(f"has a {error.field} that no message may have")) from None


def _no_extension(code: int, data: bytes) -> NoReturn:
    del data
    msg = f"extension type {code}"
    raise ValueError(msg)


def _refuse(problem: str) -> NoReturn:
    raise SerializationError(_text(problem))


def _text(problem: str) -> str:
    return f"message envelope {problem}"
