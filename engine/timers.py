"""One task that wakes up when the next thing is due: back-offs, expiries, breakers, parked sessions."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from collections.abc import Callable

from queue_runtime.providers.clock import Clock

__all__ = ["Timers"]

logger = logging.getLogger("queue_runtime.engine")


class Timers:
    """Calls back at an instant. Used on one loop; a callback is plain and quick."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._task: asyncio.Task[None] | None = None

    def at(self, when: int, callback: Callable[[], None]) -> None:
        """Call `callback` once, at `when` (microseconds since the epoch) or soon after."""
        heapq.heappush(self._heap, (when, next(self._order), callback))
        if self._heap[0][0] == when:
            self._restart()

    def after(self, seconds: float, callback: Callable[[], None]) -> None:
        """Call `callback` once, `seconds` from now."""
        self.at(self._clock.now() + round(seconds * 1_000_000), callback)

    def _restart(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._task = asyncio.get_running_loop().create_task(self._run(), name="queue-runtime timers")

    async def _run(self) -> None:
        while self._heap:
            delay_us = self._heap[0][0] - self._clock.now()
            if delay_us > 0:
                await self._clock.sleep(delay_us / 1_000_000)
                continue
            _, _, callback = heapq.heappop(self._heap)
            callback()
        self._task = None

    async def stop(self) -> None:
        """Forget everything that is not due yet, and return when nothing waits any more."""
        self._heap.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
            self._task = None
