"""How much more may be taken in: messages and bytes in flight are bounded, and receivers wait for room in turn."""

from __future__ import annotations

import asyncio
from collections import deque

from queue_runtime.engine.core import Core
from queue_runtime.engine.settings import EngineSettings
from queue_runtime.journal.state import MessageState

__all__ = ["Credit"]


class Credit:
    """Room for messages, shared by all receivers of an engine. Used on its loop."""

    def __init__(self, core: Core, settings: EngineSettings) -> None:
        self._core = core
        self._max_messages = settings.max_in_flight
        self._max_bytes = settings.max_in_flight_bytes
        self._max_batch = settings.receive_batch
        self._asked_for = 0
        self._waiting: deque[tuple[asyncio.Future[int], int]] = deque()

    def share_among(self, receivers: int) -> None:
        """Bound a reservation to one receiver's part: a receive that waits for messages holds no other's room."""
        self._max_batch = max(1, min(self._max_batch, self._max_messages // max(receivers, 1)))

    def _available(self, most: int) -> int:
        lanes = self._core.lanes
        if lanes.in_flight_bytes >= self._max_bytes:
            return 0
        return min(self._max_messages - lanes.in_flight - self._asked_for, self._max_batch, most)

    async def take(self, most: int) -> int:
        """Wait for room, and reserve up to `most`; returns how many messages may be asked for. Give it back."""
        if not self._waiting and (room := self._available(most)) > 0:
            self._asked_for += room
            return room
        granted: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((granted, most))
        try:
            return await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():
                self.give(granted.result())
            raise

    def give(self, messages: int) -> None:
        """Give a reservation back: what came of it is counted as in flight by now."""
        self._asked_for -= messages
        self.grant()

    def changed(self, before: MessageState | None, after: MessageState | None) -> None:
        """Room may have come free."""
        del before, after
        if self._waiting:
            self.grant()

    def grant(self) -> None:
        """Serve those who wait, the first one first, as far as there is room."""
        while self._waiting:
            granted, most = self._waiting[0]
            room = 0 if granted.done() else self._available(most)
            if not granted.done() and room <= 0:
                return
            self._waiting.popleft()
            if not granted.done():
                self._asked_for += room
                granted.set_result(room)
