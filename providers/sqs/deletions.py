"""How deletions that many tasks ask for at the same time go in calls of ten: the service bills calls, not messages.

An application completes one delivery at a time. What its tasks ask for within one turn of the loop goes together; who
asks for ten or more gets calls of his own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TypeAlias

from queue_runtime.providers.errors import QueueError
from queue_runtime.providers.sqs.batching import Item, chunks, settle_batch, side_by_side
from queue_runtime.providers.sqs.clients import Clients
from queue_runtime.providers.sqs.queues import Queue
from queue_runtime.providers.sqs.settings import MAX_BATCH

__all__ = ["Deletions"]

_Answer: TypeAlias = "Mapping[str, object] | QueueError"


class Deletions:
    """Deletes for one provider. For one loop."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._gathered: dict[str, list[tuple[Item, asyncio.Future[_Answer]]]] = {}  # by the URL of the queue
        self._under_way: set[asyncio.Task[None]] = set()

    async def delete(self, queue: Queue, items: Sequence[Item]) -> list[_Answer]:
        """Delete, and answer item by item. Who is cancelled meanwhile may have deleted."""
        if len(items) >= MAX_BATCH:
            return await side_by_side([partial(self._call, queue, chunk) for chunk in chunks(items)])
        loop = asyncio.get_running_loop()
        asked = [(item, loop.create_future()) for item in items]
        if queue.url not in self._gathered:
            self._gathered[queue.url] = []
            loop.call_soon(self._go, queue)
        self._gathered[queue.url] += asked
        return [await future for _, future in asked]

    def _go(self, queue: Queue) -> None:
        for chunk in chunks(self._gathered.pop(queue.url)):
            task = asyncio.ensure_future(self._answer(queue, chunk))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _answer(self, queue: Queue, chunk: Sequence[tuple[Item, asyncio.Future[_Answer]]]) -> None:
        try:
            answers = await self._call(queue, [item for item, _ in chunk])
        except Exception as error:  # noqa: BLE001 - a fault of this library reaches whoever waits, instead of nobody
            for _, future in chunk:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), answer in zip(chunk, answers, strict=True):
            if not future.done():  # whoever asked has been cancelled
                future.set_result(answer)

    async def _call(self, queue: Queue, items: Sequence[Item]) -> list[_Answer]:
        return await settle_batch(self._clients, "delete_message_batch", queue, items)
