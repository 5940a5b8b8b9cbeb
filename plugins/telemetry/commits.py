"""Measures a journal's commits from outside: how many events each carries, and how long they waited for it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence

from queue_runtime.journal.events import Event
from queue_runtime.journal.port import Journal, KeyWindow
from queue_runtime.journal.state import EngineState
from queue_runtime.plugins.telemetry.instruments import instruments

__all__ = ["MeasuredJournal"]


class MeasuredJournal:
    """A journal whose commits are measured; what it does is the inner one's."""

    def __init__(self, inner: Journal) -> None:
        self._inner = inner
        self._handed: deque[tuple[int, float]] = deque()
        self._durable = inner.durable
        self._to = instruments()
        inner.on_commit(self._committed)

    @property
    def position(self) -> int:
        """The last position handed out."""
        return self._inner.position

    @property
    def durable(self) -> int:
        """The last position that survives a power cut."""
        return self._inner.durable

    @property
    def keys(self) -> KeyWindow:
        """The keys that are no longer in the state."""
        return self._inner.keys

    def append(self, events: Sequence[Event]) -> int:
        """Hand over events, and note when."""
        position = self._inner.append(events)
        self._handed.append((position, time.perf_counter()))
        return position

    def _committed(self, durable: int, error: BaseException | None) -> None:
        handed = self._handed
        first: float | None = None
        while handed and handed[0][0] <= durable:
            _, at = handed.popleft()
            first = at if first is None else first
        if error is not None:
            handed.clear()
        elif first is not None:
            self._to.commit_duration.record(time.perf_counter() - first)
            self._to.commit_events.record(durable - self._durable)
        self._durable = durable

    def on_commit(self, callback: Callable[[int, BaseException | None], None]) -> None:
        """Have `callback(durable, error)` called after every commit."""
        self._inner.on_commit(callback)

    async def wait(self, position: int) -> None:
        """Return when `position` is durable."""
        await self._inner.wait(position)

    def load(self) -> AsyncIterator[tuple[int, Event | EngineState]]:
        """Yield the newest snapshot and the events after it."""
        return self._inner.load()

    async def snapshot(self, state: EngineState) -> None:
        """Keep `state`."""
        await self._inner.snapshot(state)

    async def recover(self) -> None:
        """Reopen after a failed commit."""
        await self._inner.recover()

    async def close(self) -> None:
        """Commit what was handed over, and free the lock."""
        await self._inner.close()
