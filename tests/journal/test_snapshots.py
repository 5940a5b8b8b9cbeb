"""A snapshot file is a shorter way, never another truth: what is wrong with it costs time, not a start."""

import asyncio
import dataclasses
import logging
from pathlib import Path
from typing import cast

import pytest

from queue_runtime.journal import snapshot
from queue_runtime.journal.errors import JournalCorrupt, JournalUnavailable
from queue_runtime.journal.log import SqliteJournal
from queue_runtime.journal.snapshot import Snapshot, pack_snapshot, unpack_snapshot
from queue_runtime.journal.state import EngineState, fold
from queue_runtime.journal.verify import verify
from tests.journal.examples import SEGMENT, image, life, read, started

LIVES = [*life(1), *life(2)]


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """A closed journal of two messages, with a snapshot of both."""
    journal = await SqliteJournal.open(tmp_path / "journal")
    journal.append(LIVES)
    await journal.snapshot(fold(LIVES))
    await journal.close()
    return tmp_path / "journal"


async def first_item(folder: Path) -> object:
    journal = await SqliteJournal.open(folder)
    items = [item async for _, item in journal.load()]
    await journal.close()
    return items[0]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_a_damaged_snapshot_is_left_out(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Cut, altered or empty, it is logged and all events are read instead."""
    content = (folder / "newest.snapshot").read_bytes()
    assert isinstance(await first_item(folder), EngineState)
    for damaged in (b"", content[:40], content[:-1], content[:-5] + b"\x00" + content[-4:], b"x" + content[1:]):
        (folder / "newest.snapshot").write_bytes(damaged)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert await read(folder) == LIVES
        assert "is left out" in caplog.text


async def test_a_snapshot_of_another_version_is_left_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shape of the state may change: events are read instead, and nobody calls that damage."""
    monkeypatch.setattr(snapshot, "VERSION", snapshot.VERSION + 1)

    assert (await asyncio.to_thread(verify, folder)).is_good
    assert await read(folder) == LIVES


@pytest.mark.parametrize("version", [2, 3])
def test_K35_a_snapshot_of_the_versions_before_is_read(version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second had no places of senders, the third no spans of attempts; messages age as their rows do."""
    state = fold(LIVES)
    values = {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}
    values["messages"] = {key: tuple(message)[:-1] for key, message in state.messages.items()}
    assert state.messages
    if version == 2:
        assert values.pop("senders") == {}
    monkeypatch.setattr(snapshot, "VERSION", version)
    older = pack_snapshot(Snapshot(7, cast("EngineState", tuple(values.values()))))
    monkeypatch.undo()

    assert unpack_snapshot(older) == Snapshot(7, state)


async def test_a_snapshot_of_the_first_layout_is_left_out(folder: Path) -> None:
    """As above: it is known by its first line."""
    (folder / "newest.snapshot").write_bytes(b"queue-runtime snapshot\n" + bytes(40))

    assert (await asyncio.to_thread(verify, folder)).is_good
    assert await read(folder) == LIVES


def test_whatever_stands_in_a_snapshot_is_a_state_or_refused() -> None:
    """A snapshot with a perfect digest and something else inside is refused like a damaged one."""
    for content in (None, (1, 2), {"messages": 3}, ()):
        packed = pack_snapshot(Snapshot(1, content))  # pyright: ignore[reportArgumentType] - wrong on purpose
        with pytest.raises(ValueError, match=r"belongs|zip"):
            unpack_snapshot(packed)


async def test_a_snapshot_ahead_of_its_database_is_corrupt(folder: Path) -> None:
    """If the events under a snapshot are gone the journal is damaged, however good the snapshot is."""
    newer = (folder / "newest.snapshot").read_bytes()
    fresh = folder.with_name("fresh")
    journal = await SqliteJournal.open(fresh)
    await journal.wait(journal.append([started(1)]))
    await journal.close()
    (fresh / "newest.snapshot").write_bytes(newer)

    with pytest.raises(JournalCorrupt, match="there is a snapshot of 6") as caught:
        await read(fresh)

    assert caught.value.position == 2


async def test_a_crash_while_a_snapshot_is_written_leaves_the_older_one(folder: Path) -> None:
    """A half-written file beside it is overwritten by the next snapshot, and read by nobody."""
    dead = image(folder, "dead")
    (dead / "newest.new").write_bytes(b"half")
    assert await first_item(dead) == fold(LIVES)

    journal = await SqliteJournal.open(dead)
    journal.append(life(3))
    await journal.snapshot(fold([*LIVES, *life(3)]))
    await journal.close()

    assert await first_item(dead) == fold([*LIVES, *life(3)])
    assert names(dead) == [SEGMENT, "head", "lock", "newest.snapshot"]


async def test_a_snapshot_that_cannot_be_written_is_told(folder: Path) -> None:
    """The caller hears `JournalUnavailable`, and the journal itself goes on."""
    journal = await SqliteJournal.open(folder)
    (folder / "newest.new").mkdir()
    with pytest.raises(JournalUnavailable, match="cannot be written"):
        await journal.snapshot(fold(LIVES))
    (folder / "newest.new").rmdir()
    await journal.wait(journal.append([started(1)]))
    await journal.close()


def test_a_snapshot_shows_no_body(folder: Path) -> None:
    """Bodies in it are compressed like those in rows, and the file is as private; its repr says nothing."""
    assert (folder / "newest.snapshot").stat().st_mode & 0o077 == 0
    assert "nobody may see" not in repr(unpack_snapshot((folder / "newest.snapshot").read_bytes()))
