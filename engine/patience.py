"""How long a receiver waits after its broker failed."""

from __future__ import annotations

import logging
import random

from queue_runtime.engine.core import Core
from queue_runtime.providers.errors import QueueError

__all__ = ["Patience"]

logger = logging.getLogger("queue_runtime.engine")

_FIRST_RETRY_S = 0.5
_LONGEST_RETRY_S = 30.0


class Patience:
    """Waits longer from failure to failure of the broker, and starts over after a success."""

    def __init__(self, core: Core, queue: str) -> None:
        self._core = core
        self._queue = queue
        self._random = random.Random()  # noqa: S311 - jitter, not a secret
        self._failures = 0

    def succeeded(self) -> None:
        """Start over."""
        self._failures = 0

    async def failed(self, error: QueueError) -> None:
        """Report it, and wait: as long as the broker asks for, else longer each time."""
        self._failures += 1
        delay_s = min(_FIRST_RETRY_S * 2 ** min(self._failures - 1, 16), _LONGEST_RETRY_S)
        delay_s = error.retry_after_s or delay_s * self._random.uniform(0.8, 1.2)
        level = logging.WARNING if error.transient else logging.ERROR
        logger.log(level, "receiving from %s failed, and is tried again in %.1f s: %s", self._queue, delay_s, error)
        await self._core.clock.sleep(delay_s)
