"""What is old goes, whole segments at a time, and never what live state needs."""

import asyncio
import errno
import logging
import os
from pathlib import Path

import pytest

from queue_runtime.journal import retention
from queue_runtime.journal.errors import JournalCorrupt
from queue_runtime.journal.events import Completed
from queue_runtime.journal.log import SqliteJournal
from queue_runtime.journal.reader import Entry, JournalReader
from queue_runtime.journal.segments import Layout
from queue_runtime.journal.settings import JournalSettings
from queue_runtime.journal.state import fold
from tests.journal.examples import SECRET, files, life, prove, received, started, tampering
from tests.journal.running import Running, events_of, loaded, run, segments

NAMES = [f"{number:08d}.segment.sqlite" for number in range(10)]


async def rotate(folder: Path, settings: JournalSettings, numbers: range) -> Running:
    """Append a life and begin a new segment, for each number."""
    running = await run(folder, settings)
    for number in numbers:
        running.append(*life(number))
        await running.snapshot()
    return running


async def test_what_is_older_than_allowed_is_dropped(tmp_path: Path) -> None:
    """Sealed segments go with their snapshots; the present one and its snapshot are all that a start needs."""
    folder = tmp_path / "journal"
    running = await rotate(folder, JournalSettings(segment_age_s=0, retention_s=3_600), range(1, 4))
    await running.journal.close()
    assert segments(folder) == NAMES[1:5]

    running = await rotate(folder, JournalSettings(segment_age_s=0, retention_s=0), range(4, 5))
    await running.journal.wait(running.append(*life(5)))
    await running.journal.close()

    assert files(folder) == [NAMES[5], "00000005.snapshot", "head", "lock"]
    assert (await prove(folder)).good_until == 15
    assert await loaded(folder) == (3, fold([event for number in range(1, 6) for event in life(number)]))


async def test_what_is_larger_than_allowed_loses_its_oldest(tmp_path: Path) -> None:
    """Segments go, oldest first, until the rest fits, and no more."""
    folder = tmp_path / "journal"
    await (await rotate(folder, JournalSettings(segment_age_s=0), range(1, 4))).journal.close()

    def keep_less(by: int) -> None:
        size = sum(path.stat().st_size for path in [*Layout(folder).segments(), *Layout(folder).snapshots()])
        retention.retain(Layout(folder), JournalSettings(retention_bytes=size - by), lambda: False)

    await asyncio.to_thread(keep_less, 0)
    assert segments(folder) == NAMES[1:5]
    await asyncio.to_thread(keep_less, 1)
    assert segments(folder) == NAMES[2:5]
    await asyncio.to_thread(keep_less, Layout(folder).segment(2).stat().st_size * 2)
    assert segments(folder) == NAMES[4:5]
    assert (await prove(folder)).is_good


async def test_nothing_goes_that_no_good_snapshot_covers(tmp_path: Path) -> None:
    """A snapshot that does not prove good stands for nothing: its events stay, whatever the bounds say."""
    folder = tmp_path / "journal"
    running = await rotate(folder, JournalSettings(segment_age_s=0), range(1, 4))
    for path in Layout(folder).snapshots()[1:]:
        path.write_bytes(path.read_bytes()[:-1] + b"x")

    settings = JournalSettings(retention_s=0)
    await asyncio.to_thread(retention.retain, Layout(folder), settings, lambda: False)

    await running.journal.close()
    assert segments(folder) == NAMES[2:5]
    assert await loaded(folder) == (6, running.state)


async def test_an_archived_segment_is_moved_and_can_be_read(tmp_path: Path) -> None:
    """Its file and snapshot are in the archive, as private as before, and nothing of them stays."""
    folder, archive = tmp_path / "journal", tmp_path / "deep" / "archive"
    settings = JournalSettings(segment_age_s=0, retention_s=0, archive_folder=archive)
    await (await rotate(folder, settings, range(1, 4))).journal.close()

    assert segments(folder) == [NAMES[4]]
    assert files(archive) == [NAMES[1], NAMES[2], "00000002.snapshot", NAMES[3], "00000003.snapshot"]
    assert {path.stat().st_mode & 0o777 for path in Layout(archive).segments()} == {0o600}
    assert archive.stat().st_mode & 0o777 == 0o700
    assert await events_of(archive) == [event for number in range(1, 4) for event in life(number)]


