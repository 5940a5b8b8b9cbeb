"""The one connection that writes. `log.py` knows nothing of SQLite, so that committing elsewhere stays possible."""

from __future__ import annotations

import asyncio
import sqlite3
import time
import zlib
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TypeAlias, cast

import aiosqlite

from queue_runtime.journal import queries
from queue_runtime.journal.bodies import PackedBody, pack_bodies, pack_body
from queue_runtime.journal.chain import GENESIS, Row, link
from queue_runtime.journal.codec import Draft, Ending, ending
from queue_runtime.journal.errors import JournalCorrupt, JournalError, JournalUnavailable
from queue_runtime.journal.events import EVENT_TYPES
from queue_runtime.journal.guard import WriterGuard
from queue_runtime.journal.segments import number_of
from queue_runtime.journal.settings import JournalSettings

__all__ = ["GroupEnd", "StoredRow", "Writer", "base_row", "parse_base", "translated"]

StoredRow: TypeAlias = tuple[int, bytes | None, Row]
"""Position, hash of the chain if the row ends its group, and the row."""

GroupEnd: TypeAlias = tuple[int, bytes]
"""Position and hash of the last row of a commit group; `(0, GENESIS)` before the first."""

_DAMAGE = frozenset({"SQLITE_CORRUPT", "SQLITE_NOTADB"})
_NO_PAGE_LIMIT = 0xFFFFFFFE
_COLUMNS_A_ROW = 14
_PACKED_AT_ONCE = 64 * 1024
"""Bytes of bodies that are packed on the loop: in 0.15 ms, about what it takes to have another thread do it."""
_END = 1 << 63  # SQLite's integers have 64 bits


class Writer:
    """A segment open for appending. One call at a time; SQLite itself works on aiosqlite's thread."""

    def __init__(self, path: Path, settings: JournalSettings) -> None:
        """Name the segment; nothing is opened yet."""
        self.path = path
        self._settings = settings
        self._guard = WriterGuard() if settings.yield_to_writer else None
        self._open: aiosqlite.Connection | None = None
        self._packing = ThreadPoolExecutor(1, "journal-packing")  # not the loop's own, which handlers may fill
        self.base: GroupEnd | None = None
        """What the segment follows; None if that is not said yet."""
        self.created_at = 0
        """Since when there is a base, in microseconds since 1970, UTC."""
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
        with translated(self.path, 1):
            # Every size of statement stays prepared: preparing one costs as much as its rows.
            uri = f"{self.path.absolute().as_uri()}?mode=rw"
            connection = aiosqlite.connect(
                uri, uri=True, isolation_level=None, cached_statements=queries.STATEMENT_SIZES + 16
            )
            self._open = await connection
            await self._prepare(self._open)
            begun = await self._fetch(queries.BASE)
            last = await self._fetch(queries.LAST_ROW)
        if begun:
            self.base, self.created_at = parse_base(self.path, begun[0])
        position, chain = last[0] if last else self.base or (0, GENESIS)
        if not isinstance(position, int) or not isinstance(chain, bytes):
            raise JournalCorrupt(cast("int", position), f"the last row of {self.path} does not end a commit group")
        self.end = position, chain
        if self.end == (0, GENESIS) and self.base is None and number_of(self.path) == 1:
            await self.begin(self.end, time.time_ns() // 1_000)

    async def _prepare(self, connection: aiosqlite.Connection) -> None:
        application = await self._fetch("PRAGMA application_id")
        layout = cast("int", (await self._fetch("PRAGMA user_version"))[0][0])
        if application[0][0] not in (0, queries.APPLICATION_ID):
            msg = f"{self.path} is a database of something else; name another folder"
            raise JournalError(msg)
        if layout > queries.LAYOUT:
            msg = f"{self.path} has layout {layout}, this version knows {queries.LAYOUT}; upgrade queue-runtime"
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

    async def begin(self, base: GroupEnd, at: int) -> None:
        """Say what the empty segment follows, and return when that is durable: rows can be appended from then on.

        Raises:
            JournalUnavailable: it was not written; in rare cases it was, so an end of the segment is one of the file.
        """
        with translated(self.path, base[0]):
            await self._connection.execute(queries.BEGIN, base_row(base, at))
        self.base = self.end = base
        self.created_at = at

    async def commit(self, group: Sequence[Draft]) -> None:
        """Append the rows of one group at the end, all or nothing, and return when they are durable.

        Raises:
            JournalUnavailable: nothing, or in rare cases all of it, was written; open again to find out.
        """
        packed = await self._packed_bodies(group)
        position, chain = self.end
        first, records = position + 1, list[bytes]()
        values: list[int | str | bytearray] = []
        for draft in group:
            position += 1
            end, covered = ending(draft, None if draft[2] is None else next(packed))
            values += _parameters(position, draft, end)
            records.append(covered)
        chain = link(chain, first, records)
        values[1 - _COLUMNS_A_ROW] = bytearray(chain)
        with translated(self.path, position), self._guard or nullcontext():
            if len(group) <= queries.MAX_ROWS:
                await self._insert(values)
            else:
                await self._commit_in_parts(values)
        self.end = position, chain

    async def _packed_bodies(self, group: Sequence[Draft]) -> Iterator[PackedBody]:
        """Pack the bodies, in order: on a thread of its own if it would keep the loop for long."""
        bodies = [body for _, _, body in group if body is not None]
        if sum(map(len, bodies)) > _PACKED_AT_ONCE:
            loop = asyncio.get_running_loop()
            return iter(await loop.run_in_executor(self._packing, pack_bodies, bodies))
        return map(pack_body, bodies)

    async def _commit_in_parts(self, values: list[int | str | bytearray]) -> None:
        await self._connection.execute("BEGIN IMMEDIATE")
        try:
            size = queries.MAX_ROWS * _COLUMNS_A_ROW
            for start in range(0, len(values), size):
                await self._insert(values[start : start + size])
            await self._connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error, ValueError):
                await self._connection.execute("ROLLBACK")
            raise

    async def _insert(self, values: list[int | str | bytearray]) -> None:
        count = len(values) // _COLUMNS_A_ROW
        places = queries.places_for(count)
        values += [0] * ((places - count) * _COLUMNS_A_ROW)
        await self._connection.execute(queries.insert_rows(places), values)

    async def try_writing(self) -> None:
        """Write and delete a megabyte: proof that there is room again.

        Raises:
            JournalUnavailable: there is none.
        """
        with translated(self.path, self.end[0]):
            await self._connection.execute(queries.FILL_PROBE)
            await self._connection.execute(queries.EMPTY_PROBE)

    async def checkpoint(self) -> None:
        """Copy the write-ahead log into the database and sync it.

        Raises:
            JournalUnavailable: the disk is full or broken.
        """
        with translated(self.path, self.end[0]):
            await self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    async def close(self) -> None:
        """Close the connection. Twice is harmless."""
        if self._guard is not None:
            self._guard.dismiss()
        connection, self._open = self._open, None
        if connection is not None:
            await connection.close()
        self._packing.shutdown(wait=False)

    @property
    def _connection(self) -> aiosqlite.Connection:
        if self._open is None:
            msg = f"{self.path} is closed"
            raise JournalError(msg)
        return self._open

    async def _fetch(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[object, ...]]:
        return cast("list[tuple[object, ...]]", await self._connection.execute_fetchall(query, parameters))


