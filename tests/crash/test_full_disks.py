"""An engine in a process of its own, whose disk is full for a while, again and again."""

import asyncio
import ctypes
import os
import random
import resource
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import pytest

from queue_runtime.providers.memory import MemoryBroker, MemoryProvider, QueueKind, QueueSettings
from queue_runtime.providers.memory.server import MemoryBrokerServer
from tests.crash.account import Account
from tests.crash.load import OUT, QUEUE, Deed, Planned
from tests.crash.processes import worker

pytestmark = [pytest.mark.crash, pytest.mark.blocks_loop, pytest.mark.timeout(180)]  # another process does the work

LOCK_S = 1.5
PART = 40
LARGEST_BYTES = 100_000  # enough for what the process notes of its runs, and too little for the journal's log

UNWRITABLE = "the journal cannot be written"


class Switch(Protocol):
    """Takes all room from the journal of the engine in process `pid`, or gives it back."""

    def __call__(self, pid: int, *, is_full: bool) -> None: ...


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Switch]:
    """Have the journal on a file system of its own, where this process may mount one."""
    journal = tmp_path / "journal"
    journal.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"none", os.fsencode(journal), b"tmpfs", 0, b"size=64m,mode=700") != 0:
        pytest.skip(f"no file system can be mounted here: {os.strerror(ctypes.get_errno())}")
    ballast = journal / "ballast"

    def switch(pid: int, *, is_full: bool) -> None:
        del pid
        if is_full:
            with suppress(OSError), ballast.open("wb", buffering=0) as file:
                while file.write(bytes(4_096)):
                    pass
        else:
            ballast.unlink()

    try:
        yield switch
    finally:
        libc.umount2(os.fsencode(journal), 2)


def limited(pid: int, *, is_full: bool) -> None:
    """Let no file of the process grow: what can be had where nothing can be mounted."""
    hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (LARGEST_BYTES if is_full else hard, hard))


def _planned(times: int) -> list[Planned]:
    deeds = [Deed.DO, Deed.STEP, Deed.SLOW, Deed.FAIL, Deed.DO, Deed.REFUSE, Deed.STEP]
    return [
        Planned(f"s{session}", number, deeds[(session * 3 + number) % len(deeds)])
        for number in range(PART * (times + 1) // 10)
        for session in range(10)
    ]


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(90):
        while not condition():  # noqa: ASYNC110 - another process is waited for
            await asyncio.sleep(0.02)


async def _check(folder: Path, kind: QueueKind, switch: Switch, times: int) -> None:
    """Fill the disk in the middle of the work, so often; what is sent meanwhile is worked on when there is room."""
    dice = random.Random(33)
    planned = _planned(times)
    rules = QueueSettings(kind=kind, lock_s=LOCK_S, session_lock_s=LOCK_S, max_deliveries=10_000)
    broker = MemoryBroker({QUEUE: rules, OUT: QueueSettings(duplicate_window_s=3_600.0)})
    provider = MemoryProvider(broker)
    await provider.open()
    log = folder / "engine.log"

    def left() -> int:
        counts = broker.counts(QUEUE)
        return counts.active + counts.in_flight

    async with MemoryBrokerServer(broker, 0) as server, worker(server.address, folder) as engine:
        assert await engine.says(b"started")
        for number in range(times + 1):
            await provider.send(QUEUE, [one.message for one in planned[number * PART : (number + 1) * PART]])
            if number < times:
                enough, said = dice.randrange(PART), log.read_text().count(UNWRITABLE)
                await _until(lambda enough=enough: left() <= enough)
                switch(engine.process.pid, is_full=True)
                await _until(lambda said=said: log.read_text().count(UNWRITABLE) > said)
                switch(engine.process.pid, is_full=False)
        await _until(lambda: left() == 0)
        engine.process.terminate()
        assert await engine.process.wait() == 0, log.read_text()

    problems = list(Account(planned, folder).problems(broker, is_ordered=kind is not QueueKind.STANDARD))
    assert problems == [], f"{problems[:10]}\nthe journal is in {folder}"


kinds = pytest.mark.parametrize("kind", [QueueKind.FIFO, QueueKind.SESSIONS])


@kinds
async def test_K33_an_engine_whose_disk_fills_up_goes_on_when_there_is_room(
    tmp_path: Path, small_disk: Switch, kind: QueueKind
) -> None:
    """In the middle of its work: nothing is lost, nothing finished is run again, order is kept."""
    await _check(tmp_path, kind, small_disk, times=1)  # afterwards there is room within its files


@kinds
async def test_K33_an_engine_whose_files_may_not_grow_goes_on_when_they_may(tmp_path: Path, kind: QueueKind) -> None:
    """The same, four times, with an error of input and output, of which SQLite does not say that room is missing."""
    await _check(tmp_path, kind, limited, times=4)
