"""What queues while one commit runs rides in the next: one statement, all or nothing, and everybody is told."""

import asyncio
from pathlib import Path

import aiosqlite
import pytest

from queue_runtime.journal.codec import CODEC, Draft
from queue_runtime.journal.errors import JournalUnavailable
from queue_runtime.journal.log import SqliteJournal
from queue_runtime.journal.queries import MAX_ROWS
from queue_runtime.journal.settings import JournalSettings
from queue_runtime.journal.writer import Writer
from tests.journal.examples import SEGMENT, database, read, started


def group_sizes(folder: Path) -> list[int]:
    """Return how many rows each commit carried: the last row of a group holds its hash."""
    with database(folder) as connection:
        ends = [row[0] for row in connection.execute("SELECT position FROM events WHERE chain IS NOT NULL")]
    return [end - begin for begin, end in zip([0, *ends], ends, strict=False)]


async def test_what_queues_while_a_commit_runs_rides_in_the_next(tmp_path: Path) -> None:
    """However many appends come while one commit is on its way, the next carries them all."""
    journal = await SqliteJournal.open(tmp_path / "journal")
    begun = asyncio.Event()
    journal.on_commit(lambda durable, _: begun.set() if durable == 1 else None)
    journal.append([started(0)])
    await begun.wait()
    for number in range(1, 6):
        journal.append([started(number)])
    await journal.wait(6)
    await journal.close()

    assert group_sizes(tmp_path / "journal") == [1, 5]


async def test_a_group_is_one_statement_in_one_hop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A group of up to 256 rows asks SQLite once, whatever its size; a larger one is one transaction."""
    journal = await SqliteJournal.open(tmp_path / "journal")
    asked: list[str] = []
    execute = aiosqlite.Connection.execute

    def listen(self: aiosqlite.Connection, sql: str, *parameters: object) -> object:
        asked.append(sql.split(maxsplit=1)[0])
        return execute(self, sql, *parameters)

    monkeypatch.setattr(aiosqlite.Connection, "execute", listen)
    for count in (1, MAX_ROWS, 2 * MAX_ROWS + 1):
        await journal.wait(journal.append([started(number) for number in range(count)]))
        asked.append("|")
    await journal.close()

    statements = " ".join(asked).split(" | ")
    assert statements[:3] == ["INSERT", "INSERT", "BEGIN INSERT INSERT INSERT COMMIT"]


@pytest.mark.parametrize("count", [10, MAX_ROWS + 50], ids=["one statement", "several"])
async def test_a_group_is_stored_whole_or_not_at_all(tmp_path: Path, count: int) -> None:
    """A row that SQLite refuses at the end of a group leaves nothing of the group behind."""
    folder = tmp_path / "journal"
    await (await SqliteJournal.open(folder)).close()
    writer = Writer(folder / SEGMENT, JournalSettings())
    await writer.open()
    good: list[Draft] = [CODEC.draft(started(number)) for number in range(count)]
    head, covered, _ = good[-1]
    bad = (None, *head[1:]), covered, None  # the kind may not be null

    with pytest.raises(JournalUnavailable):
        await writer.commit([*good[:-1], bad])  # pyright: ignore[reportArgumentType] - it is bad on purpose
    await writer.commit(good[:3])
    await writer.close()

    assert group_sizes(folder) == [3]


async def test_a_writer_that_dies_is_told_to_everybody(tmp_path: Path) -> None:
    """If the task that commits ends, waiters and callbacks hear of it, and `recover` starts another."""
    journal = await SqliteJournal.open(tmp_path / "journal")
    heard: list[BaseException | None] = []
    journal.on_commit(lambda _, error: heard.append(error))
    position = journal.append([started(1)])
    waiter = asyncio.create_task(journal.wait(position))
    (writer,) = [task for task in asyncio.all_tasks() if task.get_name() == "journal-writer"]
    await asyncio.sleep(0)

    writer.cancel()
    with pytest.raises(JournalUnavailable):
        await waiter

    assert [type(error) for error in heard] == [JournalUnavailable]
    with pytest.raises(JournalUnavailable):
        journal.append([started(2)])
    await journal.recover()
    await journal.wait(journal.append([started(2)]))
    await journal.close()
    assert started(2) in await read(tmp_path / "journal")


async def test_a_hundred_appenders_share_few_commits(tmp_path: Path) -> None:
    """Appenders that all wait are carried by a commit each turn, not by one each."""
    journal = await SqliteJournal.open(tmp_path / "journal")

    async def append_ten(appender: int) -> None:
        for number in range(10):
            await journal.wait(journal.append([started(appender * 10 + number)]))

    await asyncio.gather(*map(append_ten, range(100)))
    await journal.close()

    sizes = group_sizes(tmp_path / "journal")
    assert sum(sizes) == 1_000
    assert len(sizes) <= 20
