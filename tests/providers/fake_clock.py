"""A clock that tests move."""

import asyncio
import heapq

from queue_runtime.providers.clock import Timestamp

START = Timestamp(1_700_000_000_000_000)
ROUNDS = 30  # more than the steps that any call here takes from one wait to the next


class FakeClock:
    """Time stands still until `advance`. One event loop."""

    def __init__(self) -> None:
        self._now = START
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._started = 0

    def now(self) -> Timestamp:
        return self._now

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        self._started += 1
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + round(seconds * 1_000_000), self._started, woken))
        await woken

    async def advance(self, seconds: float) -> None:
        """Let everybody get to where they wait, then pass `seconds`, waking each sleeper at its instant."""
        until = Timestamp(self._now + round(seconds * 1_000_000))
        await settle_down()
        while self._sleepers and self._sleepers[0][0] <= until:
            at, _, woken = heapq.heappop(self._sleepers)
            self._now = Timestamp(max(at, self._now))
            if not woken.done():
                woken.set_result(None)
                await settle_down()
        self._now = until
        await settle_down()


async def settle_down() -> None:
    """Let every task run until it waits."""
    for _ in range(ROUNDS):
        await asyncio.sleep(0)
