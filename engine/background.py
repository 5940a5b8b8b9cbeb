"""Tasks that nobody waits for: kept until they end, so that none is collected or fails unseen."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine

__all__ = ["Background"]

logger = logging.getLogger("queue_runtime.engine")


class Background:
    """A set of running tasks. Used on one loop."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, coroutine: Coroutine[object, object, None], name: str | None = None) -> None:
        """Run a coroutine; an error of it is logged."""
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.critical("%s failed, which is a fault of this library", task.get_name(), exc_info=error)

    async def stop(self) -> None:
        """Cancel what still runs, and wait for its end."""
        for task in self._tasks:
            task.cancel()
        await self.ended()

    async def ended(self) -> None:
        """Return when nothing runs any more."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))
