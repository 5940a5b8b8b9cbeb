"""The end of the hash chain, kept in a file beside the database.

A database that lost its last commits is a valid database: only something outside it can tell. The file has two slots
that are written in turn, so that one of them is whole whenever the power goes.

With a key, each slot carries an HMAC: whoever can write the folder but does not know the key cannot make a head for a
history of his own. An older head together with the older files that it spoke of still proves good; anchors tell that.
"""

from __future__ import annotations

import hmac
import os
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

from queue_runtime.journal.chain import GENESIS
from queue_runtime.journal.errors import JournalCorrupt
from queue_runtime.journal.segments import create_file

__all__ = ["Head", "HeadFile", "read_head"]

_RECORD = struct.Struct(">QQ32s")  # writes so far, position, hash
_CHECKSUM = struct.Struct(">I")
_HMAC_BYTES = 32
_NO_HMAC = bytes(_HMAC_BYTES)
_SLOT_BYTES = 512  # a sector: what a disk writes whole


class Head(NamedTuple):
    """Where the chain ended when the file was last written."""

    writes: int
    position: int
    chain: bytes


_FIRST = Head(1, 0, GENESIS)


class HeadFile:
    """The file, for its writer. What it says is never ahead of what is durable."""

    def __init__(self, path: Path, key: bytes | None = None) -> None:
        """Open the file; with a `key`, what it says is proved by it, and what is written can be.

        Raises:
            JournalCorrupt: neither slot can be read, the file is gone, or it was not written with the key.
            OSError: it cannot be opened.
        """
        self._writes, self.position, self.chain = read_head(path, key)[0]
        self._key = key
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)

    @classmethod
    def create(cls, path: Path, key: bytes | None = None, head: Head = _FIRST) -> HeadFile:
        """Make the file of a new journal, or with another end; one that a crash left half made is made again.

        Raises:
            OSError: it cannot be made.
        """
        create_file(path)
        path.write_bytes(_slot(head, key).ljust(_SLOT_BYTES, b"\0"))
        made = cls(path, key)
        made.sync()
        return made

    def write(self, position: int, chain: bytes) -> None:
        """Keep a new end, without waiting for the disk: an older end than the database's is accepted after a power cut.

        Microseconds: it may be called on the event loop.

        Raises:
            OSError: the disk is full or broken.
        """
        self._writes += 1
        slot = _slot(Head(self._writes, position, chain), self._key)
        os.pwrite(self._fd, slot, (self._writes + 1) % 2 * _SLOT_BYTES)
        self.position, self.chain = position, chain

    def sync(self) -> None:
        """Make the end that was written last survive a power cut."""
        os.fsync(self._fd)

    def close(self) -> None:
        """Close the file. Twice is harmless."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def read_head(path: Path, key: bytes | None = None) -> tuple[Head, bool]:
    """Return the newest end in the file at `path`, and whether both slots are whole.

    With a `key`, a slot that does not carry its HMAC is refused; without one, HMACs are not looked at.

    Raises:
        JournalCorrupt: neither slot can be read, the file is gone, or it was not written with the key.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise JournalCorrupt(1, f"{path} is gone: nothing proves that the end of the journal is there") from None
    slots = [content[start : start + _SLOT_BYTES] for start in (0, _SLOT_BYTES)]
    heads = [(head, slot) for slot in slots if (head := _parse(slot)) is not None]
    if not heads:
        raise JournalCorrupt(1, f"{path} cannot be read: nothing proves that the end of the journal is there")
    if key is not None:
        for head, slot in heads:
            _check_hmac(path, head, slot, key)
    return max(heads)[0], len(heads) == sum(map(any, slots))


def _slot(head: Head, key: bytes | None) -> bytes:
    content = _RECORD.pack(*head)
    return content + _CHECKSUM.pack(zlib.crc32(content)) + (_NO_HMAC if key is None else _hmac(content, key))


def _parse(slot: bytes) -> Head | None:
    content, checksum = slot[: _RECORD.size], slot[_RECORD.size : _RECORD.size + _CHECKSUM.size]
    if checksum != _CHECKSUM.pack(zlib.crc32(content)) or len(content) != _RECORD.size:
        return None
    return Head(*_RECORD.unpack(content))


def _hmac(content: bytes, key: bytes) -> bytes:
    return hmac.digest(key, content, "sha256")


def _check_hmac(path: Path, head: Head, slot: bytes, key: bytes) -> None:
    start = _RECORD.size + _CHECKSUM.size
    found = slot[start : start + _HMAC_BYTES]
    if hmac.compare_digest(found, _hmac(slot[: _RECORD.size], key)):
        return
    what = "has no HMAC" if not any(found) else "has an HMAC of another key"
    raise JournalCorrupt(
        head.position,
        f"{path} {what}: it was written without this head key, or by somebody else; verify the journal without the key,"
        " compare its end with the anchors in your logs, and have `journal repair` write the head anew",
    )
