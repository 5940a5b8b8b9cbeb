"""What a journal promises. `log.py` keeps it on disk, `memory.py` in memory; `conformance.py` holds both to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

from queue_runtime.journal.events import Event
from queue_runtime.journal.settled_keys import KeyBatch, SettledKey
from queue_runtime.journal.state import EngineState

__all__ = ["Journal", "KeyWindow"]


class KeyWindow(Protocol):
    """The older part of the idempotency window: the keys that left live state. Used on the journal's loop."""

    def find(self, digest: bytes) -> SettledKey | None:
        """Return what is known of a key, by its digest; never waits for more than one read of the disk.

        What cannot be read counts as not there, and is logged.
        """
        ...

    def gaps(self, until: int, since: int) -> Sequence[tuple[int, int]]:
        """Return the positions (after, until] of which keys settled at `since` or later should be there and are not.

        Args:
            until: the last position that the journal says is covered.
            since: an instant, in microseconds.
        """
        ...

    async def seal(self, batch: KeyBatch) -> None:
        """Make a batch durable and have it found. A batch that is there already changes nothing.

        Not beside another `seal` or `compact`; may be cancelled, which takes as long as one short piece of the work.

        Raises:
            JournalUnavailable: it cannot be written; it may be tried again.
        """
        ...

    async def compact(self, since: int) -> None:
        """Forget keys that were settled before `since`, some of them later, and keep look-ups fast. As `seal`.

        Raises:
            JournalUnavailable: it cannot be written; it may be tried again.
        """
        ...


class Journal(Protocol):
    """An append-only log of events with one writer. All methods are called on the loop that opened it."""

    @property
    def position(self) -> int:
        """The last position handed out; 0 in a new journal. Positions have no gaps."""
        ...

    @property
    def durable(self) -> int:
        """The last position that survives a power cut."""
        ...

    @property
    def keys(self) -> KeyWindow:
        """The keys that are no longer in the state, by `KeysSealed`. Closes with the journal."""
        ...

    def append(self, events: Sequence[Event]) -> int:
        """Hand over events, all or nothing, and return the position of the last. Never waits.

        What is handed over while one commit runs rides in the next.

        Raises:
            JournalUnavailable: an earlier commit failed; nothing is taken until `recover` has succeeded.
            EventRefused: an event cannot be stored: a wrong type, too large.
            JournalError: it is closed.
        """
        ...

    def on_commit(self, callback: Callable[[int, BaseException | None], None]) -> None:
        """Have `callback(durable, error)` called on the loop after every commit; after a failure with the error.

        It runs before those who `wait` go on; what it raises goes to the loop's exception handler and stops nothing.
        After a failure every position beyond `durable` is gone, and will be given out again after `recover`.
        """
        ...

    async def wait(self, position: int) -> None:
        """Return when `position` is durable. Cancelling one waiter disturbs no other.

        Raises:
            ValueError: no such position was handed out.
            JournalUnavailable: the commit that carried it failed.
        """
        ...

    def load(self) -> AsyncIterator[tuple[int, Event | EngineState]]:
        """Yield the newest snapshot (if any) with its position, then every durable event after it, in order.

        Raises:
            JournalCorrupt: names the first position that is not what was written.
        """
        ...

    async def snapshot(self, state: EngineState) -> None:
        """Keep `state`, that all events so far fold into, so that the next `load` need not yield them again.

        `state` has to be the live one: while this runs it may change, by what is appended and by nothing else, for the
        journal packs it at an instant of its own choice between two turns of the loop. Afterwards it is no concern of
        the journal's. A snapshot never replaces an event; one that cannot be read is left out of `load`, which yields
        events instead. A journal in files may begin a new one with it.

        Raises:
            JournalUnavailable: it cannot be written, or the events before it could not. Appending goes on.
        """
        ...

    async def recover(self) -> None:
        """After a failed commit: reopen, and check that what was durable still is. May be called again and again.

        In rare cases the commit that failed is on disk after all; then `durable` has grown. `load` tells: fold again.

        Raises:
            JournalUnavailable: it still cannot be written.
        """
        ...

    async def close(self) -> None:
        """Commit what was handed over, and free the lock. Twice is harmless.

        Raises:
            JournalUnavailable: what was handed over could not be committed; the lock is free nevertheless.
        """
        ...
