"""When messages of one queue change by themselves: due, or expired."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.memory.stored import NEVER

__all__ = ["Timers"]


class Timers:
    """Instants, each with the provider id of a message. A timer is a reason to look: the message may have moved on.

    An id and not the message: a time to live outlasts most messages, and would keep their bodies in memory.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[Timestamp, str]] = []

    def set(self, at: Timestamp, provider_id: str) -> None:
        """Have `provider_id` come out of `due` at `at`."""
        heapq.heappush(self._heap, (at, provider_id))

    def due(self, now: Timestamp) -> Iterator[str]:
        """Yield the ids whose timers ran out, earliest first."""
        while self._heap and self._heap[0][0] <= now:
            yield heapq.heappop(self._heap)[1]

    @property
    def next_due(self) -> Timestamp:
        """When the next timer runs out."""
        return self._heap[0][0] if self._heap else NEVER
