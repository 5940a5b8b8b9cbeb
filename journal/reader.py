"""Reading a journal beside the engine that writes it, for people and tools: never a write, never a long transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, cast

from queue_runtime.journal import queries
from queue_runtime.journal.chain import Row, check_body
from queue_runtime.journal.codec import CODEC
from queue_runtime.journal.errors import JournalError, UnknownEvent
from queue_runtime.journal.events import EVENT_TYPES, Event
from queue_runtime.journal.segments import Layout
from queue_runtime.journal.writer import translated

__all__ = ["Entry", "JournalReader", "JournalStatistics"]

_PAGE_ROWS = 500  # of one transaction: a long reader keeps the write-ahead log from being reused
_NAMES = {cls.KIND: cls.__name__ for cls in EVENT_TYPES}


@dataclass(frozen=True, slots=True)
class Entry:
    """One event as it is stored. `event` is None where this version does not know it; `name` is then its number.

    `at` is in microseconds since 1970, UTC; `stored_bytes` counts data and body as they are on disk.
    """

    position: int
    name: str
    key: str | None
    session: str | None
    attempt: int | None
    at: int
    error_kind: str | None
    stored_bytes: int
    event: Event | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class JournalStatistics:
    """What a journal holds. Instants are in microseconds since 1970, UTC; None in an empty journal."""

    first_position: int
    last_position: int
    first_at: int | None
    last_at: int | None
    events: dict[str, int]
    file_bytes: int


class JournalReader:
    """A journal open for reading. Not for several threads at once; the engine may run, and is not disturbed."""

    def __init__(self, path: Path | str) -> None:
        """Open the journal in the folder `path`.

        Raises:
            JournalError: there is no journal.
            JournalUnavailable: it cannot be read.
        """
        self._layout = Layout(Path(path))
        segments = self._layout.segments() if self._layout.folder.is_dir() else []
        if not segments:
            msg = f"there is no journal in {path}; name the folder that an engine keeps one in"
            raise JournalError(msg)
        self._segment = segments[-1]
        with translated(self._segment, 1):
            uri = f"{self._segment.absolute().as_uri()}?mode=ro"
            self._connection = sqlite3.connect(uri, uri=True, isolation_level=None)
            self._connection.execute("PRAGMA query_only = 1")

    def __enter__(self) -> Self:
        """Return the reader itself; leaving closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files. Twice is harmless."""
        self._connection.close()

    def entries(
        self,
        *,
        after: int = 0,
        until: int | None = None,
        key: str | None = None,
        session: str | None = None,
        names: Sequence[str] = (),
    ) -> Iterator[Entry]:
        """Yield what is stored at positions in (`after`, `until`], in order; of one message, session or type of event.

        Without `until` it ends where the journal ends by then: ask again with `after` the last position seen.

        Raises:
            JournalCorrupt: names the first position that cannot be read.
            ValueError: a name is none of an event.
        """
        last = self.last_position()
        wanted = {
            "until": last if until is None else min(until, last),
            "key": key,
            "session": session,
            "kinds": json.dumps([_kind(name) for name in names]) if names else None,
            "limit": _PAGE_ROWS,
        }
        while True:
            rows = self._fetch(queries.ENTRIES, {"after": after, **wanted}, after + 1)
            for position, _, *row in rows:
                yield _entry(cast("int", position), cast("Row", tuple(row)))
            if len(rows) < _PAGE_ROWS:
                return
            after = cast("int", rows[-1][0])

    def last_position(self) -> int:
        """Return the last position that is committed; 0 in an empty journal.

        Raises:
            JournalUnavailable, JournalCorrupt: it cannot be read.
        """
        rows = self._fetch(queries.LAST_ROW, {}, 1)
        return cast("int", rows[0][0]) if rows else 0

    def statistics(self) -> JournalStatistics:
        """Count what is stored.

        Raises:
            JournalUnavailable, JournalCorrupt: it cannot be read.
        """
        counts = cast("list[tuple[int, int]]", self._fetch(queries.COUNTS, {}, 1))
        first, last, first_at, last_at = cast("tuple[int | None, ...]", self._fetch(queries.SPAN, {}, 1)[0])
        files = [path for path in self._layout.folder.iterdir() if path.is_file()]
        return JournalStatistics(
            first_position=first or 0,
            last_position=last or 0,
            first_at=first_at,
            last_at=last_at,
            events={_NAMES.get(kind, f"kind {kind}"): count for kind, count in counts},
            file_bytes=sum(path.stat().st_size for path in files),
        )

    def _fetch(self, query: str, parameters: Mapping[str, object], position: int) -> list[tuple[object, ...]]:
        with translated(self._segment, position):
            return self._connection.execute(query, parameters).fetchall()


def _kind(name: str) -> int:
    for kind, known in _NAMES.items():
        if known == name:
            return kind
    msg = f"no event is called {name}; the names are {', '.join(sorted(_NAMES.values()))}"
    raise ValueError(msg)


def _entry(position: int, row: Row) -> Entry:
    kind, _, key, session, attempt, at, error_kind, data, *_, body = row
    check_body(position, row)
    try:
        event = CODEC.decode(row, position)
    except UnknownEvent:
        event = None
    name = _NAMES.get(kind, f"kind {kind}")
    return Entry(position, name, key, session, attempt, at, error_kind, len(data) + len(body or b""), event)
