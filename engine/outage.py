"""What happens while the journal cannot be written: nothing is started or settled, and no outcome is forgotten."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from queue_runtime.engine.inputs import Delivered, Input, Ready

__all__ = ["Outage"]

logger = logging.getLogger("queue_runtime.engine")


class Outage:
    """Whether there is one, and what was seen meanwhile. Used on the engine's loop.

    Attributes:
        error: why the journal cannot be written, or None.
        count: how many there have been.
        on_begin: is called when one begins.
    """

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.count = 0
        self.on_begin: Callable[[], None] = _nothing
        self._held: list[tuple[str, Input]] = []
        self._writable = asyncio.Event()
        self._writable.set()

    def keep(self, key: str, given: Input) -> None:
        """Keep what nobody will say again. A delivery is repeated by the broker, an admission by the lanes."""
        if not isinstance(given, Delivered | Ready):
            self._held.append((key, given))

    def begin(self, error: BaseException, undurable: Iterable[tuple[str, Input | None]]) -> None:
        """Stop; keep the inputs whose events did not become durable."""
        for key, given in undurable:
            if given is not None:
                self.keep(key, given)
        if self.error is not None:
            return
        self.error = error
        self.count += 1
        self._writable.clear()
        logger.critical("the journal cannot be written, so nothing is started or settled until it can: %s", error)
        self.on_begin()

    def end(self) -> list[tuple[str, Input]]:
        """Go on; returns what was seen meanwhile, to be submitted again."""
        held, self._held = self._held, []
        self.error = None
        self._writable.set()
        return held

    async def over(self) -> None:
        """Return when the journal can be written."""
        await self._writable.wait()


def _nothing() -> None:
    """Nobody is told."""
