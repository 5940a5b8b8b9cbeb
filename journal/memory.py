"""A journal that lives as long as its process, for tests. It passes the suite that the one on disk passes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from queue_runtime.journal.codec import CODEC
from queue_runtime.journal.errors import JournalError, JournalUnavailable
from queue_runtime.journal.events import Event
from queue_runtime.journal.settled_keys import KeyBatch, SettledKey
from queue_runtime.journal.snapshot import Snapshot, pack_snapshot, unpack_snapshot
from queue_runtime.journal.state import EngineState
from queue_runtime.journal.watchers import CommitCallback, Watchers

__all__ = ["MemoryJournal", "MemoryKeys"]


class MemoryKeys:
    """A `KeyWindow` without a disk; `port.py` is its contract."""

    def __init__(self) -> None:
        """Begin without keys."""
        self._entries: dict[bytes, SettledKey] = {}
        self.is_writable = True
        """False: nothing can be sealed, as on a full disk."""

    def find(self, digest: bytes) -> SettledKey | None:
        """Return what is known of a key, by its digest."""
        return self._entries.get(digest)

    def gaps(self, until: int, since: int) -> Sequence[tuple[int, int]]:
        """Nothing is ever missing."""
        del until, since
        return ()

    async def seal(self, batch: KeyBatch) -> None:
        """Keep a batch.

        Raises:
            JournalUnavailable: as `is_writable` says.
        """
        if not self.is_writable:
            msg = "the key window is not writable, as is_writable says"
            raise JournalUnavailable(msg)
        self._entries.update((digest, SettledKey.unpack(entry)) for digest, entry in batch.entries.items())

    async def compact(self, since: int) -> None:
        """Forget what was settled before `since`."""
        self._entries = {digest: key for digest, key in self._entries.items() if key.at >= since}


class MemoryJournal:
    """A `Journal` without a disk, and with knobs for what disks do. `port.py` is its contract.

    A commit takes one turn of the loop. `MemoryJournal(events=old.events, packed=old.packed, keys=old.keys)` is `old`
    after a crash.
    """

    def __init__(
        self,
        *,
        events: Sequence[Event] = (),
        packed: bytes | None = None,
        keys: MemoryKeys | None = None,
        auto_commit: bool = True,
    ) -> None:
        """Begin with durable `events`, the snapshot in `packed`, and the `keys` that left its state.

        Without `auto_commit` nothing is committed before `release`, as after `hold`.
        """
        self._events = list(events)
        self.packed = packed
        """The newest snapshot, as a file would hold it; None: `load` yields every event."""
        self.keys = keys if keys is not None else MemoryKeys()
        """The keys that are no longer in the state, by `KeysSealed`."""
        self._queue: list[Event] = []
        self._watchers = Watchers()
        self._is_held = not auto_commit
        self._is_scheduled = False
        self._is_closed = False
        self._failure: str | None = None
        self._next_error: JournalUnavailable | None = None
        self._next_lands = False
        self._landed: list[Event] = []
        self.is_writable = True
        """False: every commit fails and so does `recover`, as on a full disk."""

    @property
    def events(self) -> tuple[Event, ...]:
        """Every durable event; the first has position 1."""
        return tuple(self._events)

    @property
    def position(self) -> int:
        """The last position handed out; 0 in a new journal."""
        return len(self._events) + len(self._queue)

    @property
    def durable(self) -> int:
        """The last position that is committed."""
        return len(self._events)

    def append(self, events: Sequence[Event]) -> int:
        """Hand over events, all or nothing, and return the position of the last.

        Raises:
            JournalError: as `Journal.append` says.
        """
        _check_usable(self._failure, is_closed=self._is_closed)
        for event in events:
            CODEC.encode(event)  # refuses what a disk would
        self._queue += events
        if not self._is_held:
            self.release()
        return self.position

    def on_commit(self, callback: CommitCallback) -> None:
        """Have `callback(durable, error)` called after every commit."""
        self._watchers.on_commit(callback)

    async def wait(self, position: int) -> None:
        """Return when `position` is durable.

        Raises:
            JournalError: as `Journal.wait` says.
        """
        if position <= self.durable:
            return
        _check_usable(self._failure, is_closed=self._is_closed)
        if position > self.position:
            msg = f"position {position} was never handed out; the last is {self.position}"
            raise ValueError(msg)
        await self._watchers.waiter(position)

    async def load(self) -> AsyncIterator[tuple[int, Event | EngineState]]:
        """Yield the newest snapshot (if any) with its position, then every durable event after it, in order."""
        _check_usable(self._failure, is_closed=self._is_closed)
        events, after = self.events, 0
        if self.packed is not None:
            after, state = unpack_snapshot(self.packed)
            yield after, state
        for position, event in enumerate(events[after:], start=after + 1):
            yield position, event

    async def snapshot(self, state: EngineState) -> None:
        """Keep the state that all events so far fold into, packed: nobody can change it afterwards.

        Raises:
            JournalError: as `Journal.snapshot` says.
        """
        _check_usable(self._failure, is_closed=self._is_closed)
        packed = pack_snapshot(Snapshot(self.position, state))
        await self.wait(self.position)
        self.packed = packed

    async def recover(self) -> None:
        """After a failed commit: go on, unless `is_writable` is False.

        Raises:
            JournalError: as `Journal.recover` says.
        """
        if self._failure is None or self._is_closed:
            _check_usable(self._failure, is_closed=self._is_closed)
            return
        if not self.is_writable:
            raise JournalUnavailable(self._failure)
        self._failure = None
        self._events += self._landed
        self._landed = []

    async def close(self) -> None:
        """Commit what was handed over, held or not. Twice is harmless.

        Raises:
            JournalError: as `Journal.close` says.
        """
        if self._is_closed:
            return
        self._is_closed, self._is_held = True, False
        if self._failure is None and self._queue:
            self._commit()
            if self._failure is not None:
                raise JournalUnavailable(self._failure)

    def hold(self) -> None:
        """Commit nothing until `release`."""
        self._is_held = True

    def release(self) -> None:
        """Commit what was held in the next turn of the loop, and everything after it as usual."""
        self._is_held = False
        if self._queue and not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._commit)

    def fail_next(self, error: JournalUnavailable | None = None, *, lands: bool = False) -> None:
        """Let the next commit fail with `error`. With `lands` its events are found durable after `recover`."""
        self._next_error = error or JournalUnavailable("the commit failed, as fail_next asked")
        self._next_lands = lands

    def _commit(self) -> None:
        self._is_scheduled = False
        if self._is_held or not self._queue:
            return
        group, self._queue = self._queue, []
        self._watchers.commit_begins(self.durable + len(group))
        error, self._next_error = self._next_error, None
        if not self.is_writable:
            error = error or JournalUnavailable("the journal is not writable, as is_writable says")
        if error is None:
            self._events += group
            self._watchers.committed(self.durable)
        else:
            self._landed = group if self._next_lands else []
            self._failure = str(error)
            self._watchers.failed(self.durable, error)


def _check_usable(failure: str | None, *, is_closed: bool) -> None:
    if is_closed:
        msg = "the journal is closed; make another one with its events"
        raise JournalError(msg)
    if failure is not None:
        raise JournalUnavailable(failure)
