"""Nobody rewrites what happened: not by accident with another tool, and not unseen on purpose."""

import sqlite3
from pathlib import Path

import pytest

from queue_runtime.journal import queries
from tests.journal.examples import database, life, prove, started, write

REPLACE = (
    "REPLACE INTO events (position, kind, version, at, data, crc) "
    "SELECT position, kind, version, at + 1, data, crc FROM events WHERE position = 1"
)


@pytest.mark.parametrize("statement", ["UPDATE events SET at = 0 WHERE position = 1", "DELETE FROM events"])
async def test_rows_are_neither_updated_nor_deleted(tmp_path: Path, statement: str) -> None:
    """The database itself refuses UPDATE and DELETE, whoever asks."""
    await write(tmp_path / "journal", life(1))

    with database(tmp_path / "journal") as connection, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(statement)

    assert (await prove(tmp_path / "journal")).is_good


async def test_replace_is_refused_on_our_connection_and_found_on_any_other(tmp_path: Path) -> None:
    """REPLACE fires no delete trigger without a pragma that we set; behind our back it is found by `verify`."""
    folder = tmp_path / "journal"
    await write(folder, life(1))
    pragmas = queries.PRAGMAS.format(synchronous="FULL", checkpoint_pages=160, max_pages=10_000)

    with database(folder) as connection:
        connection.executescript(pragmas)
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(REPLACE)
    assert (await prove(folder)).is_good

    with database(folder) as connection:
        connection.execute(REPLACE)
    assert (await prove(folder)).altered_at == 1


async def test_a_journal_can_be_read_with_any_sqlite_tool(tmp_path: Path) -> None:
    """The view `events_named` shows events by name, with their key, session, attempt and time."""
    await write(tmp_path / "journal", life(1), [started(1_700_000_000_000_000)])

    with database(tmp_path / "journal") as connection:
        rows = connection.execute("SELECT position, event, key, session, attempt, at_utc FROM events_named").fetchall()

    assert [row[1] for row in rows] == ["Received", "AttemptStarted", "Completed", "AttemptStarted"]
    assert rows[0][2:5] == ("pulls/1", "octo/1", None)
    assert rows[3][5] == "2023-11-14 22:13:20.000"


async def test_the_file_is_laid_out_as_measured(tmp_path: Path) -> None:
    """Pages of 8 KiB, a write-ahead log, our mark and the version of the layout; no index on the write path."""
    await write(tmp_path / "journal", life(1))

    with database(tmp_path / "journal") as connection:
        found = [
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_size", "journal_mode", "application_id", "user_version")
        ]
        indexes = connection.execute("SELECT count(*) FROM sqlite_master WHERE type = 'index'").fetchone()[0]

    assert found == [8_192, "wal", queries.APPLICATION_ID, queries.LAYOUT]
    assert indexes == 0
