"""A journal's folder in the hands of its one owner: the lock, the head, and the names of everything else."""

from __future__ import annotations

import contextlib
from pathlib import Path

from queue_runtime.journal.dedup import KeyFiles
from queue_runtime.journal.errors import JournalCorrupt, JournalError, JournalUnavailable
from queue_runtime.journal.head import HeadFile
from queue_runtime.journal.lock import OwnerLock
from queue_runtime.journal.segment_file import Shelf, empty_log
from queue_runtime.journal.segments import Layout, create_file, prepare_folder, remove_segment, sync_folder
from queue_runtime.journal.writer import GroupEnd

__all__ = ["OwnedFolder"]


class OwnedFolder:
    """What has to be given back when a journal closes. Blocks on the disk: not for the event loop."""

    def __init__(self, layout: Layout, lock: OwnerLock, head: HeadFile) -> None:
        """For `take` alone."""
        self.layout = layout
        self.head = head
        self.keys = KeyFiles(layout.folder)
        self._lock = lock

    @classmethod
    def take(cls, path: Path, head_key: bytes | None) -> OwnedFolder:
        """Make the folder, or take it over.

        Raises:
            JournalOwned: another process has it.
            JournalCorrupt: its head is gone, cannot be read, or is not signed with the key; or a repair goes on.
            JournalUnavailable: the folder or its files cannot be used.
            JournalError: the folder is no journal's.
        """
        with contextlib.ExitStack() as undo:
            try:
                layout = prepare_folder(path)
                lock = OwnerLock(layout.lock)
                undo.callback(lock.release)
                if layout.repair.exists():
                    raise JournalCorrupt(
                        1, f"the repair in {layout.repair} is not finished; run `journal repair` again"
                    )
                for half in layout.left_over():
                    half.unlink()
                if layout.segments():
                    head = HeadFile(layout.head, head_key)
                else:  # the head comes first, so that a journal without one is known to have lost it
                    head = HeadFile.create(layout.head, head_key)
                    create_file(layout.segment(1))
                    sync_folder(layout.folder)
                owned = cls(layout, lock, head)
            except OSError as error:
                msg = f"journal folder {path} cannot be used: {error}"
                raise JournalUnavailable(msg) from error
            undo.pop_all()
        return owned

    def present_segment(self, acknowledged: GroupEnd) -> Path:
        """Return the segment to go on in, once what was acknowledged proves to be there.

        Raises:
            JournalCorrupt: it is not; names the first position that is gone, or is not what it was.
            JournalUnavailable: it cannot be read.
        """
        position = acknowledged[0]
        shelf = Shelf(self.layout)
        try:
            present = shelf.newest()
            if present.end() < position:
                raise JournalCorrupt(
                    present.end() + 1, f"the database ends before here, but {position} was acknowledged"
                )
            if shelf.since(position)[0].group_end(position) != acknowledged:
                raise JournalCorrupt(position, "the hash chain is not the one that was acknowledged")
            return present.path
        finally:
            shelf.close()

    def clear_up(self, present: Path) -> None:
        """Remove a segment that was never begun, and empty the logs that a dead process left of sealed ones.

        Raises:
            JournalUnavailable: the disk is broken.
        """
        for path in self.layout.segments():
            if path < present:
                with contextlib.suppress(JournalError):  # they can be read with their logs
                    empty_log(path)
            elif path > present:
                try:
                    remove_segment(path)
                except OSError as error:
                    msg = f"segment {path}, which was never begun, cannot be removed: {error}"
                    raise JournalUnavailable(msg) from error

    def free(self) -> None:
        """Give the folder back. Twice is harmless."""
        self.keys.close()
        self.head.close()
        self._lock.release()
