"""A journal whose disk is full loses nothing, and goes on when there is room."""

import os
from pathlib import Path

import pytest

from queue_runtime.journal.errors import JournalUnavailable
from queue_runtime.journal.events import Event
from queue_runtime.journal.log import SqliteJournal
from queue_runtime.journal.message_events import StepRecorded
from queue_runtime.journal.settings import JournalSettings


def step(number: int, size: int = 100) -> Event:
    return StepRecorded(f"pulls/{number}", number, 1, "step", os.urandom(size))


async def test_a_full_disk_refuses_every_recovery_until_there_is_room(tmp_path: Path) -> None:
    """However often `recover` failed, one task commits afterwards, and a close commits all that was handed over."""
    settings = JournalSettings(max_pages=40)
    journal = await SqliteJournal.open(tmp_path / "journal", settings)
    await journal.wait(journal.append([step(1)]))
    with pytest.raises(JournalUnavailable, match="SQLITE_FULL"):
        await journal.wait(journal.append([step(2, size=400_000)]))

    for _ in range(2):
        with pytest.raises(JournalUnavailable, match="SQLITE_FULL"):
            await journal.recover()
        with pytest.raises(JournalUnavailable):
            journal.append([step(2)])
    object.__setattr__(settings, "max_pages", None)  # somebody made room
    await journal.recover()

    assert journal.append([step(number) for number in range(2, 2_000)]) == 1_999
    await journal.close()
    journal = await SqliteJournal.open(tmp_path / "journal")
    assert journal.durable == 1_999
    await journal.close()
