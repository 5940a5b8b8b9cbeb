"""Journals with a long history: what a start takes, and what a message costs on top of them.

One journal a length. It is written, started over while it has no snapshot, used by engines that drain (which store
snapshots), then grown by what a killed process may leave - a tail and open messages - and started over again.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from queue_runtime.engine import Engine, EngineSettings
from queue_runtime.journal import JournalSettings, SqliteJournal
from queue_runtime.journal.events import Event
from queue_runtime.plugins import Router
from queue_runtime.providers.memory import MemoryProvider
from tests.bench.bodies import QUEUE, life, messages
from tests.bench.engines import Shape, engine_round, new_broker
from tests.bench.figures import Round, Summary, summary
from tests.bench.plan import Plan
from tests.bench.speed import MAIN

EVENTS_A_MESSAGE = 4
GROUP = 250  # events a commit
TAIL = 10_000  # events after the last snapshot, at most a tenth of all
LIVE = 1_000  # messages received and not settled, at most a tenth too
STARTS = 3
_FIRST = 10_000_000  # numbers of the messages that are measured: none of the history's, which would be duplicates


@dataclass(frozen=True, slots=True)
class History:
    """Figures of one length. Seconds of a start: open, fold, decide what the restart means, journal that."""

    events: int
    start_without_snapshot_s: float
    start_with_snapshot_s: float
    tail_events: int
    live_messages: int
    on_top: Summary


def histories(bodies: Sequence[bytes], plan: Plan) -> list[History]:
    """Measure every length; engines on top of them alternate."""
    with tempfile.TemporaryDirectory() as folder:
        folders = {events: Path(folder) / str(events) for events in plan.histories}
        cold: dict[int, float] = {}
        for events, path in folders.items():
            path.mkdir()
            asyncio.run(_write(path, bodies, range(events // EVENTS_A_MESSAGE), is_settled=True))
            cold[events] = asyncio.run(_start(path))
        rounds: dict[int, list[Round]] = {events: [] for events in folders}
        for number in range(plan.latency_rounds):
            work = messages(bodies, plan.history_messages, first=_FIRST * (number + 1))
            for events, path in folders.items():
                rounds[events].append(asyncio.run(engine_round(work, Shape(MAIN), path)))
        return [_grown(bodies, events, folders[events], cold[events], rounds[events]) for events in folders]


def _grown(bodies: Sequence[bytes], events: int, path: Path, cold: float, rounds: Sequence[Round]) -> History:
    tail, live = min(TAIL, events // 10) // EVENTS_A_MESSAGE, min(LIVE, events // 10)
    first = _FIRST * 10
    asyncio.run(_write(path, bodies, range(first, first + tail), is_settled=True))
    asyncio.run(_write(path, bodies, range(first + tail, first + tail + live), is_settled=False))
    warm = statistics.median(asyncio.run(_start(path)) for _ in range(STARTS))
    return History(events, cold, warm, tail * EVENTS_A_MESSAGE + live, live, summary(rounds))


async def _write(folder: Path, bodies: Sequence[bytes], numbers: range, *, is_settled: bool) -> None:
    """Append the lives of messages of which nothing is special, or their beginnings alone; store no snapshot."""
    journal = await SqliteJournal.open(folder / "journal", JournalSettings())
    group = list[Event]()
    for number in numbers:
        happened = life(number, bodies[number % len(bodies)])
        group += happened if is_settled else happened[:1]
        if len(group) >= GROUP or number == numbers[-1]:
            await journal.wait(journal.append(group))
            group.clear()
    await journal.close()


async def _start(folder: Path) -> float:
    """Start an engine and stop it at once, as killed: little is added, and no snapshot."""
    began = time.perf_counter()
    journal = await SqliteJournal.open(folder / "journal", JournalSettings())
    try:
        engine = Engine(EngineSettings(queues=(QUEUE,)), MemoryProvider(new_broker()), journal, [Router()])
        async with engine:
            took = time.perf_counter() - began
            await engine.stop()
        return took
    finally:
        await journal.close()
