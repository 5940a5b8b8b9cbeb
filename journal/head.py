"""The end of the hash chain, kept in a file beside the database.

A database that lost its last commits is a valid database: only something outside it can tell. The file has two slots
that are written in turn, so that one of them is whole whenever the power goes.
"""

from __future__ import annotations

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
_SLOT_BYTES = 512  # a sector: what a disk writes whole


class Head(NamedTuple):
    """Where the chain ended when the file was last written."""

    writes: int
    position: int
    chain: bytes


class HeadFile:
    """The file, for its writer. What it says is never ahead of what is durable."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            JournalCorrupt: neither slot can be read, or the file is gone.
            OSError: it cannot be opened.
        """
        self._writes, self.position, self.chain = read_head(path)[0]
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)

    @classmethod
    def create(cls, path: Path) -> HeadFile:
        """Make the file of a new journal; one that a crash left half made is made again.

        Raises:
            OSError: it cannot be made.
        """
        create_file(path)
        path.write_bytes(_slot(1, 0, GENESIS).ljust(_SLOT_BYTES, b"\0"))
        head = cls(path)
        head.sync()
        return head

    def write(self, position: int, chain: bytes) -> None:
        """Keep a new end, without waiting for the disk: an older end than the database's is accepted after a power cut.

        Microseconds: it may be called on the event loop.

        Raises:
            OSError: the disk is full or broken.
        """
        self._writes += 1
        os.pwrite(self._fd, _slot(self._writes, position, chain), (self._writes + 1) % 2 * _SLOT_BYTES)
        self.position, self.chain = position, chain

    def sync(self) -> None:
        """Make the end that was written last survive a power cut."""
        os.fsync(self._fd)

    def close(self) -> None:
        """Close the file. Twice is harmless."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def read_head(path: Path) -> tuple[Head, bool]:
    """Return the newest end in the file at `path`, and whether both slots are whole.

    Raises:
        JournalCorrupt: neither slot can be read, or the file is gone.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise JournalCorrupt(1, f"{path} is gone: nothing proves that the end of the journal is there") from None
    slots = [content[start : start + _SLOT_BYTES] for start in (0, _SLOT_BYTES)]
    heads = [head for head in map(_parse, slots) if head is not None]
    if not heads:
        raise JournalCorrupt(1, f"{path} cannot be read: nothing proves that the end of the journal is there")
    return max(heads), len(heads) == sum(map(any, slots))


def _slot(writes: int, position: int, chain: bytes) -> bytes:
    content = _RECORD.pack(writes, position, chain)
    return content + _CHECKSUM.pack(zlib.crc32(content))


def _parse(slot: bytes) -> Head | None:
    content, checksum = slot[: _RECORD.size], slot[_RECORD.size : _RECORD.size + _CHECKSUM.size]
    if checksum != _CHECKSUM.pack(zlib.crc32(content)) or len(content) != _RECORD.size:
        return None
    return Head(*_RECORD.unpack(content))
