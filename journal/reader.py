"""Reading a journal beside the engine that writes it, for people and tools: never a write, never a long transaction."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, cast

from queue_runtime.journal import queries
from queue_runtime.journal.chain import Row, check_body, is_stripped
from queue_runtime.journal.codec import CODEC
from queue_runtime.journal.errors import JournalError, JournalUnavailable, UnknownEvent
from queue_runtime.journal.events import EVENT_TYPES, Event
from queue_runtime.journal.segment_file import FIRST, LAST, SegmentFile, Shelf
from queue_runtime.journal.segments import Layout

__all__ = ["Entry", "JournalReader", "JournalStatistics"]

_PAGE_ROWS = 500  # of one transaction: a long reader keeps the write-ahead log from being reused
_NAMES = {cls.KIND: cls.__name__ for cls in EVENT_TYPES}


@dataclass(frozen=True, slots=True)
class Entry:
    """One event as it is stored. `event` is None where this version does not know it; `name` is then its number.

    If it `is_stripped` its bodies were left out when its segment was rewritten: they are empty in `event`.
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
    is_stripped: bool = False


@dataclass(frozen=True, slots=True)
class JournalStatistics:
    """What a journal holds. Instants are in microseconds since 1970, UTC; None in an empty journal."""

    first_position: int
    last_position: int
    first_at: int | None
    last_at: int | None
    events: dict[str, int]
    file_bytes: int
    segments: int


class JournalReader:
    """A journal open for reading. Not for several threads at once; the engine may run, and is not disturbed."""

    def __init__(self, path: Path | str) -> None:
        """Open the journal in the folder `path`.

        Raises:
            JournalError: there is no journal.
            JournalUnavailable: it cannot be read.
        """
        self._layout = Layout(Path(path))
        if not self._layout.folder.is_dir() or not self._layout.segments():
            msg = f"there is no journal in {path}; name the folder that an engine keeps one in"
            raise JournalError(msg)
        self._shelf = Shelf(self._layout)

    def __enter__(self) -> Self:
        """Return the reader itself; leaving closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files. Twice is harmless."""
        self._shelf.close()

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
        for segment in self._segments(after):
            while True:
                rows = segment.fetch(queries.ENTRIES, {"after": after, **wanted}, after + 1)
                for position, _, *row in rows:
                    yield _entry(cast("int", position), cast("Row", tuple(row)), may_lack_body=segment.is_stripped)
                if len(rows) < _PAGE_ROWS:
                    break
                after = cast("int", rows[-1][0])

    def last_position(self) -> int:
        """Return the last position that is committed; 0 in an empty journal.

        Raises:
            JournalUnavailable, JournalCorrupt: it cannot be read.
        """
        segments = self._segments(LAST)
        return segments[-1].end() if segments else 0

    def statistics(self) -> JournalStatistics:
        """Count what is stored.

        Raises:
            JournalUnavailable, JournalCorrupt: it cannot be read.
        """
        events: Counter[int] = Counter()
        spans: list[tuple[int, int, int, int]] = []
        for segment in self._segments(FIRST):
            for kind, count in cast("list[tuple[int, int]]", segment.fetch(queries.COUNTS)):
                events[kind] += count
            spans += cast("list[tuple[int, int, int, int]]", segment.fetch(queries.SPAN))
        files = [path for path in self._layout.folder.iterdir() if path.is_file()]
        return JournalStatistics(
            first_position=spans[0][0] if spans else 0,
            last_position=spans[-1][1] if spans else 0,
            first_at=min(span[2] for span in spans) if spans else None,
            last_at=max(span[3] for span in spans) if spans else None,
            events={_NAMES.get(kind, f"kind {kind}"): count for kind, count in sorted(events.items())},
            file_bytes=sum(path.stat().st_size for path in files),
            segments=len(self._layout.segments()),
        )

    def _segments(self, after: int) -> list[SegmentFile]:
        """Look up the segments that hold what follows `after`; one that is dropped just now is looked past."""
        while True:
            paths = self._layout.segments()
            try:
                return self._shelf.since(after)
            except JournalUnavailable:
                if paths == self._layout.segments():
                    raise


def _kind(name: str) -> int:
    for kind, known in _NAMES.items():
        if known == name:
            return kind
    msg = f"no event is called {name}; the names are {', '.join(sorted(_NAMES.values()))}"
    raise ValueError(msg)


def _entry(position: int, row: Row, *, may_lack_body: bool) -> Entry:
    kind, _, key, session, attempt, at, error_kind, data, *_, body = row
    check_body(position, row, may_be_gone=may_lack_body)
    try:
        event = CODEC.decode(row, position)
    except UnknownEvent:
        event = None
    name = _NAMES.get(kind, f"kind {kind}")
    size = len(data) + len(body or b"")
    return Entry(position, name, key, session, attempt, at, error_kind, size, event, is_stripped(row))
