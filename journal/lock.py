"""The lock on a journal's folder: one writer, across processes. It frees itself however its owner dies."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
import weakref
from pathlib import Path
from typing import cast

from queue_runtime.journal.errors import JournalOwned

__all__ = ["OwnerLock"]


class OwnerLock:
    """`flock` on a file of its own: SQLite's exclusive mode would shut readers out too."""

    def __init__(self, path: Path) -> None:
        """Take the lock at `path`.

        Raises:
            JournalOwned: another process holds it, or another journal of this one.
            OSError: the file cannot be opened.
        """
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid, host = _owner(os.pread(self._fd, 4096, 0))
            os.close(self._fd)
            raise JournalOwned(path.parent, pid, host) from None
        owner = {"pid": os.getpid(), "host": socket.gethostname(), "started_at": time.time_ns() // 1_000}
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, json.dumps(owner).encode(), 0)
        _held.add(self)

    def release(self) -> None:
        """Free the lock. Twice is harmless."""
        if self in _held:
            _held.discard(self)
            os.close(self._fd)


def _owner(content: bytes) -> tuple[int, str]:
    """Return what the owner wrote about itself; it may be writing it just now."""
    try:
        owner = cast("dict[str, object]", json.loads(content))
        return int(str(owner["pid"])), str(owner["host"])
    except (ValueError, KeyError, TypeError):
        return 0, "an unknown host"


_held: weakref.WeakSet[OwnerLock] = weakref.WeakSet()


def _let_go_in_child() -> None:
    """Close our copies in a forked child: a lock that is held by a child outlives the engine that took it."""
    for lock in list(_held):
        lock.release()


os.register_at_fork(after_in_child=_let_go_in_child)
