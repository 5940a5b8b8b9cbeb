"""How a queue of an in-memory broker is set up: dead letters are its own, and nothing is ever too old."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping

from queue_runtime.providers.inspection import QueueSetup
from queue_runtime.providers.message import QueueName
from queue_runtime.providers.port import Capabilities

__all__ = ["MemoryInspector"]


class MemoryInspector:
    """Looks at queues of a broker in this process or another. `capabilities`: the provider's own."""

    def __init__(self, capabilities: Callable[[QueueName], Awaitable[Capabilities]]) -> None:
        self._capabilities = capabilities

    async def setup(self, queue: QueueName) -> QueueSetup:
        """Return what holds for each of its queues."""
        await self._capabilities(queue)
        return QueueSetup(takes_dead_letters=True, dead_letters="kept by the broker", retention_s=math.inf)

    async def permissions(self, queue: QueueName) -> Mapping[str, bool | None]:
        """Return nothing: whoever reaches the broker may do everything."""
        await self._capabilities(queue)
        return {}