def _parameters(position: int, draft: Draft, end: Ending) -> tuple[int | str | bytearray, ...]:
    """Return what `queries.insert_rows` takes for a row that does not end its group."""
    kind, version, key, session, attempt, at, error_kind, data = draft[0]
    form, digest, crc, body = end
    return (
        position,
        queries.NO_VALUE,
        kind,
        version,
        queries.NO_VALUE if key is None else key,
        queries.NO_VALUE if session is None else session,
        queries.NO_NUMBER if attempt is None else attempt,
        at,
        queries.NO_VALUE if error_kind is None else error_kind,
        bytearray(data),
        queries.NO_NUMBER if form is None else int(form),
        queries.NO_VALUE if digest is None else bytearray(digest),
        crc,
        queries.NO_VALUE if body is None else bytearray(body),
    )


def base_row(base: GroupEnd, at: int) -> tuple[int, bytes, int, int]:
    """Return the row that says what a segment follows, with its checksum."""
    return (*base, at, _base_crc(base, at))


def parse_base(path: Path, row: Sequence[object]) -> tuple[GroupEnd, int]:
    """Return what the segment at `path` follows, and since when it is there.

    Raises:
        JournalCorrupt: it is not what was written.
    """
    position, chain, at, crc = row
    if not (isinstance(position, int) and isinstance(chain, bytes) and isinstance(at, int)):
        raise JournalCorrupt(1, f"what {path} follows has impossible values")
    if not 0 <= position < _END or not 0 <= at < _END or _base_crc((position, chain), at) != crc:
        raise JournalCorrupt(max(position, 0) + 1, f"what {path} follows does not match its checksum")
    return (position, chain), at


def _base_crc(base: GroupEnd, at: int) -> int:
    return zlib.crc32(base[0].to_bytes(8, "big") + base[1] + at.to_bytes(8, "big"))


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
