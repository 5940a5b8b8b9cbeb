"""Engines that are killed at any instant, over a broker that outlives them."""

import asyncio
import io
import random
import sys
from pathlib import Path

import pytest
from rich.console import Console

from queue_runtime.providers.errors import QueueError
from queue_runtime.providers.memory import MemoryBroker, MemoryProvider, QueueKind, QueueSettings
from queue_runtime.providers.memory.server import MemoryBrokerServer
from queue_runtime.providers.message import Message
from queue_runtime.tools.demo import generated
from queue_runtime.tools.demo.show import run_demo
from tests.crash.account import Account
from tests.crash.load import OUT, QUEUE, plan
from tests.crash.processes import Note, worker

pytestmark = pytest.mark.blocks_loop  # other processes do the work, and journals are read here

LOCK_S = 1.5
PATIENCE_S = 150.0
MIN_DEATHS = 4  # the culprit dies three times alone, and once in company if it is not found there by a kill


async def _send(broker: MemoryBroker, messages: list[Message]) -> None:
    provider = MemoryProvider(broker)
    await provider.open()
    for answer in await provider.send(QUEUE, messages):
        assert not isinstance(answer, QueueError), answer


async def _lives(folder: Path, kind: QueueKind, seed: int, kills: int) -> tuple[Account, MemoryBroker]:
    """Kill an engine so often at random instants, then let one finish."""
    dice = random.Random(f"{kind}/{seed}")
    planned, again = plan(dice)
    rules = QueueSettings(kind=kind, lock_s=LOCK_S, session_lock_s=LOCK_S, max_deliveries=10_000)
    broker = MemoryBroker({QUEUE: rules, OUT: QueueSettings(duplicate_window_s=3_600.0)})
    part = -(-len(planned) // (kills + 1))
    killed = 0
    await _send(broker, [one.message for one in planned[:part]])
    async with MemoryBrokerServer(broker, 0) as server:
        while killed < kills:
            async with worker(server.address, folder) as engine:
                # Some die while they recover, most in the middle of their work.
                await engine.says(dice.choice([b"imported", b"started", b"started"]))
                if await engine.dies_within(dice.uniform(0.0, 0.7)):
                    continue
            killed += 1
            start = killed * part
            await _send(broker, [one.message for one in planned[start : start + part]])
        await _send(broker, [one.message for one in again])
        while _has_work(broker):
            async with worker(server.address, folder) as engine:
                await engine.says(
                    b"started"
                )  # what recovery owes may be all there is, and nobody hears a signal before
                while _has_work(broker) and not await engine.dies_within(0.05):
                    pass
                if engine.process.returncode is not None:
                    continue
                engine.process.terminate()
                assert await engine.process.wait() == 0, "it did not drain; see engine.log"
    return Account(planned, folder), broker


def _has_work(broker: MemoryBroker) -> bool:
    counts = broker.counts(QUEUE)
    return counts.active + counts.in_flight + counts.scheduled > 0


class Survival:
    """Runs lives, counts them for the summary, and says how to repeat what failed."""

    def __init__(self, request: pytest.FixtureRequest, folder: Path, note: Note) -> None:
        self._again = f"{sys.executable} -m pytest -m '' '{request.node.nodeid}'"
        self._folder = folder
        self._note = note

    async def check(self, kind: QueueKind, seed: int, kills: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            account, broker = await _lives(self._folder, kind, seed, kills)
        deaths = account.planted_deaths()
        problems = list(account.problems(broker, is_ordered=kind is not QueueKind.STANDARD))
        self._note("messages", len(account.completed) + len(account.dead))
        self._note("kills", kills)
        self._note("planted crashes", deaths)
        assert problems == [], f"{problems[:10]}\nthe journal is in {self._folder}\nto repeat it: {self._again}"
        assert deaths >= MIN_DEATHS


@pytest.fixture
def survival(request: pytest.FixtureRequest, tmp_path: Path, record_property: Note) -> Survival:
    return Survival(request, tmp_path, record_property)


kinds = pytest.mark.parametrize("kind", [QueueKind.FIFO, QueueKind.SESSIONS, QueueKind.STANDARD])


@pytest.mark.timeout(PATIENCE_S + 30)
@kinds
async def test_killed_engines_lose_nothing_and_repeat_nothing_finished(survival: Survival, kind: QueueKind) -> None:
    """Seven kills at random instants: all accounted for, nothing finished run again, order kept, the culprit caught."""
    await survival.check(kind, seed=0, kills=7)


@pytest.mark.crash
@kinds
@pytest.mark.parametrize("seed", range(1, 7))
async def test_engines_killed_many_times_lose_nothing(survival: Survival, kind: QueueKind, seed: int) -> None:
    """As above with twelve kills, over and over: more than two hundred in all."""
    await survival.check(kind, seed, kills=12)


@pytest.mark.crash
async def test_a_thousand_events_survive_three_kills(tmp_path: Path) -> None:
    """The demo that users see, at its full size."""
    report = await run_demo(generated(1_000), tmp_path, Console(file=io.StringIO()), crash=True)

    assert report.problems == []
