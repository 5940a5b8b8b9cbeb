"""The thread that renews locks, with a loop and a connection of its own: a handler may block the engine's loop."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress

from queue_runtime.engine.answers import as_queue_error
from queue_runtime.providers.errors import QueueError
from queue_runtime.providers.port import Provider

__all__ = ["EngineLoopEnded", "LeaseThread"]

logger = logging.getLogger("queue_runtime.engine")

_PAUSE_S = 0.2
_CLOSE_S = 1.0


class EngineLoopEnded(Exception):  # noqa: N818 - it is what happened
    """There is nobody left to keep locks for: the engine's loop was closed without a stop."""


class LeaseThread:
    """Makes one pass after the other until it is stopped.

    Args:
        provider: a sibling of the engine's, not opened yet: it belongs to the thread's loop.
        provider_name: for reports.
        make_pass: one pass, on the thread's loop; answers the seconds until the next.
    """

    def __init__(self, provider: Provider, provider_name: str, make_pass: Callable[[], Awaitable[float]]) -> None:
        self._provider = provider
        self._provider_name = provider_name
        self._make_pass = make_pass
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._interrupt: Callable[[], None] = _nothing

    def start(self) -> None:
        """Start the thread. It is a daemon: it keeps no process alive."""
        self._thread = threading.Thread(target=self._run, name="queue-runtime leases", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """End the thread, whatever call it waits for."""
        self._stopping.set()
        self._interrupt()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        with suppress(asyncio.CancelledError):  # by `stop`
            asyncio.run(self._work())

    async def _work(self) -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        if task is not None:
            self._interrupt = lambda: _cancel(loop, task)
        try:
            await self._make_passes()
        except EngineLoopEnded:
            logger.warning("the engine's loop has ended without a stop: locks are renewed no more")
        finally:
            with suppress(TimeoutError, QueueError):
                async with asyncio.timeout(_CLOSE_S):
                    await self._provider.close()

    async def _make_passes(self) -> None:
        is_open = False
        while not self._stopping.is_set():
            try:
                if not is_open:
                    await self._provider.open()
                    is_open = True
                wait_s = await self._make_pass()
            except EngineLoopEnded:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, locks are worth another try
                why = as_queue_error(self._provider_name, error)
                logger.warning("locks cannot be renewed for now, and are tried again: %s", why)
                wait_s = _PAUSE_S
            await asyncio.sleep(wait_s)


def _nothing() -> None:
    """There is no task yet."""


def _cancel(loop: asyncio.AbstractEventLoop, task: asyncio.Task[object]) -> None:
    with suppress(RuntimeError):  # it has ended
        loop.call_soon_threadsafe(task.cancel)
