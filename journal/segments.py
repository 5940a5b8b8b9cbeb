"""The layout of a journal's folder.

    lock                        held by the writer, see lock.py
    head                        where the hash chain ended, kept outside the database, see head.py
    00000001.segment.sqlite     events, beginning at position 1; numbered so that names sort by age
    00000001.snapshot           the state before the first event of that segment; the first segment has none
    newest.snapshot             the state at a later position: it bounds the cost of the next start

Nobody but the owner of the process may read any of it: bodies and receipts are in there.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from queue_runtime.journal.errors import JournalError

__all__ = ["Layout", "prepare_folder"]

_SEGMENT = re.compile(r"(\d{8})\.segment\.sqlite")


class Layout:
    """Names inside the folder of one journal."""

    def __init__(self, folder: Path) -> None:
        """Name what is in `folder`, whether it is there or not."""
        self.folder = folder
        self.lock = folder / "lock"
        self.head = folder / "head"
        self.newest_snapshot = folder / "newest.snapshot"

    def segment(self, number: int) -> Path:
        """Return the path of segment `number`, counted from 1."""
        return self.folder / f"{number:08d}.segment.sqlite"

    def segments(self) -> list[Path]:
        """Return the segments that are there, oldest first."""
        return sorted(path for path in self.folder.iterdir() if _SEGMENT.fullmatch(path.name))


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


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` survive a power cut."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
