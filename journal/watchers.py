"""Those who want to know when a position is durable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeAlias

from queue_runtime.journal.errors import JournalUnavailable

__all__ = ["CommitCallback", "Watchers"]

CommitCallback: TypeAlias = Callable[[int, BaseException | None], None]
"""Called with the last durable position and, after a failed commit, the error."""


class Watchers:
    """Callbacks and waiters of one journal. Used on its loop alone."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._callbacks: list[CommitCallback] = []
        self._committing_until = 0
        self._committing: list[asyncio.Future[None]] = []
        self._queued: list[asyncio.Future[None]] = []

    def on_commit(self, callback: CommitCallback) -> None:
        """Have `callback` called after every commit, before those who wait go on."""
        self._callbacks.append(callback)

    def waiter(self, position: int) -> asyncio.Future[None]:
        """Return a future that is done when `position` is durable.

        Each waiter has its own: half a microsecond. One shared by a group would be cancelled for all by the first task
        that is cancelled while it waits, and to shield it takes nine.
        """
        future = asyncio.get_running_loop().create_future()
        (self._committing if position <= self._committing_until else self._queued).append(future)
        return future

    def commit_begins(self, until: int) -> None:
        """Remember who waits for the commit that begins now and ends with position `until`."""
        self._committing_until = until
        self._committing, self._queued = self._queued, []

    def committed(self, durable: int) -> None:
        """Tell everybody whom the commit that began last concerns."""
        waiters, self._committing = self._committing, []
        self._call(durable, None)
        for waiter in waiters:
            if not waiter.done():  # else cancelled
                waiter.set_result(None)

    def failed(self, durable: int, error: JournalUnavailable) -> None:
        """Tell everybody that nothing beyond `durable` will ever be."""
        waiters = self._committing + self._queued
        self._committing_until, self._committing, self._queued = durable, [], []
        self._call(durable, error)
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(JournalUnavailable(*error.args))  # one each: a traceback grows where it is raised

    def _call(self, durable: int, error: BaseException | None) -> None:
        for callback in self._callbacks:
            try:
                callback(durable, error)
            except Exception as raised:  # noqa: BLE001 - one observer must not stop the journal
                context = {"message": f"a commit callback of the journal raised: {callback!r}", "exception": raised}
                asyncio.get_running_loop().call_exception_handler(context)
