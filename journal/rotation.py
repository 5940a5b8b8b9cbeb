"""From one segment to the next, beside the appends: the next one is made first, and taken at the end of a group.

The state that the new segment begins with is packed at the very position where the segments meet. That instant is the
commit loop's to choose: the group that it takes then is the last of the old segment.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import suppress

from queue_runtime.journal.errors import JournalError, JournalUnavailable
from queue_runtime.journal.segments import Layout, create_file, number_of, remove_segment, stored_bytes, sync_folder
from queue_runtime.journal.settings import JournalSettings
from queue_runtime.journal.snapshot import Snapshot, pack_snapshot
from queue_runtime.journal.state import EngineState
from queue_runtime.journal.writer import Writer

__all__ = ["Swap", "is_due", "prepare"]


def is_due(writer: Writer, position: int, settings: JournalSettings) -> bool:
    """Tell whether a segment that will end with `position` is too large or too old; one without a row never is.

    Raises:
        JournalUnavailable: its size cannot be asked.
    """
    if writer.base is not None and position <= writer.base[0]:
        return False
    try:
        is_large = stored_bytes(writer.path) >= settings.segment_bytes
    except OSError as error:
        msg = f"the size of {writer.path} cannot be asked: {error}"
        raise JournalUnavailable(msg) from error
    return is_large or _now() - writer.created_at >= settings.segment_age_s * 1_000_000


async def prepare(layout: Layout, after: Writer, settings: JournalSettings) -> Writer:
    """Make the segment that is to follow that of `after`, and open it.

    Raises:
        JournalUnavailable: the disk is full or broken; nothing is left of it, and nothing else changed.
    """
    path = layout.segment(number_of(after.path) + 1)
    following = Writer(path, settings)

    def make() -> None:
        remove_segment(path)  # what an earlier try could not remove
        create_file(path)
        sync_folder(layout.folder)

    try:
        await asyncio.to_thread(make)
        await following.open()
    except (OSError, JournalError) as error:
        with suppress(OSError):  # it follows nothing: no segment to anybody
            await _remove(following)
        msg = f"segment {path} cannot be made: {error}"
        raise JournalUnavailable(msg) from error
    return following


async def _remove(writer: Writer) -> None:
    """Close a segment that is not to be one, and remove it.

    Raises:
        OSError: it cannot be removed.
    """
    with suppress(sqlite3.Error):
        await writer.close()
    await asyncio.to_thread(remove_segment, writer.path)


class Swap:
    """A segment that stands ready, and the state that it will begin with. Used on the journal's loop alone."""

    def __init__(self, following: Writer, state: EngineState) -> None:
        """Take the writer of the next segment, and the live state, which follows what is appended until `packed`."""
        self.following = following
        self.packed = b""
        """The snapshot of the position where the segments meet."""
        self.done: asyncio.Future[Writer] = asyncio.get_running_loop().create_future()
        """The writer of the segment that was left, once it was."""
        self._state = state
        self._is_tried = False

    def pack(self, position: int) -> bool:
        """Pack the state at `position`, where the segments are to meet; False if it is not the state there."""
        try:
            if self._state.position != position:  # a commit failed, and its owner had to fold anew
                msg = f"the state to be kept is of position {self._state.position} and the journal at {position}"
                raise JournalUnavailable(msg)  # noqa: TRY301 - told to the one who asked, as what packing raises is
            self.packed = pack_snapshot(Snapshot(position, self._state))
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a snapshot, appends go on
            self.fail(error)
        return not self.done.done()

    async def carry_out(self, left: Writer, synchronous: str) -> Writer:
        """Begin the next segment where `left` ended; return the one to go on with: it, or `left` if that failed.

        Raises:
            JournalUnavailable: it may have begun or not; to open the journal again tells.
        """
        self._is_tried = True
        try:
            if synchronous != "FULL":  # what the next segment follows must not be gone after a power cut
                await left.checkpoint()
            await self.following.begin(left.end, _now())
        except JournalUnavailable as error:
            await self._take_back(error)
            self.fail(error)
            return left
        self.done.set_result(left)
        return self.following

    async def discard(self) -> None:
        """Leave the next segment out, unless `carry_out` was tried: what became of it then is no longer ours to say."""
        if not self._is_tried:
            with suppress(OSError):  # it follows nothing: no segment to anybody
                await _remove(self.following)

    async def _take_back(self, error: JournalUnavailable) -> None:
        """It may have begun all the same: rows appended to the one before would then be missing between the two."""
        try:
            await _remove(self.following)
        except OSError as second:
            msg = f"{error}; and {self.following.path} cannot be removed: {second}"
            raise JournalUnavailable(msg) from second

    def fail(self, error: Exception) -> None:
        """Tell whoever asked that there was no swap. Twice is harmless."""
        if not self.done.done():
            self.done.set_exception(error)


def _now() -> int:
    return time.time_ns() // 1_000
