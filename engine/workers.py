"""A lazy pool of tasks, so that work which never waits costs no task of its own.

A worker drains what is ready. If an item makes it wait, the next worker is woken; a worker with nothing to do sleeps.
Workers are real tasks, so time-outs, task groups and everything else of asyncio works inside an item.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar, cast

__all__ = ["Workers"]

T = TypeVar("T")

logger = logging.getLogger("queue_runtime.engine")

_GRACE_S = 1.0


class Workers(Generic[T]):
    """Performs items, at most `limit` at a time. Used on one loop.

    Args:
        perform: deals with every failure itself.
        limit: how many workers there may be.

    Attributes:
        is_closing: every worker is being cancelled, and none takes another item.
    """

    def __init__(self, perform: Callable[[T], Awaitable[None]], limit: int) -> None:
        self._perform = perform
        self._limit = limit
        self._ready: deque[T] = deque()
        self._busy = 0
        self._sleeping: deque[asyncio.Future[None]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._loop = asyncio.get_running_loop()
        self.is_closing = False

    def add(self, item: T) -> None:
        """Have an item performed as soon as a worker is free."""
        self._ready.append(item)
        self._idle.clear()
        if len(self._ready) == 1:
            self._loop.call_soon(self._wake)

    def _wake(self) -> None:
        if not self._ready or self.is_closing:
            return
        while self._sleeping:
            waiter = self._sleeping.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        if len(self._tasks) < self._limit:
            task = self._loop.create_task(self._work(), context=contextvars.Context())
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.critical("a worker died, which is a fault of this library", exc_info=error)
        self._loop.call_soon(self._wake)

    async def _work(self) -> None:
        clean = len(contextvars.copy_context())
        task = cast("asyncio.Task[None]", asyncio.current_task())
        while True:
            while self._ready:
                item = self._ready.popleft()
                if self._ready:
                    self._loop.call_soon(self._wake)  # runs only if the item makes this worker wait
                self._busy += 1
                try:
                    await self._perform(item)
                finally:
                    self._busy -= 1
                    if not self._busy and not self._ready:
                        self._idle.set()
                # What the item left behind, context variables or a cancellation, is not for the next one.
                if len(contextvars.copy_context()) != clean or task.cancelling():
                    return
            if self.is_closing:
                return  # an item took the cancellation for its own
            waiter = self._loop.create_future()
            self._sleeping.append(waiter)
            await waiter

    async def wait_idle(self) -> None:
        """Return when nothing is performed and nothing waits to be."""
        await self._idle.wait()

    async def close(self) -> None:
        """Cancel every worker and drop what is not begun; an item that will not end is left behind after a second."""
        self.is_closing = True
        self._ready.clear()
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            _, stuck = await asyncio.wait(tasks, timeout=_GRACE_S)
            if stuck:
                logger.warning("%d handlers did not end when they were cancelled, and are left behind", len(stuck))
