"""One segment, read and never written: by the load, by `verify`, and by people beside an engine that runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import cast

from queue_runtime.journal import queries
from queue_runtime.journal.chain import GENESIS, Row
from queue_runtime.journal.errors import JournalCorrupt
from queue_runtime.journal.segments import Layout, has_log, number_of
from queue_runtime.journal.writer import GroupEnd, StoredRow, parse_base, translated

__all__ = ["FIRST", "LAST", "SegmentFile", "Shelf", "empty_log"]

FIRST, LAST = -(1 << 63), (1 << 63) - 1
"""The positions that a database can hold; ours begin at 1, and what stands before was put there."""

_PAGE_ROWS = 500  # of one transaction: a long reader keeps the write-ahead log from being reused


class SegmentFile:
    """A segment open for reading. One call at a time, from any thread; each is a transaction of its own."""

    def __init__(self, path: Path, *, is_sealed: bool = False) -> None:
        """Open the segment at `path`. If `is_sealed` nobody writes it any more: it is read without a trace.

        Raises:
            JournalUnavailable: it cannot be opened; it may have been dropped.
            JournalCorrupt: what it follows is damaged, or is not said although there are rows; or it says that it is
                none of ours.
        """
        self.path = path
        self.number = number_of(path)
        query = "mode=ro&immutable=1" if is_sealed and not has_log(path) else "mode=ro"
        with translated(path, 1):
            uri = f"{path.absolute().as_uri()}?{query}"
            self._connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        try:
            layout = self._layout()
            self.has_rows = layout > 0
            """False while the very first segment is being made."""
            begun = self.fetch(queries.BASE) if layout >= queries.LAYOUT_WITH_BASE else []
            self.base: GroupEnd = (0, GENESIS)
            """What the segment follows."""
            self.created_at = 0
            """Since when it is there, in microseconds since 1970, UTC; 0 if nobody noted it."""
            stripped = self.fetch(queries.STRIPPED) if layout >= queries.LAYOUT_WITH_BASE else []
            self.stripped_bodies = cast("int", stripped[0][0]) if stripped else 0
            """How many bodies of completed messages were left out when it was rewritten."""
            self.is_begun = bool(begun) or self.number == 1
            """False while it is being made: it is no segment yet, and may never be one."""
            if begun:
                self.base, self.created_at = parse_base(path, begun[0])
            elif not self.is_begun:
                self._check_empty()
        except BaseException:
            self.close()
            raise

    def fetch(
        self, query: str, parameters: Sequence[object] | Mapping[str, object] = (), position: int = 1
    ) -> list[tuple[object, ...]]:
        """Return all rows that a query finds; `position` is where a fault would be.

        Raises:
            JournalUnavailable: it cannot be read.
            JournalCorrupt: SQLite finds the file damaged.
        """
        if not self.has_rows:
            return []
        with translated(self.path, position):
            return self._connection.execute(query, parameters).fetchall()

    def page(self, after: int, until: int, limit: int = _PAGE_ROWS) -> list[StoredRow]:
        """Return up to `limit` rows with a position in (`after`, `until`], in order.

        Raises:
            As `fetch`.
        """
        try:
            rows = self.fetch(queries.ROWS, (after, until, limit), after + 1)
        except JournalCorrupt:
            if limit == 1:
                raise
            return self.page(after, until, 1)  # which row is it? The good ones before it come first
        return [(cast("int", row[0]), cast("bytes | None", row[1]), cast("Row", row[2:])) for row in rows]

    @property
    def is_stripped(self) -> bool:
        """True if the bodies of completed messages were left out when it was rewritten."""
        return self.stripped_bodies > 0

    def rows(self) -> Iterator[StoredRow]:
        """Yield all rows, in order, page by page.

        Raises:
            As `fetch`.
        """
        position = FIRST
        while page := self.page(position, LAST):
            yield from page
            position = page[-1][0]

    def schema_fault(self) -> str | None:
        """Hold the columns of the rows, and what refuses to change them, against what this version lays out.

        Rows may be good beside a damaged text of theirs, but what is appended next would not be.

        Raises:
            As `fetch`.
        """
        if self.has_rows and self.fetch(queries.SCHEMA) != _schema():
            return f"the schema of {self.path} is not what was laid out"
        return None

    def end(self) -> int:
        """Return the position that the segment ends with by now.

        Raises:
            As `fetch`.
        """
        rows = self.fetch(queries.LAST_ROW)
        return cast("int", rows[0][0]) if rows else self.base[0]

    def group_end(self, position: int) -> GroupEnd:
        """Return the end of the last commit group that ended by `position`; the base if none did.

        Raises:
            As `fetch`.
        """
        rows = self.fetch(queries.GROUP_END, (position,), position)
        return cast("GroupEnd", rows[0]) if rows else self.base

    def _layout(self) -> int:
        with translated(self.path, 1):
            self._connection.execute("PRAGMA query_only = 1")
            layout = int(self._connection.execute("PRAGMA user_version").fetchone()[0])
            application = self._connection.execute("PRAGMA application_id").fetchone()[0]
        if layout and application != queries.APPLICATION_ID:  # an owner would refuse it, so it is not good
            raise JournalCorrupt(1, f"{self.path} says that it is a database of something else; name another folder")
        return layout

    def _check_empty(self) -> None:
        if self.fetch(queries.LAST_ROW):
            raise JournalCorrupt(1, f"{self.path} has rows, and does not say what they follow")

    def close(self) -> None:
        """Close the file. Twice is harmless."""
        self._connection.close()


class Shelf:
    """The segments of a journal, each opened when it is needed. One call at a time, from any thread."""

    def __init__(self, layout: Layout) -> None:
        """Name the folder; nothing is opened yet."""
        self._layout = layout
        self._open: dict[Path, SegmentFile] = {}

    def since(self, position: int) -> list[SegmentFile]:
        """Return the segments that hold what follows `position`, oldest first, and no older ones.

        The first of them follows a later position if what is between was dropped. What is asked for again later is
        looked up again: segments come and go while an engine runs.

        Raises:
            JournalUnavailable: one cannot be read.
            JournalCorrupt: one does not say what it follows.
        """
        paths = self._layout.segments()
        for path in set(self._open).difference(paths):
            self._open.pop(path).close()
        found: list[SegmentFile] = []
        for path in reversed(paths):
            segment = self._segment(path, is_sealed=bool(found))
            if segment is not None:
                found.append(segment)
                if segment.base[0] <= position:
                    break
        return found[::-1]

    def newest(self) -> SegmentFile:
        """Return the segment that is written, or was last.

        Raises:
            JournalCorrupt: no segment says what it follows.
            JournalUnavailable: it cannot be read.
        """
        found = self.since(LAST)
        if not found:
            raise JournalCorrupt(1, f"no segment in {self._layout.folder} says what it follows")
        return found[-1]

    def close(self) -> None:
        """Close what is open. Twice is harmless."""
        while self._open:
            self._open.popitem()[1].close()

    def _segment(self, path: Path, *, is_sealed: bool) -> SegmentFile | None:
        segment = self._open.get(path)
        if segment is None or not segment.has_rows:
            segment = SegmentFile(path, is_sealed=is_sealed)
            if not segment.is_begun:
                segment.close()
                return None
            self._open[path] = segment
        return segment


@cache
def _schema() -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.executescript(queries.CREATE)
        return connection.execute(queries.SCHEMA).fetchall()


def empty_log(segment: Path) -> None:
    """Copy what is left in the log of a sealed segment into it, and remove the log unless somebody reads it.

    Raises:
        JournalUnavailable: the disk is full or broken.
        JournalCorrupt: SQLite finds the file damaged.
    """
    if has_log(segment):
        with translated(segment, 1):
            uri = f"{segment.absolute().as_uri()}?mode=rw"
            with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
