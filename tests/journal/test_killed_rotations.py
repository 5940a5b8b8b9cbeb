"""A process that is killed at any step of a snapshot or a rotation leaves a journal that opens, and lost nothing."""

import asyncio
import sys
from pathlib import Path

import pytest

from queue_runtime.journal.log import SqliteJournal
from queue_runtime.journal.reader import JournalReader
from queue_runtime.journal.settings import JournalSettings
from queue_runtime.journal.state import EngineState, fold
from tests.journal.examples import life, prove

DIE = """
import asyncio, importlib, inspect, os, signal, sys
from pathlib import Path
from queue_runtime.journal import JournalSettings, SqliteJournal
from queue_runtime.journal.state import EngineState, fold
from tests.journal.examples import life

folder, age_s, step, when = Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3], sys.argv[4]

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def arm():
    module, _, name = step.rpartition(":")
    owner = importlib.import_module(module)
    *path, last = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    original = getattr(owner, last)
    if inspect.iscoroutinefunction(original):
        async def deadly(*given):
            if when == "before":
                die()
            await original(*given)
            die()
    else:
        def deadly(*given, **named):
            if when == "before":
                die()
            original(*given, **named)
            die()
    setattr(owner, last, deadly)

async def main():
    journal = await SqliteJournal.open(folder, JournalSettings(segment_age_s=age_s))
    state, number = EngineState(), 0

    def append():
        nonlocal number
        number += 1
        fold(life(number), state)
        return journal.append(life(number))

    async def append_for_ever():
        while True:
            await journal.wait(append())
            print(journal.durable, flush=True)

    append()
    await journal.snapshot(state)  # so that there is an older one to go back to
    appender = asyncio.create_task(append_for_ever())
    while number < 5:
        await asyncio.sleep(0)
    arm()
    await journal.snapshot(state)
    print("survived", flush=True)

asyncio.run(main())
"""

OF_A_ROTATION = (
    "queue_runtime.journal.rotation:remove_segment",
    "queue_runtime.journal.rotation:create_file",
    "queue_runtime.journal.rotation:sync_folder",
    "queue_runtime.journal.writer:Writer.open",
    "queue_runtime.journal.writer:Writer._prepare",
    "queue_runtime.journal.writer:Writer.begin",
    "queue_runtime.journal.writer:Writer.close",
    "queue_runtime.journal.head:HeadFile.sync",
)
OF_A_SNAPSHOT = (
    "queue_runtime.journal.keeper:write_snapshot",
    "os:fsync",
    "pathlib:Path.rename",
    "queue_runtime.journal.snapshot:sync_folder",
)
DEATHS = [(0.0, step) for step in (*OF_A_ROTATION, *OF_A_SNAPSHOT)] + [(3_600.0, step) for step in OF_A_SNAPSHOT]


async def _loaded(journal: SqliteJournal) -> EngineState:
    state = EngineState()
    async for _, item in journal.load():
        if isinstance(item, EngineState):
            state = item
        else:
            state.apply(item)
    return state


def _numbers(folder: Path) -> list[int]:
    with JournalReader(folder) as reader:
        return [entry.at for entry in reader.entries()]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("age_s", "step"), DEATHS)
async def test_sigkill_at_a_step_loses_nothing(tmp_path: Path, age_s: float, step: str, when: str) -> None:
    """All that was acknowledged is there, in order and proved; the next process appends, and rotates, where it was."""
    folder = tmp_path / "journal"
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", DIE, str(folder), str(age_s), step, when, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await writer.communicate()
    assert writer.returncode == -9, output
    told = [int(line) for line in output.decode().splitlines(keepends=True) if line.endswith("\n")]

    assert (await prove(folder)).is_good
    journal = await SqliteJournal.open(folder, JournalSettings(segment_age_s=0))
    lives = journal.durable // 3
    assert journal.durable == lives * 3 >= max(told)
    state = fold([event for number in range(1, lives + 1) for event in life(number)])
    assert await _loaded(journal) == state

    journal.append(life(lives + 1))
    fold(life(lives + 1), state)
    await journal.snapshot(state)
    await journal.close()

    numbers = await asyncio.to_thread(_numbers, folder)
    assert numbers == [number for number in range(1, lives + 2) for _ in range(3)]
    assert (await prove(folder)).is_good
    left = [path.name for path in await asyncio.to_thread(lambda: list(folder.iterdir())) if ".new" in path.name]
    assert left == []
