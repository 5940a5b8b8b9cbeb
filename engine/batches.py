"""Gathers single requests into calls: what comes while one call runs, or within a short time, goes in the next."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

__all__ = ["Batches"]

T = TypeVar("T")

logger = logging.getLogger("queue_runtime.engine")


class Batches(Generic[T]):
    """One queue's batch of requests of one sort.

    Args:
        call: performs a batch, and deals with every failure itself; one call runs at a time, so order is kept.
        max_batch: a full batch goes at once.
        max_age_s: a batch that is not full goes after this long.
    """

    def __init__(self, call: Callable[[list[T]], Awaitable[None]], max_batch: int, max_age_s: float) -> None:
        self._call = call
        self._max_batch = max_batch
        self._max_age_s = max_age_s
        self._items: list[T] = []
        self._timer: asyncio.TimerHandle | None = None
        self._running: asyncio.Task[None] | None = None

    def add(self, item: T) -> None:
        """Have `item` performed with others."""
        self._items.append(item)
        if self._running is not None:
            return
        if len(self._items) >= self._max_batch or self._max_age_s <= 0:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._max_age_s, self.flush)

    def flush(self) -> None:
        """Perform what is gathered, without waiting for more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._items and self._running is None:
            self._running = asyncio.get_running_loop().create_task(self._run())
            self._running.add_done_callback(self._ended)

    async def _run(self) -> None:
        while self._items:
            batch, self._items = self._items[: self._max_batch], self._items[self._max_batch :]
            await self._call(batch)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running = None
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a batch was not performed, which is a fault of this library", exc_info=error)
        if not task.cancelled():
            self.flush()  # something may have been added after the last look at the items

    async def idle(self) -> None:
        """Return when everything that was added has been performed."""
        self.flush()
        while self._running is not None:
            await asyncio.wait((self._running,))
            await asyncio.sleep(0)  # its done callback runs first

    async def stop(self) -> None:
        """Drop what is gathered, and cancel the call that runs."""
        self._items.clear()
        if self._timer is not None:
            self._timer.cancel()
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait((self._running,))
