"""What the rows of a journal prove: read once, in order, from the oldest that is left up to the first that is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from queue_runtime.journal.chain import GENESIS, ChainCheck, is_stripped
from queue_runtime.journal.errors import JournalCorrupt
from queue_runtime.journal.segment_file import SegmentFile
from queue_runtime.journal.segments import Layout
from queue_runtime.journal.writer import GroupEnd, StoredRow

__all__ = ["KnownEnd", "Proof"]


class KnownEnd(NamedTuple):
    """An end of the chain that is known from elsewhere; `source` says from where."""

    position: int
    chain: bytes
    source: str


class Proof:
    """The segments of a journal, and how far they prove good. For one thread; close it.

    Attributes:
        segments: what can be opened, oldest first; ends before the first that cannot.
        whole: the end of the last commit group that proved good.
        ends: where each segment ended that was read to its end.
        damage: the first thing that was wrong; None until then. Known once `rows` is exhausted.
    """

    def __init__(self, layout: Layout, known: Iterable[KnownEnd]) -> None:
        """Open the segments in the folder.

        Raises:
            JournalUnavailable: one cannot be read.
        """
        self.segments: list[SegmentFile] = []
        self.ends: dict[SegmentFile, int] = {}
        self.damage: JournalCorrupt | None = None
        self._known = sorted(known)
        self._damaged_file: JournalCorrupt | None = None
        try:
            self._open(layout)
        except BaseException:
            self.close()
            raise
        self.base: GroupEnd = self.segments[0].base if self.segments else (0, GENESIS)
        """What the oldest segment follows: before that nothing can be said."""
        self.whole = self.base
        self._check = ChainCheck(*self.base)

    def _open(self, layout: Layout) -> None:
        is_sealed = False  # all but the newest are
        for path in reversed(layout.segments()):
            try:
                segment = SegmentFile(path, is_sealed=is_sealed)
            except JournalCorrupt as error:
                self.close()
                self._damaged_file = error
                is_sealed = True
                continue
            if segment.is_begun:
                self.segments.insert(0, segment)
                is_sealed = True
            else:
                segment.close()

    @property
    def good_until(self) -> int:
        """The last position that is what was written."""
        read = self._check.position
        return read if self.damage is None else max(min(read, self.damage.position - 1), 0)

    def rows(self) -> Iterator[StoredRow]:
        """Yield every row once it is known to be what was written; ends at the first that is not. To be read once.

        Raises:
            JournalUnavailable: one cannot be read.
        """
        try:
            yield from self._proved()
        except JournalCorrupt as error:
            self.damage = error

    def _proved(self) -> Iterator[StoredRow]:
        check = self._check
        self._compare(*self.base)
        for segment in self.segments:
            check.follow(*segment.base)
            gone = 0
            for position, chain, row in segment.rows():
                gone += is_stripped(row)
                check.feed(position, chain, row, may_lack_body=gone <= segment.stripped_bodies)
                self._compare(position, chain)
                self.whole = check.sealed, check.chain
                yield position, chain, row
            self.ends[segment] = check.position
        check.end()
        if self._damaged_file is not None:
            raise JournalCorrupt(check.position + 1, self._damaged_file.what)
        if self._known and self._known[-1].position > check.position:
            end = self._known[-1]
            raise JournalCorrupt(
                check.position + 1, f"the database ends before here, but {end.position} was {end.source}"
            )

    def _compare(self, position: int, chain: bytes | None) -> None:
        """Hold the end of a group, or a row inside one, against what is known of that position."""
        while self._known and self._known[0].position <= position:
            end = self._known.pop(0)
            if end.position == position and end.chain != chain:
                raise JournalCorrupt(position, f"the hash chain is not the one that was {end.source}")

    def close(self) -> None:
        """Close the files. Twice is harmless."""
        while self.segments:
            self.segments.pop().close()
