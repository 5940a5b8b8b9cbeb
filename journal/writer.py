"""The one connection that writes. `log.py` knows nothing of SQLite, so that committing elsewhere stays possible."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TypeAlias, cast

import aiosqlite

from queue_runtime.journal import queries
from queue_runtime.journal.chain import GENESIS, Row, link
from queue_runtime.journal.codec import Encoded
from queue_runtime.journal.errors import JournalCorrupt, JournalError, JournalUnavailable
from queue_runtime.journal.events import EVENT_TYPES
from queue_runtime.journal.guard import WriterGuard
from queue_runtime.journal.settings import JournalSettings

__all__ = ["GroupEnd", "StoredRow", "Writer", "translated"]

StoredRow: TypeAlias = tuple[int, bytes | None, Row]
"""Position, hash of the chain if the row ends its group, and the row."""

GroupEnd: TypeAlias = tuple[int, bytes]
"""Position and hash of the last row of a commit group; `(0, GENESIS)` before the first."""

_DAMAGE = frozenset({"SQLITE_CORRUPT", "SQLITE_NOTADB"})
_NO_PAGE_LIMIT = 0xFFFFFFFE
_COLUMNS_A_ROW = 14


class Writer:
    """A segment open for appending. One call at a time; SQLite itself works on aiosqlite's thread."""

    def __init__(self, path: Path, settings: JournalSettings) -> None:
        """Name the segment; nothing is opened yet."""
        self._path = path
        self._settings = settings
        self._guard = WriterGuard() if settings.yield_to_writer else None
        self._open: aiosqlite.Connection | None = None
        self.end: GroupEnd = (0, GENESIS)
        """Where the segment ends."""

    async def open(self) -> None:
        """Open the segment, laying it out if it is empty, and find its end.

        Raises:
            JournalUnavailable: it cannot be opened or written.
            JournalCorrupt: its end is damaged.
            JournalError: it is no segment, or one of a newer version.
        """
        if self._guard is not None:
            self._guard.begin()
        with translated(self._path, 1):
            # Every size of statement stays prepared: preparing one anew costs as much as a commit.
            uri = f"{self._path.absolute().as_uri()}?mode=rw"
            connection = aiosqlite.connect(uri, uri=True, isolation_level=None, cached_statements=queries.MAX_ROWS + 16)
            self._open = await connection
            await self._prepare(self._open)
            last = await self._fetch(queries.LAST_ROW)
        position, chain = last[0] if last else (0, GENESIS)
        if not isinstance(position, int) or not isinstance(chain, bytes):
            raise JournalCorrupt(cast("int", position), f"the last row of {self._path} does not end a commit group")
        self.end = position, chain

    async def _prepare(self, connection: aiosqlite.Connection) -> None:
        application = await self._fetch("PRAGMA application_id")
        layout = cast("int", (await self._fetch("PRAGMA user_version"))[0][0])
        if application[0][0] not in (0, queries.APPLICATION_ID):
            msg = f"{self._path} is a database of something else; name another folder"
            raise JournalError(msg)
        if layout > queries.LAYOUT:
            msg = f"{self._path} has layout {layout}, this version knows {queries.LAYOUT}; upgrade queue-runtime"
            raise JournalError(msg)
        await connection.executescript(
            queries.PRAGMAS.format(
                synchronous=self._settings.synchronous,
                checkpoint_pages=self._settings.checkpoint_pages,
                max_pages=self._settings.max_pages or _NO_PAGE_LIMIT,
            )
        )
        if layout < queries.LAYOUT:
            await connection.executescript(queries.CREATE)
        await connection.executemany(queries.KINDS, [(cls.KIND, cls.__name__) for cls in EVENT_TYPES])

    async def commit(self, group: Sequence[Encoded]) -> None:
        """Append the rows of one group at the end, all or nothing, and return when they are durable.

        Raises:
            JournalUnavailable: nothing, or in rare cases all of it, was written; open again to find out.
        """
        position, chain = self.end
        chain = link(chain, position + 1, [covered for _, covered in group])
        values: list[object] = []
        for row, _ in group:
            position += 1
            values += (position, None, *row)
        values[1 - _COLUMNS_A_ROW] = chain
        with translated(self._path, position), self._guard or nullcontext():
            if len(group) <= queries.MAX_ROWS:
                await self._connection.execute(queries.insert_rows(len(group)), values)
            else:
                await self._commit_in_parts(values)
        self.end = position, chain

    async def _commit_in_parts(self, values: list[object]) -> None:
        await self._connection.execute("BEGIN IMMEDIATE")
        try:
            size = queries.MAX_ROWS * _COLUMNS_A_ROW
            for start in range(0, len(values), size):
                part = values[start : start + size]
                await self._connection.execute(queries.insert_rows(len(part) // _COLUMNS_A_ROW), part)
            await self._connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error, ValueError):
                await self._connection.execute("ROLLBACK")
            raise

    async def page(self, after: int, until: int, limit: int) -> list[StoredRow]:
        """Return up to `limit` rows with a position in (`after`, `until`], in order.

        Raises:
            JournalUnavailable: it cannot be read.
            JournalCorrupt: SQLite finds the file damaged.
        """
        try:
            with translated(self._path, after + 1):
                rows = await self._fetch(queries.ROWS, (after, until, limit))
        except JournalCorrupt:
            if limit == 1:
                raise
            return await self.page(after, until, 1)  # which row is it? The good ones before it come first
        return [(cast("int", row[0]), cast("bytes | None", row[1]), cast("Row", row[2:])) for row in rows]

    async def group_end(self, position: int) -> GroupEnd:
        """Return the end of the last commit group that ended by `position`.

        Raises:
            As `page`.
        """
        with translated(self._path, position):
            rows = await self._fetch(queries.GROUP_END, (position,))
        return cast("GroupEnd", rows[0]) if rows else (0, GENESIS)

    async def try_writing(self) -> None:
        """Write and delete a megabyte: proof that there is room again.

        Raises:
            JournalUnavailable: there is none.
        """
        with translated(self._path, self.end[0]):
            await self._connection.execute(queries.FILL_PROBE)
            await self._connection.execute(queries.EMPTY_PROBE)

    async def checkpoint(self) -> None:
        """Copy the write-ahead log into the database and sync it.

        Raises:
            JournalUnavailable: the disk is full or broken.
        """
        with translated(self._path, self.end[0]):
            await self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    async def close(self) -> None:
        """Close the connection. Twice is harmless."""
        if self._guard is not None:
            self._guard.dismiss()
        connection, self._open = self._open, None
        if connection is not None:
            await connection.close()

    @property
    def _connection(self) -> aiosqlite.Connection:
        if self._open is None:
            msg = f"{self._path} is closed"
            raise JournalError(msg)
        return self._open

    async def _fetch(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[object, ...]]:
        return cast("list[tuple[object, ...]]", await self._connection.execute_fetchall(query, parameters))


@contextmanager
def translated(path: Path, position: int) -> Generator[None]:
    """Turn SQLite's errors about the segment at `path` into ours; `position` is where the work was.

    Raises:
        JournalUnavailable: the segment cannot be read or written now.
        JournalCorrupt: SQLite finds it damaged.
    """
    try:
        yield
    except sqlite3.Error as error:
        name = cast("str | None", getattr(error, "sqlite_errorname", None))
        if name is None and "decode" in str(error):  # the text of a column is no UTF-8: what it says is not repeated
            raise JournalCorrupt(position, f"a text in {path} is damaged") from None
        name = name or type(error).__name__
        if name.startswith(tuple(_DAMAGE)):
            raise JournalCorrupt(position, f"SQLite says of {path}: {error}") from error
        msg = f"{path} cannot be used ({name}: {error}); free space or mend the disk"
        raise JournalUnavailable(msg) from error
    except ValueError as error:  # aiosqlite's word for a connection that is gone
        msg = f"{path} cannot be used: {error}"
        raise JournalUnavailable(msg) from error
