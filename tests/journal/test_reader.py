"""People read a journal beside its engine, by what they look for, and disturb nothing."""

import asyncio
from pathlib import Path

import pytest

from queue_runtime.journal.errors import JournalCorrupt, JournalError
from queue_runtime.journal.log import SqliteJournal
from queue_runtime.journal.reader import Entry, JournalReader, JournalStatistics
from tests.journal.examples import SECRET, SEGMENT, image, life, started, tampering, write, write_foreign


def entries(folder: Path, **wanted: object) -> list[Entry]:
    """Read as the command line does, in a thread of its own."""
    with JournalReader(folder) as reader:
        return list(reader.entries(**wanted))  # pyright: ignore[reportArgumentType] - handed on as it came


@pytest.fixture
async def journal(tmp_path: Path) -> Path:
    await write(tmp_path / "journal", life(1), life(2), life(3))
    return tmp_path / "journal"


async def test_an_entry_is_an_event_with_its_columns(journal: Path) -> None:
    """Position, name, key, session, attempt and instant are there beside the event itself."""
    found = await asyncio.to_thread(entries, journal)

    assert [entry.event for entry in found] == [*life(1), *life(2), *life(3)]
    assert [entry.position for entry in found] == list(range(1, 10))
    first, second = found[:2]
    assert (first.name, first.key, first.session, first.attempt, first.at) == ("Received", "pulls/1", "octo/1", None, 1)
    assert (second.name, second.attempt) == ("AttemptStarted", 1)
    assert 0 < first.stored_bytes < 400


async def test_entries_are_found_by_what_people_ask_for(journal: Path) -> None:
    """By position, key, session and name of event, alone and together."""

    async def positions(**wanted: object) -> list[int]:
        return [entry.position for entry in await asyncio.to_thread(entries, journal, **wanted)]

    assert await positions(after=7) == [8, 9]
    assert await positions(after=2, until=4) == [3, 4]
    assert await positions(until=100) == list(range(1, 10))
    assert await positions(key="pulls/2") == [4, 5, 6]
    assert await positions(session="octo/0") == [7]
    assert await positions(names=["AttemptStarted", "Completed"]) == [2, 3, 5, 6, 8, 9]
    assert await positions(names=["Completed"], key="pulls/3") == [9]
    assert await positions(key="'; DROP TABLE events; --") == []
    with pytest.raises(ValueError, match="no event is called Finished; the names are"):
        await positions(names=["Finished"])


async def test_K43_a_reader_follows_a_live_writer(tmp_path: Path) -> None:
    """While the engine appends, a reader sees whole commits in order, and asks again from where it was."""
    journal = await SqliteJournal.open(tmp_path / "journal")
    seen: list[Entry] = []
    for batch in range(10):
        position = journal.append([started(batch * 200 + number) for number in range(200)])
        after = seen[-1].position if seen else 0
        found, _ = await asyncio.gather(
            asyncio.to_thread(entries, tmp_path / "journal", after=after), journal.wait(position)
        )
        assert len(found) % 200 == 0
        seen += found
    await journal.close()
    seen += await asyncio.to_thread(entries, tmp_path / "journal", after=seen[-1].position if seen else 0)

    assert [entry.at for entry in seen] == list(range(2_000))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


async def test_K43_a_reader_changes_nothing(journal: Path) -> None:
    """Reading a journal that nobody has open leaves its files as they are, and takes no lock."""
    before = contents(journal)
    await asyncio.to_thread(entries, journal)
    after = contents(journal)

    assert {name: after[name] for name in before} == before
    await write(journal, life(4))


async def test_a_journal_whose_process_was_killed_can_be_read(tmp_path: Path) -> None:
    """What is durable in the write-ahead log is read before any engine opened the journal again."""
    journal = await SqliteJournal.open(tmp_path / "journal")
    await journal.wait(journal.append(life(1)))
    dead = image(tmp_path / "journal", "dead")
    await journal.close()

    assert [entry.event for entry in await asyncio.to_thread(entries, dead)] == list(life(1))


async def test_a_reader_tolerates_what_it_does_not_know(tmp_path: Path) -> None:
    """An event of a newer version is an entry with its number for a name and no event; an engine refuses it."""
    await write_foreign(tmp_path / "journal", 999)

    found = await asyncio.to_thread(entries, tmp_path / "journal")

    assert [(entry.name, entry.event) for entry in found] == [("AttemptStarted", started(1)), ("kind 999", None)]
    assert found[1].key == "pulls/2"


async def test_what_is_damaged_is_named(journal: Path) -> None:
    """An entry that cannot be read raises with its position; those before it were handed out."""
    with tampering(journal) as connection:
        connection.execute("UPDATE events SET data = x'c1' WHERE position = 5")

    assert len(await asyncio.to_thread(entries, journal, until=4)) == 4
    with pytest.raises(JournalCorrupt) as caught:
        await asyncio.to_thread(entries, journal)
    assert caught.value.position == 5


async def test_statistics_count_what_is_there(journal: Path, tmp_path: Path) -> None:
    """Positions, instants, events by name and bytes on disk; nothing in an empty journal."""
    await (await SqliteJournal.open(tmp_path / "empty")).close()

    def count(folder: Path) -> tuple[JournalStatistics, int]:
        with JournalReader(folder) as reader:
            return reader.statistics(), reader.last_position()

    (full, last), (empty, none) = [await asyncio.to_thread(count, folder) for folder in (journal, tmp_path / "empty")]

    assert (full.first_position, full.last_position, full.first_at, full.last_at, last) == (1, 9, 1, 3, 9)
    assert full.events == {"Received": 3, "AttemptStarted": 3, "Completed": 3}
    assert full.file_bytes >= (journal / SEGMENT).stat().st_size
    assert (empty.first_position, empty.last_position, empty.first_at, empty.events, none) == (0, 0, None, {}, 0)


async def test_there_is_nothing_to_read_where_there_is_no_journal(tmp_path: Path) -> None:
    """A folder without a journal, or none at all, is named; nothing is made."""
    for folder in (tmp_path / "nothing", tmp_path):
        with pytest.raises(JournalError, match="there is no journal in"):
            await asyncio.to_thread(JournalReader, folder)

    assert not (tmp_path / "nothing").exists()


async def test_no_repr_shows_a_body_or_a_receipt(journal: Path) -> None:
    """Entries and events are printed without what is secret in them."""
    text = repr(await asyncio.to_thread(entries, journal)) + repr(life(1))

    assert SECRET.decode() not in text
    assert "receipt" not in text
