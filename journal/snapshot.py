"""The state of an engine in a file, so that a start costs what is live and not what is history.

A snapshot says nothing that the events before it do not say: one that cannot be read is left out, and those events are
read instead.
"""

from __future__ import annotations

import hashlib
import logging
import os
import struct
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple, cast

import zstandard

from queue_runtime.journal.chain import Row
from queue_runtime.journal.codec import CODEC
from queue_runtime.journal.errors import JournalCorrupt
from queue_runtime.journal.events import EVENT_TYPES, Duplicate, Event, Received
from queue_runtime.journal.plain import packer, unpack
from queue_runtime.journal.segments import Layout, sync_folder
from queue_runtime.journal.shapes import Rebuild, items_of, rebuilder
from queue_runtime.journal.state import EngineState

__all__ = [
    "OtherVersion",
    "Snapshot",
    "check_snapshot",
    "newest_snapshot",
    "pack_snapshot",
    "read_snapshot",
    "unpack_snapshot",
    "write_snapshot",
]

_log = logging.getLogger(__name__)

VERSION = 4
"""Of the shape of `EngineState` in a file. Raise it with any change of a field there: older snapshots are left out,
unless they can be brought up to it."""
_WITHOUT_SENDERS, _WITHOUT_TRACES = 2, 3
_MESSAGES = [field.name for field in fields(EngineState)].index("messages")

_MAGIC = b"queue-runtime snapshot 2\n"
_FIRST_MAGIC = b"queue-runtime snapshot\n"  # its layout is read no more
_POSITION = struct.Struct(">Q")
_DIGEST_BYTES = 32
_HEADER_BYTES = len(_MAGIC) + _POSITION.size + _DIGEST_BYTES
_MAX_BYTES = 1 << 34  # a damaged frame may claim any size


class OtherVersion(ValueError):  # noqa: N818 - no fault: it was written by another version, and is left out
    """A snapshot is of a version that this one does not read; it need not be damaged."""


class Snapshot(NamedTuple):
    """The state after the event at `position`."""

    position: int
    state: EngineState


def pack_snapshot(snapshot: Snapshot) -> bytes:
    """Return the bytes of a snapshot: mark, position, digest, compressed msgpack. 2 us a live message and field."""
    packed = zstandard.ZstdCompressor(level=1).compress(_pack((VERSION, snapshot.state)))
    position = _POSITION.pack(snapshot.position)
    return _MAGIC + position + hashlib.sha256(position + packed).digest() + packed


def unpack_snapshot(content: bytes) -> Snapshot:
    """Return the snapshot in `content`.

    Raises:
        OtherVersion: it is good, and of another version.
        ValueError: it is damaged.
        UnknownEvent: a newer version wrote it.
    """
    position = check_snapshot(content)
    packed = content[_HEADER_BYTES:]
    version, state = items_of(unpack(zstandard.ZstdDecompressor().decompress(packed)))
    if version == _WITHOUT_SENDERS:
        version, state = _WITHOUT_TRACES, (*items_of(state), cast("dict[object, object]", {}))
    if version == _WITHOUT_TRACES:
        version, state = VERSION, _with_no_traces(items_of(state))
    if version != VERSION:
        msg = f"its version is {version}, this one reads {VERSION}"
        raise OtherVersion(msg)
    try:
        return Snapshot(position, cast("EngineState", _rebuild_state(state)))
    except (TypeError, JournalCorrupt) as error:
        raise ValueError(str(error)) from error


def _with_no_traces(state: tuple[object, ...]) -> tuple[object, ...]:
    messages = cast("dict[object, object]", state[_MESSAGES])
    traced = {key: (*items_of(message), None) for key, message in messages.items()}
    return (*state[:_MESSAGES], traced, *state[_MESSAGES + 1 :])


def check_snapshot(content: bytes) -> int:
    """Return the position of the snapshot in `content`, without building its state.

    Raises:
        OtherVersion: it is of the first layout.
        ValueError: it is damaged.
    """
    if content.startswith(_FIRST_MAGIC):
        msg = "it is of a layout that is read no more"
        raise OtherVersion(msg)
    position = content[len(_MAGIC) : len(_MAGIC) + _POSITION.size]
    digest, packed = content[_HEADER_BYTES - _DIGEST_BYTES : _HEADER_BYTES], content[_HEADER_BYTES:]
    if not content.startswith(_MAGIC) or hashlib.sha256(position + packed).digest() != digest:
        msg = "it does not match its digest"
        raise ValueError(msg)
    return int(_POSITION.unpack(position)[0])


def write_snapshot(path: Path, packed: bytes) -> None:
    """Put packed bytes at `path`: all of them or, whenever the power goes, none.

    Raises:
        OSError: the disk is full or broken.
    """
    temporary = path.with_suffix(".new")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(packed)
        file.flush()
        os.fsync(fd)
    temporary.rename(path)
    sync_folder(path.parent)


def read_snapshot(path: Path) -> Snapshot | None:
    """Return the snapshot at `path`; None if there is none that can be read.

    Raises:
        UnknownEvent: a newer version wrote it.
        OSError: the disk is broken.
    """
    try:
        return unpack_snapshot(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        _log.warning("snapshot %s is left out and the events before it are read instead: %s", path, error)
        return None


def newest_snapshot(layout: Layout) -> Snapshot | None:
    """Return the snapshot of the latest position among those in the folder that can be read; None if there is none.

    Raises:
        As `read_snapshot`.
    """
    for path in sorted(layout.snapshots(), key=_claimed_position, reverse=True):
        snapshot = read_snapshot(path)
        if snapshot is not None:
            return snapshot
    return None


def _claimed_position(path: Path) -> int:
    """What a snapshot says of itself, unproved. One that says nothing comes first: reading it is worth a warning."""
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
    except FileNotFoundError:
        return -1
    if not header.startswith(_MAGIC) or len(header) < _HEADER_BYTES:
        return 1 << 64
    return int(_POSITION.unpack_from(header, len(_MAGIC))[0])


_getters: dict[type, Callable[[object], object]] = {}


def _plain(value: object) -> object:
    """Events as their rows, so that a snapshot ages as they do; other dataclasses as their values, in order."""
    if type(value) in EVENT_TYPES:
        return CODEC.encode(cast("Event", value))[0]
    getter = _getters.get(type(value))
    if getter is None:
        if not is_dataclass(value):
            msg = f"a value of type {type(value).__name__}"
            raise TypeError(msg)
        getter = _getters[type(value)] = attrgetter(*(field.name for field in fields(value)))
    return getter(value)


_pack = packer(_plain)


def _rebuild_event(value: object) -> object:
    return CODEC.decode(cast("Row", items_of(value)), 0)


_EVENTS: dict[object, Rebuild] = dict.fromkeys((*EVENT_TYPES, Received | Duplicate), _rebuild_event)
_rebuild_state = rebuilder(EngineState, _EVENTS)