async def test_an_archive_that_cannot_be_written_keeps_the_segment(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A file of the same name that is another one is not overwritten; it is logged, and snapshots go on."""
    folder, archive = tmp_path / "journal", tmp_path / "archive"
    archive.mkdir()
    (archive / NAMES[1]).write_bytes(b"another journal's")
    settings = JournalSettings(segment_age_s=0, retention_s=0, archive_folder=archive)
    with caplog.at_level(logging.WARNING):
        await (await rotate(folder, settings, range(1, 3))).journal.close()

    assert "use an archive folder for each journal" in caplog.text
    assert segments(folder) == NAMES[1:4]
    assert (archive / NAMES[1]).read_bytes() == b"another journal's"
    assert (await prove(folder)).is_good


async def test_an_archiving_that_died_after_its_copy_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that dies between copy and removal leaves two copies; the next rotation removes the old one."""
    folder, archive = tmp_path / "journal", tmp_path / "archive"
    settings = JournalSettings(segment_age_s=0, retention_s=0, archive_folder=archive)
    unlink = Path.unlink

    def fail(path: Path, *, missing_ok: bool = False) -> None:
        if path.name == NAMES[1]:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", fail)
    await (await rotate(folder, settings, range(1, 2))).journal.close()
    assert NAMES[1] in segments(folder)
    assert NAMES[1] in segments(archive)
    monkeypatch.undo()

    await (await rotate(folder, settings, range(2, 3))).journal.close()

    assert segments(folder) == [NAMES[3]]
    assert segments(archive) == NAMES[1:3]


# --- bodies --------------------------------------------------------------------------------------------------------

WITHOUT_BODIES = JournalSettings(segment_age_s=0, keep_bodies=False)


def entries_of(folder: Path) -> list[Entry]:
    with JournalReader(folder) as reader:
        return list(reader.entries())


async def test_bodies_of_completed_messages_go_when_their_segment_is_sealed(tmp_path: Path) -> None:
    """No byte of them stays in any file; those of others do; the chain still proves everything else."""
    folder = tmp_path / "journal"
    unique = os.urandom(3_000)
    running = await run(folder, WITHOUT_BODIES)
    running.append(*life(1), received(2, b"kept" * 5), received(7, unique), *life(7)[1:])
    await running.snapshot()
    await running.journal.close()

    assert (await prove(folder)).is_good
    found = {entry.position: entry for entry in await asyncio.to_thread(entries_of, folder)}
    assert [position for position, entry in found.items() if entry.is_stripped] == [1, 3, 5, 7]
    assert getattr(found[1].event, "body", None) == b""
    assert getattr(found[4].event, "body", None) == b"kept" * 5
    completed = found[3].event
    assert isinstance(completed, Completed)
    assert [outgoing.body for outgoing in completed.outgoing] == [b""]
    for path in (path for path in Layout(folder).segments() if path.name == NAMES[1]):
        content = path.read_bytes()
        assert unique not in content
        assert SECRET not in content
    assert await loaded(folder) == (0, running.state)


async def test_a_message_completed_in_the_next_segment_loses_its_body_then(tmp_path: Path) -> None:
    """What was in flight when its segment was sealed is stripped once the segment of its completion is sealed."""
    folder = tmp_path / "journal"
    running = await run(folder, WITHOUT_BODIES)
    running.append(*life(1), received(2))
    await running.snapshot()
    assert [entry.is_stripped for entry in await asyncio.to_thread(entries_of, folder)][3] is False

    running.append(*life(2)[1:])
    await running.snapshot()
    await running.journal.close()

    stripped = [entry.position for entry in await asyncio.to_thread(entries_of, folder) if entry.is_stripped]
    assert stripped == [1, 3, 4, 6]
    assert (await prove(folder)).is_good


async def test_a_body_that_is_missing_beside_the_stripped_ones_is_damage(tmp_path: Path) -> None:
    """A segment says how many bodies were left out: one more that is gone is found."""
    folder = tmp_path / "journal"
    running = await run(folder, WITHOUT_BODIES)
    running.append(*life(1), received(2))
    await running.snapshot()
    await running.journal.close()
    with tampering(folder) as connection:
        connection.execute("UPDATE events SET body = NULL WHERE position = 4")

    verdict = await prove(folder)

    assert verdict.altered_at == 4
    assert "a part of the body is missing" in verdict.what


async def test_an_outgoing_message_without_its_body_is_never_loaded(tmp_path: Path) -> None:
    """If the snapshot that covers it is damaged the journal is: to send the message empty would be worse."""
    folder = tmp_path / "journal"
    running = await rotate(folder, WITHOUT_BODIES, range(1, 2))
    await running.journal.close()
    Layout(folder).snapshot(2).write_bytes(b"damaged")

    with pytest.raises(JournalCorrupt, match="a part of the body is missing") as caught:
        await loaded(folder)
    assert caught.value.position == 3


async def test_a_rewrite_that_fails_leaves_the_segment_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Bodies stay until the next rotation; it is logged, and nothing half written stays."""
    folder = tmp_path / "journal"

    def fail(_path: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(retention, "sync_file", fail)
    with caplog.at_level(logging.WARNING):
        running = await rotate(folder, WITHOUT_BODIES, range(1, 2))
    assert "stay as they are until the next rotation" in caplog.text
    assert not any(entry.is_stripped for entry in await asyncio.to_thread(entries_of, folder))
    assert not Layout(folder).left_over()
    monkeypatch.undo()

    running.append(started(3))
    await running.snapshot()
    await running.journal.close()

    assert [entry.position for entry in await asyncio.to_thread(entries_of, folder) if entry.is_stripped] == [1, 3]


async def test_a_closing_journal_ends_retention_between_two_segments(tmp_path: Path) -> None:
    """Once the journal closes no further segment is begun."""
    folder = tmp_path / "journal"
    await (await rotate(folder, JournalSettings(segment_age_s=0), range(1, 4))).journal.close()
    asked: list[int] = []

    def is_stopping() -> bool:
        asked.append(1)
        return len(asked) > 1

    await asyncio.to_thread(retention.retain, Layout(folder), JournalSettings(retention_s=0), is_stopping)

    assert segments(folder) == NAMES[2:5]
    journal = await SqliteJournal.open(folder)
    await journal.close()
