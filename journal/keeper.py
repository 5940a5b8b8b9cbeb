"""What a journal does beside its appends: snapshots, and the change from one segment to the next."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from pathlib import Path

from queue_runtime.journal.errors import JournalError, JournalUnavailable
from queue_runtime.journal.folder import OwnedFolder
from queue_runtime.journal.retention import retain
from queue_runtime.journal.rotation import Swap, prepare
from queue_runtime.journal.segments import number_of
from queue_runtime.journal.settings import JournalSettings
from queue_runtime.journal.snapshot import write_snapshot
from queue_runtime.journal.state import EngineState
from queue_runtime.journal.writer import Writer

__all__ = ["Keeper"]


class Keeper:
    """Does one thing at a time, each to its end, whoever stops waiting for it. Used on the journal's loop alone."""

    def __init__(self, owned: OwnedFolder, settings: JournalSettings, wake: Callable[[], None]) -> None:
        """Work in the owner's folder; `wake` has the commit loop look at `swap`."""
        self.swap: Swap | None = None
        """For the commit loop: carry this out at the end of the next group, and set it to None."""
        self._owned = owned
        self._settings = settings
        self._wake = wake
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._refusal: JournalError | None = None

    def accept(self) -> None:
        """A commit loop runs: it will carry out what is asked of it."""
        self._refusal = None

    def refuse(self, error: JournalError) -> None:
        """No commit loop runs: whoever waits for one, or comes to, is told so."""
        self._refusal = error
        swap, self.swap = self.swap, None
        if swap is not None:
            swap.fail(error)

    async def keep(self, packed: bytes, committed: Awaitable[None]) -> None:
        """Store a packed snapshot once its events are `committed`.

        Raises:
            JournalUnavailable: it, or they, cannot be written.
        """
        await committed  # a state is never ahead of its events
        await self._run(self._write(self._owned.layout.newest_snapshot, packed))

    async def rotate(self, state: EngineState, present: Callable[[], Writer]) -> None:
        """Go on in a new segment that begins with a snapshot of `state`, which its owner keeps up to date meanwhile.

        Raises:
            JournalUnavailable: the new segment or its snapshot cannot be written. Without a new segment the present one
                stays in use; without its snapshot the next start reads more.
        """
        await self._run(self._rotate(state, present))

    async def finish(self) -> None:
        """Return when all that was begun has ended."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _rotate(self, state: EngineState, present: Callable[[], Writer]) -> None:
        following = await prepare(self._owned.layout, present(), self._settings)
        swap = Swap(following, state)
        if self._refusal is not None:
            swap.fail(self._refusal)
        else:
            self.swap = swap
            self._wake()
        try:
            left = await swap.done
        except JournalError:
            await swap.discard()
            raise
        with suppress(sqlite3.Error):  # all of it is durable in its log: the next start empties that
            await left.close()
        await self._write(self._owned.layout.snapshot(number_of(following.path)), swap.packed)
        await self._in_thread(self._tidy)

    def _tidy(self) -> None:
        """A snapshot is on disk that is newer than the one between the segments before."""
        self._owned.head.sync()  # it must not speak of what is dropped
        self._owned.layout.newest_snapshot.unlink(missing_ok=True)
        retain(self._owned.layout, self._settings, lambda: self._refusal is not None)

    async def _write(self, path: Path, packed: bytes) -> None:
        try:
            await asyncio.to_thread(write_snapshot, path, packed)
        except OSError as error:
            msg = f"snapshot {path} cannot be written: {error}"
            raise JournalUnavailable(msg) from error

    async def _in_thread(self, work: Callable[[], None]) -> None:
        try:
            await asyncio.to_thread(work)
        except OSError as error:
            msg = f"journal folder {self._owned.layout.folder} cannot be tidied: {error}"
            raise JournalUnavailable(msg) from error

    async def _run(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(self._in_turn(work), name="journal-keeper")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.shield(task)  # half of it done by whoever is cancelled would be done again by nobody

    async def _in_turn(self, work: Coroutine[object, object, None]) -> None:
        async with self._turn:
            await work
