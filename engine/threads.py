"""Threads for handlers that are plain functions. They are daemons: one that never returns keeps no process alive.

The standard library's executor joins its threads when the interpreter ends, so a stuck handler would outlive even the
second signal.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import TypeAlias

__all__ = ["HandlerThreads"]

_Call: TypeAlias = tuple[Callable[[], object], "asyncio.Future[object]"]


class HandlerThreads:
    """At most `limit` threads, started when there is work. Used on one loop."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._started = 0

    def run(self, call: Callable[[], object]) -> asyncio.Future[object]:
        """Call it in a thread, as soon as one is free; the future has what it returned or raised."""
        future: asyncio.Future[object] = self._loop.create_future()
        self._calls.put((call, future))
        if not self._idle.acquire(blocking=False) and self._started < self._limit:
            self._started += 1
            name = f"queue-runtime handler {self._started}"
            threading.Thread(target=self._work, name=name, daemon=True).start()
        return future

    def _work(self) -> None:
        while (item := self._calls.get()) is not None:
            call, future = item
            result: object = None
            error: BaseException | None = None
            try:
                result = call()
            except BaseException as raised:  # noqa: BLE001 - whatever it is, it is the handler's, and goes to the loop
                error = raised
            self._idle.release()
            with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits any more
                self._loop.call_soon_threadsafe(_settle, future, result, error)

    def close(self) -> None:
        """Let idle threads end; one that is busy ends with its call, or with the process."""
        for _ in range(self._started):
            self._calls.put(None)


def _settle(future: asyncio.Future[object], result: object, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    elif isinstance(error, StopIteration):  # which no future may hold
        future.set_exception(RuntimeError("the handler raised StopIteration"))
    else:
        future.set_exception(error)
