"""The journal on disk. Group commit lives here: what is handed over while one commit runs rides in the next."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import weakref
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path

from queue_runtime.journal.anchors import log_anchor
from queue_runtime.journal.chain import GENESIS
from queue_runtime.journal.codec import CODEC, Draft
from queue_runtime.journal.errors import JournalError, JournalUnavailable
from queue_runtime.journal.events import Event
from queue_runtime.journal.folder import OwnedFolder
from queue_runtime.journal.history import history
from queue_runtime.journal.keeper import Keeper
from queue_runtime.journal.rotation import is_due
from queue_runtime.journal.settings import JournalSettings
from queue_runtime.journal.snapshot import Snapshot, pack_snapshot
from queue_runtime.journal.state import EngineState
from queue_runtime.journal.watchers import CommitCallback, Watchers
from queue_runtime.journal.writer import GroupEnd, Writer

__all__ = ["SqliteJournal"]


class SqliteJournal:
    """A `Journal` in a folder of SQLite segments. `port.py` is its contract."""

    def __init__(self, owned: OwnedFolder, settings: JournalSettings) -> None:
        """For `open` alone."""
        self._owned = owned
        self.keys = owned.keys
        """The keys that are no longer in the state, by `KeysSealed`."""
        self._settings = settings
        self._max_event_bytes = settings.max_event_bytes
        self._writer = Writer(owned.layout.segments()[-1], settings)
        self._end: GroupEnd = (0, GENESIS)
        self._position = 0
        self._queue: list[Draft] = []
        self._work = asyncio.Event()
        self._keeper = Keeper(owned, settings, self._work.set)
        self._task: asyncio.Task[None] | None = None
        self._watchers = Watchers()
        self._failure: str | None = None
        self._is_closed = False

    @classmethod
    async def open(cls, path: Path | str, settings: JournalSettings | None = None) -> SqliteJournal:
        """Open the journal in the folder `path`, or begin one there.

        Raises:
            JournalOwned: another process has it open.
            JournalCorrupt: it ends before what was acknowledged, or its head is not signed with the key.
            JournalUnavailable: the folder or its files cannot be used.
            JournalError: the folder is no journal, or one of a newer version.
        """
        settings = settings or JournalSettings()
        owned = await asyncio.to_thread(OwnedFolder.take, Path(path), settings.head_key)
        journal = cls(owned, settings)
        try:
            await journal._start((owned.head.position, owned.head.chain))
            await asyncio.to_thread(owned.clear_up, journal._writer.path)
        except BaseException:
            await journal._writer.close()
            owned.free()
            raise
        _opened.add(journal)
        return journal

    async def _start(self, acknowledged: GroupEnd, *, after_failure: bool = False) -> None:
        """Open the writer, hold what it finds against what was acknowledged, and begin to commit."""
        path = await asyncio.to_thread(self._owned.present_segment, acknowledged)
        self._writer = Writer(path, self._settings)
        await self._writer.open()
        end = self._writer.end
        self._end = end
        self._position = end[0]
        if after_failure:
            await self._writer.try_writing()
        self._keeper.accept()
        self._failure = None  # nothing above may leave a task behind: a second one would commit beside the first
        self._task = asyncio.create_task(self._commit_groups(), name="journal-writer")
        self._task.add_done_callback(self._writer_ended)
        log_anchor(end)

    @property
    def position(self) -> int:
        """The last position handed out; 0 in a new journal."""
        return self._position

    @property
    def durable(self) -> int:
        """The last position that is committed."""
        return self._end[0]

    def append(self, events: Sequence[Event]) -> int:
        """Hand over events, all or nothing, and return the position of the last. Never waits.

        Raises:
            EventRefused: one of them cannot be stored; none is taken.
            JournalUnavailable: an earlier commit failed; nothing is taken until `recover` has succeeded.
            JournalError: it is closed.
        """
        if self._is_closed or self._failure is not None:
            self._check_usable()
        draft, most = CODEC.draft, self._max_event_bytes
        drafts = [draft(event, most) for event in events]
        if drafts:
            if not self._queue:  # else the commit loop knows
                self._work.set()
            self._queue += drafts
            self._position += len(drafts)
        return self._position

    def on_commit(self, callback: CommitCallback) -> None:
        """Have `callback(durable, error)` called on the loop after every commit; after a failure with the error.

        It runs before those who `wait` go on. What it raises goes to the loop's exception handler and stops nothing.
        """
        self._watchers.on_commit(callback)

    async def wait(self, position: int) -> None:
        """Return when `position` is durable. Cancelling one waiter disturbs no other.

        Raises:
            JournalUnavailable: the commit that carried it failed.
            ValueError: no such position was handed out.
        """
        if position <= self._end[0]:
            return
        self._check_usable()
        if position > self._position:
            msg = f"position {position} was never handed out; the last is {self._position}"
            raise ValueError(msg)
        await self._watchers.waiter(position)

    def load(self) -> AsyncIterator[tuple[int, Event | EngineState]]:
        """Yield the newest snapshot (if any) with its position, then every durable event after it, in order.

        Raises:
            JournalCorrupt: names the first position that is not what was written.
            UnknownEvent: a newer version wrote it.
            JournalUnavailable: it cannot be read.
        """
        self._check_usable()
        return history(self._owned.layout, self._end[0])

    async def snapshot(self, state: EngineState) -> None:
        """Store the state that all events so far fold into, so that the next start need not read them again.

        Begins a new segment where the present one is too large or too old. Several calls take their turns; one that is
        cancelled goes on without its caller.

        Raises:
            JournalUnavailable: it cannot be written, or its events could not.
        """
        self._check_usable()
        if is_due(self._writer, self._position, self._settings):
            await self._keeper.rotate(state, lambda: self._writer)
        else:
            packed = pack_snapshot(Snapshot(self._position, state))
            await self._keeper.keep(packed, self.wait(self._position))
        log_anchor(self._end)

    async def recover(self) -> None:
        """After a failed commit: reopen, and check that what was durable still is. May be called again and again.

        Positions beyond it are given out again - unless the commit that failed turns out to be on disk after all: then
        `durable` has grown, and `load` tells what is there. Does nothing while all is well.

        Raises:
            JournalUnavailable: it still cannot be written.
            JournalCorrupt: something durable is gone.
        """
        if self._failure is None or self._is_closed:
            self._check_usable()
            return
        with suppress(sqlite3.Error):
            await self._writer.close()
        await self._start(self._end, after_failure=True)

    async def close(self) -> None:
        """Commit what was handed over, and free the lock. Twice is harmless.

        Raises:
            JournalUnavailable: what was handed over could not be committed; the lock is free nevertheless.
        """
        if self._is_closed:
            return
        self._is_closed = True
        self._work.set()
        failed_before = self._failure
        try:
            if self._task is not None:
                await asyncio.wait([self._task])
            self._keeper.refuse(JournalError(f"journal {self._owned.layout.folder} is closed"))
            await self._keeper.finish()
            if self._failure is not None and failed_before is None:
                raise JournalUnavailable(self._failure)
            if self._failure is None:
                with suppress(JournalUnavailable, OSError):  # all is committed: the next start finds it in the WAL
                    await self._writer.checkpoint()
                    self._owned.head.write(*self._end)
                    self._owned.head.sync()
                    log_anchor(self._end)
        finally:
            with suppress(sqlite3.Error):
                await self._writer.close()
            self._owned.free()

    async def _commit_groups(self) -> None:
        """Commit what is queued, group by group, until the journal closes."""
        while True:
            await self._work.wait()
            swap = self._keeper.swap
            if not self._queue and swap is None:
                return  # closing
            if swap is not None and not swap.pack(self._position):  # of the end of the group that is taken next
                swap = self._keeper.swap = None
            group, self._queue = self._queue, []
            if not self._is_closed:
                self._work.clear()
            if group:
                self._watchers.commit_begins(self._position)
                await self._writer.commit(group)
                if self._settings.synchronous == "FULL":  # else the file might outlive what it speaks of
                    self._owned.head.write(*self._writer.end)
                self._end = self._writer.end
                self._watchers.committed(self._end[0])
            if swap is not None:
                self._writer = await swap.carry_out(self._writer, self._settings.synchronous)
                self._owned.head.write(*self._end)  # durable in either mode by now
                self._keeper.swap = None

    def _writer_ended(self, task: asyncio.Task[None]) -> None:
        """Fail everything that waits, whatever the writer ended with; only `close` ends it in good order."""
        error = JournalUnavailable("cancelled") if task.cancelled() else task.exception()
        if error is None:
            return
        self._failure = f"a commit to {self._owned.layout.folder} failed: {error}"
        self._queue.clear()
        self._work.clear()
        self._position = self._end[0]
        self._keeper.refuse(JournalUnavailable(self._failure))
        self._watchers.failed(self._end[0], JournalUnavailable(self._failure))

    def _check_usable(self) -> None:
        if self._is_closed:
            msg = f"journal {self._owned.layout.folder} is closed, or another process forked this one; open it again"
            raise JournalError(msg)
        if self._failure is not None:
            raise JournalUnavailable(self._failure)


_opened: weakref.WeakSet[SqliteJournal] = weakref.WeakSet()


def _close_in_child() -> None:
    """Shut our copies in a forked child, which may run on in a copy of the loop: one process writes a journal."""
    for journal in list(_opened):
        # `close` would write.
        journal._is_closed = True  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - of this file


os.register_at_fork(after_in_child=_close_in_child)
