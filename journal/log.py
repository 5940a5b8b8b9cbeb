"""The journal on disk. Group commit lives here: what is handed over while one commit runs rides in the next."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path

from queue_runtime.journal.chain import GENESIS, ChainCheck
from queue_runtime.journal.codec import CODEC, Encoded
from queue_runtime.journal.errors import EventRefused, JournalCorrupt, JournalError, JournalUnavailable
from queue_runtime.journal.events import Event
from queue_runtime.journal.folder import OwnedFolder
from queue_runtime.journal.settings import JournalSettings
from queue_runtime.journal.snapshot import Snapshot, pack_snapshot, read_snapshot, write_snapshot
from queue_runtime.journal.state import EngineState
from queue_runtime.journal.watchers import CommitCallback, Watchers
from queue_runtime.journal.writer import GroupEnd, Writer

__all__ = ["SqliteJournal"]

_PAGE_ROWS = 1_000  # of one read while loading: the loop gets its turn in between


class SqliteJournal:
    """A `Journal` in a folder of SQLite segments. `port.py` is its contract."""

    def __init__(self, owned: OwnedFolder, settings: JournalSettings) -> None:
        """For `open` alone."""
        self._owned = owned
        self._settings = settings
        self._writer = Writer(owned.layout.segment(1), settings)
        self._end: GroupEnd = (0, GENESIS)
        self._position = 0
        self._queue: list[Encoded] = []
        self._work = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._watchers = Watchers()
        self._failure: str | None = None
        self._is_closed = False

    @classmethod
    async def open(cls, path: Path | str, settings: JournalSettings | None = None) -> SqliteJournal:
        """Open the journal in the folder `path`, or begin one there.

        Raises:
            JournalOwned: another process has it open.
            JournalCorrupt: it ends before what was acknowledged.
            JournalUnavailable: the folder or its files cannot be used.
            JournalError: the folder is no journal, or one of a newer version.
        """
        owned = await asyncio.to_thread(OwnedFolder.take, Path(path))
        journal = cls(owned, settings or JournalSettings())
        try:
            await journal._start((owned.head.position, owned.head.chain))
        except BaseException:
            await journal._writer.close()
            owned.free()
            raise
        return journal

    async def _start(self, acknowledged: GroupEnd, *, after_failure: bool = False) -> None:
        """Open the writer, hold what it finds against what was acknowledged, and begin to commit."""
        await self._writer.open()
        end, position = self._writer.end, acknowledged[0]
        if end[0] < position:
            raise JournalCorrupt(end[0] + 1, f"the database ends before here, but {position} was acknowledged")
        if await self._writer.group_end(position) != acknowledged:
            raise JournalCorrupt(position, "the hash chain is not the one that was acknowledged")
        self._end = end
        self._position = end[0]
        if after_failure:
            await self._writer.try_writing()
        self._failure = None  # nothing above may leave a task behind: a second one would commit beside the first
        self._task = asyncio.create_task(self._commit_groups(), name="journal-writer")
        self._task.add_done_callback(self._writer_ended)

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
        self._check_usable()
        rows = [_encode(event, self._settings.max_event_bytes) for event in events]
        if rows:
            self._queue += rows
            self._position += len(rows)
            self._work.set()
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

    async def load(self) -> AsyncIterator[tuple[int, Event | EngineState]]:
        """Yield the newest snapshot (if any) with its position, then every durable event after it, in order.

        Raises:
            JournalCorrupt: names the first position that is not what was written.
            UnknownEvent: a newer version wrote it.
            JournalUnavailable: it cannot be read.
        """
        self._check_usable()
        until = self._end[0]
        snapshot = await asyncio.to_thread(read_snapshot, self._owned.layout.newest_snapshot)
        after = 0 if snapshot is None else snapshot.position
        if after > until:
            raise JournalCorrupt(until + 1, f"the database ends before here, but there is a snapshot of {after}")
        if snapshot is not None:
            yield after, snapshot.state
        check = ChainCheck(*await self._writer.group_end(after))
        while check.position < until:
            rows = await self._writer.page(check.position, until, _PAGE_ROWS)
            if not rows:
                raise JournalCorrupt(check.position + 1, f"nothing is stored from here to {until}")
            for position, chain, row in rows:
                check.feed(position, chain, row)
                if position > after:
                    yield position, CODEC.decode(row, position)
        check.end()

    async def snapshot(self, state: EngineState) -> None:
        """Store the state that all events so far fold into, so that the next start need not read them again.

        `state` is packed before this first waits: it may change afterwards.

        Raises:
            JournalUnavailable: it cannot be written, or its events could not.
        """
        self._check_usable()
        packed = pack_snapshot(Snapshot(self._position, state))
        await self.wait(self._position)  # a state is never ahead of its events
        path = self._owned.layout.newest_snapshot
        try:
            await asyncio.to_thread(write_snapshot, path, packed)
        except OSError as error:
            msg = f"snapshot {path} cannot be written: {error}"
            raise JournalUnavailable(msg) from error

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
            if self._failure is not None and failed_before is None:
                raise JournalUnavailable(self._failure)
            if self._failure is None:
                with suppress(JournalUnavailable, OSError):  # all is committed: the next start finds it in the WAL
                    await self._writer.checkpoint()
                    self._owned.head.write(*self._end)
                    self._owned.head.sync()
        finally:
            with suppress(sqlite3.Error):
                await self._writer.close()
            self._owned.free()

    async def _commit_groups(self) -> None:
        """Commit what is queued, group by group, until the journal closes."""
        while True:
            await self._work.wait()
            if not self._queue:
                return  # closing
            group, self._queue = self._queue, []
            self._watchers.commit_begins(self._position)
            if not self._is_closed:
                self._work.clear()
            await self._writer.commit(group)
            if self._settings.synchronous == "FULL":  # else the file might outlive what it speaks of
                self._owned.head.write(*self._writer.end)
            self._end = self._writer.end
            self._watchers.committed(self._end[0])

    def _writer_ended(self, task: asyncio.Task[None]) -> None:
        """Fail everything that waits, whatever the writer ended with; only `close` ends it in good order."""
        error = JournalUnavailable("cancelled") if task.cancelled() else task.exception()
        if error is None:
            return
        self._failure = f"a commit to {self._owned.layout.folder} failed: {error}"
        self._queue.clear()
        self._work.clear()
        self._position = self._end[0]
        self._watchers.failed(self._end[0], JournalUnavailable(self._failure))

    def _check_usable(self) -> None:
        if self._is_closed:
            msg = f"journal {self._owned.layout.folder} is closed; open it again"
            raise JournalError(msg)
        if self._failure is not None:
            raise JournalUnavailable(self._failure)


def _encode(event: Event, max_bytes: int) -> Encoded:
    row, covered = CODEC.encode(event)
    size = len(covered) + len(row[11] or b"")
    if size > max_bytes:
        msg = (
            f"{type(event).__name__} takes {size} bytes and the journal up to {max_bytes}; "
            "raise max_event_bytes, or let the message carry a reference to its body"
        )
        raise EventRefused(msg)
    return row, covered
