"""How much more may be taken in: messages and bytes in flight are bounded, and receivers wait for room."""

from __future__ import annotations

import asyncio

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
        self._room = asyncio.Event()
        self._waiting = 0

    def _available(self) -> int:
        lanes = self._core.lanes
        if lanes.in_flight_bytes >= self._max_bytes:
            return 0
        return min(self._max_messages - lanes.in_flight - self._asked_for, self._max_batch)

    async def take(self) -> int:
        """Wait for room, and reserve it; returns how many messages may be asked for. Give it back with `give`."""
        while (available := self._available()) <= 0:
            self._room.clear()
            self._waiting += 1
            try:
                await self._room.wait()
            finally:
                self._waiting -= 1
        self._asked_for += available
        return available

    def give(self, messages: int) -> None:
        """Give a reservation back: what came of it is counted as in flight by now."""
        self._asked_for -= messages
        self._wake()

    def changed(self, before: MessageState | None, after: MessageState | None) -> None:
        """Room may have come free."""
        del before, after
        self._wake()

    def _wake(self) -> None:
        if self._waiting and self._available() > 0:
            self._room.set()
