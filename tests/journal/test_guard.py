"""Beside a loop that never rests a commit is fast, if that is asked for; and the process gets its interval back."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from queue_runtime.journal.errors import JournalError
from queue_runtime.journal.guard import WriterGuard
from queue_runtime.journal.log import SqliteJournal
from queue_runtime.journal.settings import JournalSettings
from tests.journal.examples import started

YIELDING = JournalSettings(yield_to_writer=True)


@pytest.fixture(autouse=True)
def interval() -> Iterator[float]:
    """The switch interval before the test, and after it whatever the test did."""
    before = sys.getswitchinterval()
    yield before
    sys.setswitchinterval(before)


async def test_the_switch_interval_is_left_alone_unless_asked_for(tmp_path: Path, interval: float) -> None:
    """It belongs to the whole process, so by default a journal does not touch it."""
    journal = await SqliteJournal.open(tmp_path / "journal")

    assert sys.getswitchinterval() == interval
    await journal.close()


async def test_the_switch_interval_is_restored_with_the_last_journal(tmp_path: Path, interval: float) -> None:
    """While any journal that asked for it is open the interval is short, in whatever order they close."""
    first, second = [await SqliteJournal.open(tmp_path / name, YIELDING) for name in ("first", "second")]
    assert sys.getswitchinterval() == pytest.approx(1e-4)
    await first.close()
    assert sys.getswitchinterval() == pytest.approx(1e-4)
    await second.close()

    assert sys.getswitchinterval() == interval


async def test_a_journal_that_does_not_open_leaves_no_trace(tmp_path: Path, interval: float) -> None:
    """An open that fails gives the interval back."""
    journal = await SqliteJournal.open(tmp_path / "journal")
    await journal.close()
    (tmp_path / "journal" / "00000001.segment.sqlite").write_bytes(b"no database" * 1_000)

    with pytest.raises(JournalError):
        await SqliteJournal.open(tmp_path / "journal", YIELDING)

    assert sys.getswitchinterval() == interval


def test_an_interval_that_is_shorter_already_is_kept(interval: float) -> None:
    """A process that switches faster by its own choice is not slowed down."""
    sys.setswitchinterval(1e-5)
    guard = WriterGuard()
    guard.begin()
    shortened = sys.getswitchinterval()
    guard.dismiss()
    guard.dismiss()

    assert shortened == pytest.approx(1e-5)
    assert sys.getswitchinterval() == pytest.approx(1e-5)
    assert interval > 1e-5


@pytest.mark.blocks_loop
async def test_the_loop_pauses_while_a_commit_is_late_and_not_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """After 2 ms every turn of the loop lets the writer go first, until the commit ends."""
    paused: list[float] = []
    monkeypatch.setattr("time.sleep", paused.append)
    loop, guard = asyncio.get_running_loop(), WriterGuard()

    async def turns_for(seconds: float) -> None:
        end = loop.time() + seconds
        while loop.time() < end:  # noqa: ASYNC110 - turns are what is counted
            await asyncio.sleep(0)

    with guard:
        await asyncio.sleep(0)
    await turns_for(0.004)
    assert paused == []
    with guard:
        while len(paused) <= 10:  # noqa: ASYNC110 - turns are what is counted
            await asyncio.sleep(0)
    count = len(paused)
    await turns_for(0.004)

    assert len(paused) == count
    assert max(paused) < 0.001


@pytest.mark.blocks_loop
async def test_commits_get_through_beside_a_loop_that_never_rests(tmp_path: Path) -> None:
    """With turns of half a millisecond that follow each other without a rest, twenty commits take no seconds."""
    journal = await SqliteJournal.open(tmp_path / "journal", YIELDING)
    loop, is_done = asyncio.get_running_loop(), False

    async def never_rest() -> None:
        while not is_done:
            end = loop.time() + 0.0005
            while loop.time() < end:
                pass
            await asyncio.sleep(0)

    busy = asyncio.create_task(never_rest())
    async with asyncio.timeout(10):
        for number in range(20):
            await journal.wait(journal.append([started(number)]))
    is_done = True
    await busy
    await journal.close()
