"""Proof that a journal says what was written. SQLite's own integrity check missed 58 of 60 flipped bits."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from queue_runtime.journal import queries
from queue_runtime.journal.chain import GENESIS, ChainCheck, Row
from queue_runtime.journal.codec import CODEC
from queue_runtime.journal.errors import JournalCorrupt, JournalError, UnknownEvent
from queue_runtime.journal.head import Head, read_head
from queue_runtime.journal.segments import Layout
from queue_runtime.journal.writer import StoredRow, translated

__all__ = ["Verdict", "verify"]

_PAGE_ROWS = 500  # of one transaction: a long reader keeps the write-ahead log from being reused


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification found.

    Attributes:
        good_until: the last position that is what was written.
        altered_at: the first position that is not; None if all is good. Where only a commit group is known to be
            altered it is the first of the group.
        what: what was found there, or that nothing was.
        unknown: events that a newer version wrote: their bytes are good, what they say is not checked.
    """

    good_until: int
    altered_at: int | None
    what: str
    unknown: int = 0

    @property
    def is_good(self) -> bool:
        """True if nothing was altered."""
        return self.altered_at is None


def verify(path: Path | str) -> Verdict:
    """Read the whole journal in the folder `path` and check every row, body, checksum and hash, and the kept head.

    The engine may run meanwhile; what it appends after the call began may be left out. Blocks on the disk.

    Raises:
        JournalError: there is no journal.
        JournalUnavailable: it cannot be read.
    """
    layout = Layout(Path(path))
    segments = layout.segments() if layout.folder.is_dir() else []
    if not segments:
        msg = f"there is no journal in {path}; name the folder that an engine keeps one in"
        raise JournalError(msg)
    check, unknown = ChainCheck(0, GENESIS), 0
    try:
        head, is_whole = read_head(layout.head)  # first: the journal only grows beyond it
        for position, chain, row in _rows(segments[-1]):
            check.feed(position, chain, row)
            _check_acknowledged(position, chain, head)
            unknown += _is_unknown(position, row)
        check.end()
        _check_end(check.position, head)
    except JournalCorrupt as error:
        return Verdict(min(check.position, error.position - 1), error.position, str(error), unknown)
    if not is_whole:
        return Verdict(
            check.position, check.position + 1, f"a slot of {layout.head} is damaged, the rows are good", unknown
        )
    return Verdict(check.position, None, f"every row up to {check.position} is what was written", unknown)


def _rows(segment: Path) -> Iterator[StoredRow]:
    position = -(1 << 63)  # nothing of ours is before 1: what stands there was put there
    with translated(segment, 1):
        connection = sqlite3.connect(f"{segment.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    with closing(connection):
        while page := _page(connection, segment, position, _PAGE_ROWS):
            for stored, chain, *row in page:
                yield cast("int", stored), cast("bytes | None", chain), cast("Row", tuple(row))
            position = cast("int", page[-1][0])


def _page(connection: sqlite3.Connection, segment: Path, after: int, limit: int) -> list[tuple[object, ...]]:
    try:
        with translated(segment, after + 1):
            return connection.execute(queries.ROWS, (after, (1 << 63) - 1, limit)).fetchall()
    except JournalCorrupt:
        if limit == 1:
            raise
        return _page(connection, segment, after, 1)  # which row is it? The good ones before it come first


def _is_unknown(position: int, row: Row) -> bool:
    try:
        CODEC.decode(row, position)
    except UnknownEvent:
        return True
    return False


def _check_acknowledged(position: int, chain: bytes | None, head: Head) -> None:
    if position == head.position and chain != head.chain:
        raise JournalCorrupt(position, "the hash chain is not the one that was acknowledged")


def _check_end(position: int, head: Head) -> None:
    if position < head.position:
        raise JournalCorrupt(position + 1, f"the database ends before here, but {head.position} was acknowledged")
