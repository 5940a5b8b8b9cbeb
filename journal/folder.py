"""A journal's folder in the hands of its one owner: the lock, the head, and the names of everything else."""

from __future__ import annotations

import contextlib
from pathlib import Path

from queue_runtime.journal.errors import JournalUnavailable
from queue_runtime.journal.head import HeadFile
from queue_runtime.journal.lock import OwnerLock
from queue_runtime.journal.segments import Layout, create_file, prepare_folder, sync_folder

__all__ = ["OwnedFolder"]


class OwnedFolder:
    """What has to be given back when a journal closes. Blocks on the disk: not for the event loop."""

    def __init__(self, layout: Layout, lock: OwnerLock, head: HeadFile) -> None:
        """For `take` alone."""
        self.layout = layout
        self.head = head
        self._lock = lock

    @classmethod
    def take(cls, path: Path) -> OwnedFolder:
        """Make the folder, or take it over.

        Raises:
            JournalOwned: another process has it.
            JournalCorrupt: its head is gone or cannot be read.
            JournalUnavailable: the folder or its files cannot be used.
            JournalError: the folder is no journal's.
        """
        with contextlib.ExitStack() as undo:
            try:
                layout = prepare_folder(path)
                lock = OwnerLock(layout.lock)
                undo.callback(lock.release)
                if layout.segments():
                    head = HeadFile(layout.head)
                else:  # the head comes first, so that a journal without one is known to have lost it
                    head = HeadFile.create(layout.head)
                    create_file(layout.segment(1))
                    sync_folder(layout.folder)
            except OSError as error:
                msg = f"journal folder {path} cannot be used: {error}"
                raise JournalUnavailable(msg) from error
            undo.pop_all()
        return cls(layout, lock, head)

    def free(self) -> None:
        """Give the folder back. Twice is harmless."""
        self.head.close()
        self._lock.release()
