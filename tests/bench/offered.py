"""What the engine adds to a message at an offered rate: from delivery to settlement, with a handler that does nothing.

Messages arrive at random (a Poisson process), whether or not the engine keeps up. Beside a busy loop another task
computes for 0.2 ms and yields, over and over: the interpreter's lock is then hardly ever free for the writer.
"""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from queue_runtime.providers.message import Message
from tests.bench.bodies import QUEUE
from tests.bench.engines import Shape, StampedProvider, new_broker, running_engine
from tests.bench.figures import percentiles

SPIN_S = 0.0002
WARM_UP_S = 0.5  # connections, caches, the first statements
WAIT_S = 15.0  # for what is open when the load ends; what is open still counts with its age


@dataclass(frozen=True, slots=True)
class Added:
    """Milliseconds from delivery to settlement; `unsettled` messages were given up on."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    most_ms: float
    settled_per_s: float
    unsettled: int


async def added(work: Sequence[Message], rate: float, shape: Shape, folder: Path, *, is_busy: bool = False) -> Added:
    """Send `work` at `rate` messages a second, and see what becomes of each after the warm-up."""
    provider = StampedProvider(new_broker(), len(work))
    await provider.open()
    async with running_engine(shape, provider, folder), _busy_loop(is_on=is_busy):
        began = time.perf_counter()
        await _feed(provider, work, rate)
        with suppress(TimeoutError):
            async with asyncio.timeout(WAIT_S):
                await provider.all_settled.wait()
        took = time.perf_counter() - began
        late = sorted(provider.took_ms(since=began + WARM_UP_S))
    settled = len(provider.settled)
    return Added(*percentiles(late), late[-1], settled / took, len(work) - settled)


async def _feed(provider: StampedProvider, work: Sequence[Message], rate: float) -> None:
    """Send each message at its instant; what came due during one turn of the loop goes in one call."""
    chance, due, sent = random.Random(20_260_101), time.perf_counter(), 0
    while sent < len(work):
        first = sent
        while sent < len(work) and due <= time.perf_counter():
            due += chance.expovariate(rate)
            sent += 1
        if sent > first:
            await provider.send(QUEUE, work[first:sent])
        await asyncio.sleep(max(due - time.perf_counter(), 0))


@asynccontextmanager
async def _busy_loop(*, is_on: bool) -> AsyncGenerator[None]:
    task = asyncio.create_task(_spin()) if is_on else None
    try:
        yield
    finally:
        if task is not None:
            task.cancel()


async def _spin() -> None:
    while True:
        until = time.perf_counter() + SPIN_S
        while time.perf_counter() < until:
            pass
        await asyncio.sleep(0)
