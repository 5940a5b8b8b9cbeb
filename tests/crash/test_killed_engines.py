"""Engines that are killed at any instant, over a broker that outlives them."""

import asyncio
import io
import random
import sys
from pathlib import Path

import pytest
from rich.console import Console

from queue_runtime.journal import JournalReader
from queue_runtime.journal.invariants import violations
from queue_runtime.providers.memory import MemoryBroker, MemoryProvider, QueueKind, QueueSettings
from queue_runtime.providers.memory.server import MemoryBrokerServer
from queue_runtime.providers.message import QueueName
from queue_runtime.tools.demo import generated, report_on
from queue_runtime.tools.demo.child import QUEUE
from queue_runtime.tools.demo.show import run_demo

pytestmark = [pytest.mark.crash, pytest.mark.blocks_loop]  # other processes do the work, and journals are read here


async def _killed_at_random(folder: Path, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    queue = QueueName(QUEUE)
    events = generated(500)
    broker = MemoryBroker({queue: QueueSettings(kind=QueueKind.FIFO, lock_s=2.0, max_deliveries=1_000)})
    provider = MemoryProvider(broker)
    await provider.open()
    journal = folder / "journal"
    runs = 0
    async with MemoryBrokerServer(broker, 0) as server:
        sent = 0
        while True:
            is_last = runs >= kills
            until = len(events) if is_last else len(events) * (runs + 1) // (kills + 1)
            await provider.send(queue, [event.message for event in events[sent:until]])
            sent = until
            command = (sys.executable, "-m", "queue_runtime.tools.demo.child", server.address, str(journal))
            with (folder / "engine.log").open("ab") as log:
                process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
            if is_last:
                async with asyncio.timeout(120):
                    while broker.counts(queue).active or broker.counts(queue).in_flight:  # noqa: ASYNC110 - as above
                        await asyncio.sleep(0.05)
                process.terminate()
                assert await process.wait() == 0
                break
            await asyncio.sleep(chance.uniform(0.3, 1.2))
            process.kill()
            await process.wait()
            runs += 1
    report = report_on(events, journal, QUEUE, broker.counts(queue))
    problems = [problem for problem in report.problems if "runs crashed" not in problem]
    assert problems == []
    with JournalReader(journal) as reader:
        stored = [(entry.position, entry.event) for entry in reader.entries() if entry.event is not None]
    assert violations(stored) == []


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_engines_killed_at_random_lose_nothing_and_repeat_nothing_finished(tmp_path: Path, seed: int) -> None:
    """Twelve kills at random instants: all accounted for, nothing finished run again, order kept, no rule broken."""
    await _killed_at_random(tmp_path, kills=12, seed=seed)


async def test_a_thousand_events_survive_three_kills(tmp_path: Path) -> None:
    """The demo that users see, at its full size."""
    report = await run_demo(generated(1_000), tmp_path, Console(file=io.StringIO()), crash=True)

    assert report.problems == []
