"""The layout of a journal's folder.

    lock                        held by the writer, see lock.py
    head                        where the hash chain ended, kept outside the database, see head.py
    00000001.segment.sqlite     events, beginning at position 1; numbered so that names sort by age
    00000002.snapshot           the state before the first event of that segment; the first segment has none
    newest.snapshot             the state at a later position: it bounds the cost of the next start
    ....................keys    keys of completed messages that left the state, see dedup.py
    *.new                       a file that is being written; removed when the journal is opened
    repair                      a repair that goes on, see repair.py
    damaged-*                   what a repair moved aside

Nobody but the owner of the process may read any of it: bodies and receipts are in there.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from queue_runtime.journal.errors import JournalError

__all__ = [
    "Layout",
    "create_file",
    "files_of",
    "has_log",
    "number_of",
    "prepare_folder",
    "remove_segment",
    "size_of",
    "stored_bytes",
    "sync_file",
    "sync_folder",
]

_SEGMENT = re.compile(r"(\d{8})\.segment\.sqlite")
_BESIDE = ("-wal", "-shm")  # SQLite's own, while a segment is open or after a crash


class Layout:
    """Names inside the folder of one journal."""

    def __init__(self, folder: Path) -> None:
        """Name what is in `folder`, whether it is there or not."""
        self.folder = folder
        self.lock = folder / "lock"
        self.head = folder / "head"
        self.newest_snapshot = folder / "newest.snapshot"
        self.repair = folder / "repair"

    def segment(self, number: int) -> Path:
        """Return the path of segment `number`, counted from 1."""
        return self.folder / f"{number:08d}.segment.sqlite"

    def segments(self) -> list[Path]:
        """Return the segments that are there, oldest first; the last may be one that is being made."""
        return sorted(path for path in self.folder.iterdir() if _SEGMENT.fullmatch(path.name))

    def snapshot(self, number: int) -> Path:
        """Return the path of the state before segment `number`."""
        return self.folder / f"{number:08d}.snapshot"

    def snapshots(self) -> list[Path]:
        """Return the snapshots that are there, in no order of age."""
        return sorted(self.folder.glob("*.snapshot"))

    def left_over(self) -> list[Path]:
        """Return what a process that died left: files half written, and what SQLite keeps beside a segment now gone."""
        halves = [path for path in self.folder.glob("*.new*") if path.is_file()]
        beside = [path for suffix in _BESIDE for path in self.folder.glob(f"*.segment.sqlite{suffix}")]
        return halves + [path for path in beside if not path.with_name(path.name[: -len("-wal")]).exists()]


def number_of(segment: Path) -> int:
    """Return the number of a segment."""
    return int(segment.name.partition(".")[0])


def files_of(segment: Path) -> list[Path]:
    """Return the paths of a segment's files: its own, and those that SQLite keeps beside it now and then."""
    return [segment, *(segment.with_name(segment.name + suffix) for suffix in _BESIDE)]


def has_log(segment: Path) -> bool:
    """Tell whether a part of the segment may be in a write-ahead log."""
    return size_of(segment.with_name(f"{segment.name}-wal")) > 0


def stored_bytes(segment: Path) -> int:
    """Return what a segment takes on disk, with its write-ahead log. Microseconds.

    Raises:
        OSError: it cannot be asked.
    """
    return size_of(segment) + size_of(segment.with_name(f"{segment.name}-wal"))


def size_of(path: Path) -> int:
    """Return the size of a file; 0 if there is none.

    Raises:
        OSError: it cannot be asked.
    """
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def remove_segment(segment: Path) -> None:
    """Remove a segment, all of it at once: what SQLite keeps beside it is nothing without it.

    Raises:
        OSError: it cannot be removed.
    """
    for path in files_of(segment):
        path.unlink(missing_ok=True)


def prepare_folder(folder: Path) -> Layout:
    """Make the folder of a journal, or check that it is one, and shut it to everybody else.

    Raises:
        JournalError: it is a symbolic link, no folder, or holds something else.
        OSError: it cannot be made.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        _check(folder)
    folder.chmod(0o700)
    return Layout(folder)


def _check(folder: Path) -> None:
    mode = folder.lstat().st_mode
    if stat.S_ISLNK(mode):  # whoever can move the link could have the journal written elsewhere
        msg = f"journal folder {folder} is a symbolic link; name the folder that it points to"
        raise JournalError(msg)
    if not stat.S_ISDIR(mode):
        msg = f"journal folder {folder} is a file; name a folder"
        raise JournalError(msg)
    names = {entry.name for entry in folder.iterdir()}
    if names and "lock" not in names:  # its mode is about to change
        msg = f"folder {folder} holds other things than a journal; name an empty folder, or one that does not exist"
        raise JournalError(msg)


def create_file(path: Path) -> None:
    """Create an empty file that only its owner can read, unless it is there."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))


def sync_file(path: Path) -> None:
    """Make what a file holds survive a power cut."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` survive a power cut."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
