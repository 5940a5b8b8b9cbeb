"""An engine that is stopped for longer than its locks, while another one takes its messages over."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path

import pytest

from queue_runtime.journal import verify
from queue_runtime.journal.events import Completed, Disposition, Event, Settled
from queue_runtime.journal.invariants import violations
from queue_runtime.providers.memory import MemoryBroker, MemoryProvider, QueueKind, QueueSettings
from queue_runtime.providers.memory.server import MemoryBrokerServer
from tests.crash.account import stored
from tests.crash.load import OUT, QUEUE, Deed, Planned
from tests.crash.processes import worker

pytestmark = [pytest.mark.blocks_loop, pytest.mark.timeout(120)]  # other processes do the work

LOCK_S = 1.0
SESSIONS, EACH = 6, 12
LATER = [Planned(f"later{session}", 0, Deed.DO) for session in range(4)]


def _planned() -> list[Planned]:
    deeds = [Deed.SLOW, Deed.DO, Deed.STEP]
    return [
        Planned(f"s{session}", number, deeds[(session + number) % 3])
        for number in range(EACH)
        for session in range(SESSIONS)
    ]


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - a file, or another process, is waited for
            await asyncio.sleep(0.02)


def _runs(folder: Path) -> list[tuple[str, int]]:
    """Return each run of a handler, with the microsecond at which it began."""
    path = folder / "runs"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(key, int(at)) for key, _, at in map(str.split, lines)]


def _completed(journal: list[tuple[int, Event]]) -> dict[str, int]:
    return {event.key: event.at for _, event in journal if isinstance(event, Completed)}


@pytest.mark.parametrize("runs_before", [3, 11, 23])
@pytest.mark.parametrize("kind", [QueueKind.FIFO, QueueKind.SESSIONS])
async def test_an_engine_that_slept_over_its_locks_runs_nothing_out_of_order(
    tmp_path: Path, kind: QueueKind, runs_before: int
) -> None:
    """What it held was finished by another: it starts none of that, and settles nothing that is settled."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    rules = QueueSettings(kind=kind, lock_s=LOCK_S, session_lock_s=LOCK_S, max_deliveries=1_000)
    broker = MemoryBroker({QUEUE: rules, OUT: QueueSettings(duplicate_window_s=3_600.0)})
    provider = MemoryProvider(broker)
    await provider.open()
    planned = _planned()
    await provider.send(QUEUE, [one.message for one in planned])

    def is_empty() -> bool:
        counts = broker.counts(QUEUE)
        return counts.active + counts.in_flight == 0

    async with MemoryBrokerServer(broker, 0) as server, worker(server.address, first) as stopped:
        await _until(lambda: len(_runs(first)) >= runs_before)
        stopped.process.send_signal(signal.SIGSTOP)
        async with worker(server.address, second) as other:
            await _until(is_empty)
            other.process.terminate()
            assert await other.process.wait() == 0
        awake_at = time.time_ns() // 1_000
        stopped.process.send_signal(signal.SIGCONT)
        await provider.send(QUEUE, [one.message for one in LATER])
        await _until(is_empty)
        stopped.process.terminate()
        assert await stopped.process.wait() == 0

    journals = [stored(folder / "journal") for folder in (first, second)]
    completed, elsewhere = (_completed(journal) for journal in journals)
    places = {one.key: (one.session, one.number) for one in (*planned, *LATER)}
    assert completed.keys() | elsewhere.keys() == places.keys()
    awake = [run for run in _runs(first) if run[1] >= awake_at]
    for key, began in _runs(first):
        session, number = places[key]
        ended = [places[other] for other, at in elsewhere.items() if at < began and places[other][0] == session]
        not_before = [place for place in ended if place[1] >= number]
        # Nobody can look at the clock and start in one step: the stop may fall between the two, for one start.
        was_starting = (key, began) == min(awake, key=itemgetter(1), default=None)
        assert not_before == [] or was_starting, f"{key} was started after the other had ended {not_before}"
    for journal, folder in zip(journals, (first, second), strict=True):
        assert violations(journal) == []
        assert verify(folder / "journal").is_good
    settled = Counter(
        event.key
        for journal in journals
        for _, event in journal
        if isinstance(event, Settled) and event.disposition is Disposition.COMPLETE
    )
    assert settled == dict.fromkeys(places, 1)
