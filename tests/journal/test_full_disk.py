"""A journal whose disk is full loses nothing, and goes on when there is room."""

from pathlib import Path

import pytest

from queue_runtime.journal.errors import EventRefused, JournalUnavailable
from queue_runtime.journal.log import SqliteJournal
from queue_runtime.journal.settings import JournalSettings
from tests.journal.examples import prove, read, received, step


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


async def test_K33_a_full_disk_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """The group that did not fit is gone whole; its positions are given again, to what is appended next."""
    settings = JournalSettings(max_pages=60)
    journal = await SqliteJournal.open(tmp_path / "journal", settings)
    acknowledged = 0
    heard: list[tuple[int, BaseException | None]] = []
    journal.on_commit(lambda durable, error: heard.append((durable, error)))

    async def fill() -> None:
        nonlocal acknowledged
        while True:
            await journal.wait(journal.append([step(acknowledged * 3 + number, size=3_000) for number in range(3)]))
            acknowledged += 1

    with pytest.raises(JournalUnavailable, match="SQLITE_FULL"):
        await fill()

    assert acknowledged > 10
    assert journal.position == journal.durable == acknowledged * 3
    assert [(durable, type(error)) for durable, error in heard[-2:]] == [
        (acknowledged * 3, type(None)),
        (acknowledged * 3, JournalUnavailable),
    ]
    object.__setattr__(settings, "max_pages", None)  # somebody made room
    await journal.recover()
    assert journal.append([step(7_777)]) == acknowledged * 3 + 1
    await journal.close()
    events = await read(tmp_path / "journal")
    assert [event.at for event in events] == [*range(acknowledged * 3), 7_777]
    assert (await prove(tmp_path / "journal")).is_good


async def test_K44_an_event_beyond_the_limit_is_refused_before_it_is_taken(tmp_path: Path) -> None:
    """`max_event_bytes` counts an event with its body as it came; the refusal says what to do, the journal goes on."""
    journal = await SqliteJournal.open(tmp_path / "journal", JournalSettings(max_event_bytes=10_000))
    with pytest.raises(EventRefused, match="raise max_event_bytes"):
        journal.append([step(1), step(2, size=10_001)])

    with pytest.raises(EventRefused, match="raise max_event_bytes"):
        journal.append([received(3, b"a" * 10_001)])  # however well it would compress

    assert journal.append([received(3, b"a" * 9_000)]) == 1
    await journal.close()
