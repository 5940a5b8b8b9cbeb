"""A process that is killed while old segments are dropped, archived or rewritten: at any step nothing is lost."""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from queue_runtime.journal.reader import Entry, JournalReader
from queue_runtime.journal.retention import retain
from queue_runtime.journal.segments import Layout
from queue_runtime.journal.settings import JournalSettings
from queue_runtime.journal.state import EngineState
from tests.journal.examples import files, life, prove, received
from tests.journal.running import loaded, run

DIE_AT = """
import os, shutil, signal, sys
from pathlib import Path
from queue_runtime.journal import retention
from queue_runtime.journal.segments import Layout
from tests.journal.test_killed_retention import settings_of

work, whole, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
TOUCHING = {"unlink", "rename", "mkdir", "chmod", "fsync", "sendfile", "write", "executescript"}

def child(step, target):
    left = step

    def count(frame, event, argument):
        # Before and after each call that changes files is a place to die at.
        nonlocal left
        if event in ("c_call", "c_return") and argument.__name__ in TOUCHING:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(count)
    retention.retain(Layout(target / "journal"), settings_of(work, target), lambda: False)
    sys.setprofile(None)

step, ended = 1, False
while not ended:
    target = folder / str(step)
    shutil.copytree(whole, target / "journal")
    pid = os.fork()
    if pid == 0:
        child(step, target)
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    ended = os.WIFEXITED(status)
    assert ended or os.WTERMSIG(status) == signal.SIGKILL, status
    print(step, flush=True)
    step += 1
"""

KEPT = b"of a message that is not completed" * 9


def settings_of(work: str, target: Path) -> JournalSettings:
    """Return what has all sealed segments go, or lose their bodies."""
    match work:
        case "drop":
            return JournalSettings(retention_s=0)
        case "archive":
            return JournalSettings(retention_s=0, archive_folder=target / "archive")
        case _:
            return JournalSettings(keep_bodies=False)


async def _rotated(folder: Path) -> EngineState:
    """Write four segments of which three are sealed; some messages in them are live."""
    running = await run(folder)
    for number in range(1, 4):
        running.append(*life(number), received(10 + number, KEPT))
        await running.snapshot()
    await running.journal.wait(running.append(*life(4)))
    await running.journal.close()
    return running.state


def _entries(*folders: Path) -> dict[int, Entry]:
    """Return what can be read in all of the folders, by position."""
    found: dict[int, Entry] = {}
    for folder in folders:
        if folder.exists() and Layout(folder).segments():
            with JournalReader(folder) as reader:
                found.update((entry.position, entry) for entry in reader.entries())
    return found


def _lost(work: str, before: Mapping[int, Entry], after: Mapping[int, Entry]) -> list[int]:
    """Return the positions that are gone or altered, of those that may not be."""
    first = min(after) if work == "drop" else 1
    assert max(after) == max(before)
    return [
        position
        for position, entry in before.items()
        if position >= first
        and (
            position not in after
            or (after[position] != entry and not (work == "strip" and after[position].is_stripped))
        )
    ]


async def _deaths(work: str, whole: Path, folder: Path) -> list[int]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", DIE_AT, work, str(whole), str(folder), stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    return list(map(int, said.split()))


async def _check(work: str, tmp_path: Path) -> int:
    whole = tmp_path / "whole"
    state = await _rotated(whole)
    before = await asyncio.to_thread(_entries, whole)
    steps = await _deaths(work, whole, tmp_path)
    undisturbed = tmp_path / str(steps[-1])
    for step in steps:
        folder, archive = tmp_path / str(step) / "journal", tmp_path / str(step) / "archive"
        where = f"killed at step {step} of {steps[-1]}"
        assert (await prove(folder)).is_good, where
        assert _lost(work, before, await asyncio.to_thread(_entries, archive, folder)) == [], where

        assert (await loaded(folder))[1] == state, where
        assert not Layout(folder).left_over(), where
        await asyncio.to_thread(retain, Layout(folder), settings_of(work, folder.parent), lambda: False)

        assert (await prove(folder)).is_good, where
        assert _lost(work, before, await asyncio.to_thread(_entries, archive, folder)) == [], where
        assert files(folder) == files(undisturbed / "journal"), where
        if work == "archive":
            assert files(archive) == files(undisturbed / "archive"), where
    return len(steps)


@pytest.mark.parametrize(
    "work", ["drop", pytest.param("archive", marks=pytest.mark.heavy), pytest.param("strip", marks=pytest.mark.heavy)]
)
async def test_a_death_while_old_segments_go_loses_nothing(tmp_path: Path, work: str) -> None:
    """What is not dropped is there and proved, a start finds the same state, and the next round ends the same."""
    assert await _check(work, tmp_path) > 10


async def test_what_is_archived_and_what_is_left_are_the_whole_history(tmp_path: Path) -> None:
    """The measure of the tests above finds a position that is gone, and one that says something else."""
    await _rotated(tmp_path / "whole")
    before = await asyncio.to_thread(_entries, tmp_path / "whole")
    assert len(before) == 15
    assert _lost("archive", before, {at: entry for at, entry in before.items() if at != 7}) == [7]
    assert _lost("strip", before, before | {7: before[8]}) == [7]
    assert _lost("drop", before, {at: entry for at, entry in before.items() if at > 7}) == []
