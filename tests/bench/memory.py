"""Memory: what a message in flight takes beyond its body, and what a process takes at its peak.

Each figure comes from a process of its own, because a peak never goes down.
"""

import asyncio
import gc
import resource
import tracemalloc
from dataclasses import dataclass
from pathlib import Path

from queue_runtime.engine import Context, Engine
from queue_runtime.plugins import Router
from queue_runtime.providers.message import Message
from tests.bench.bodies import QUEUE
from tests.bench.engines import Shape, StampedProvider, new_broker, running_engine

POLL_S = 0.01
WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Held:
    """Bytes a message beyond its body: as Python's allocator counts them, and as the process grew."""

    messages: int
    traced_bytes: float
    resident_bytes: float


async def held(work: list[Message], running: int, folder: Path, *, traced: bool) -> Held:
    """Hold all of `work` at once, `running` of them in handlers that wait, and compare with the moment before.

    The bodies are the broker's and stay so: the engine holds the same objects, so nothing has to be subtracted. What
    the broker notes about a delivery is counted in.
    """
    bot, free = Router(), asyncio.Event()

    @bot.on("*")
    async def wait(event: bytes, ctx: Context) -> None:
        del event, ctx
        await free.wait()

    provider = StampedProvider(new_broker(), len(work))
    await provider.open()
    shape = Shape(running, prefetch=-(-len(work) // running))
    async with running_engine(shape, provider, folder, bot) as engine:
        await provider.send(QUEUE, work[:1])  # what the first message alone needs: threads, statements, caches
        await _until_held(engine, 1)
        await provider.send(QUEUE, work[1:])
        if traced:
            tracemalloc.start()
        before_traced, before_resident = _now()
        assert engine.status().in_flight == 1, "the engine ran before the first look"
        await _until_held(engine, len(work))
        after_traced, after_resident = _now()
        tracemalloc.stop()
        free.set()
        await provider.all_settled.wait()
    count = len(work) - 1
    return Held(count, (after_traced - before_traced) / count, (after_resident - before_resident) / count)


async def _until_held(engine: Engine, count: int) -> None:
    async with asyncio.timeout(WAIT_S):
        while True:
            status = engine.status()
            if status.in_flight == count and status.durable == status.position:
                return
            await asyncio.sleep(POLL_S)


def _now() -> tuple[int, int]:
    gc.collect()
    traced = tracemalloc.get_traced_memory()[0] if tracemalloc.is_tracing() else 0
    return traced, resident_bytes()


def resident_bytes() -> int:
    """Return what the process has in memory now."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


def peak_bytes() -> int:
    """Return what the process has had in memory at most; `getrusage` would answer with the parent's peak."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) * 1024


def forget_peak() -> None:
    """Have the peak begin anew with what the process has now."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
