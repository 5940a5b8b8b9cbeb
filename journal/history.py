"""What an engine is given when it opens a journal: the newest snapshot, and every event after it, proved."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from queue_runtime.journal.chain import ChainCheck
from queue_runtime.journal.codec import CODEC
from queue_runtime.journal.errors import JournalCorrupt
from queue_runtime.journal.events import Completed, Event
from queue_runtime.journal.segment_file import SegmentFile, Shelf
from queue_runtime.journal.segments import Layout
from queue_runtime.journal.snapshot import newest_snapshot
from queue_runtime.journal.state import EngineState

__all__ = ["history"]

_PAGE_ROWS = 1_000  # of one read: the loop gets its turn in between


async def history(layout: Layout, until: int) -> AsyncIterator[tuple[int, Event | EngineState]]:
    """Yield the newest snapshot that can be read (if any) with its position, then every event up to `until`, in order.

    Segments that end before the snapshot are not opened.

    Raises:
        JournalCorrupt: names the first position that is not what was written, or that is gone.
        UnknownEvent: a newer version wrote it.
        JournalUnavailable: it cannot be read.
    """
    snapshot = await asyncio.to_thread(newest_snapshot, layout)
    after = 0 if snapshot is None else snapshot.position
    if after > until:
        raise JournalCorrupt(until + 1, f"the database ends before here, but there is a snapshot of {after}")
    if snapshot is not None:
        yield after, snapshot.state
    shelf = Shelf(layout)
    try:
        segments = await asyncio.to_thread(shelf.since, after)
        check = await asyncio.to_thread(_check_from, segments[0], after)
        for segment in segments:
            if segment is not segments[0]:
                check.follow(*segment.base)
            while rows := await asyncio.to_thread(segment.page, check.position, until, _PAGE_ROWS):
                for position, chain, row in rows:
                    # An outgoing message without its body must not be sent; whatever else was completed runs no more.
                    check.feed(position, chain, row, may_lack_body=segment.is_stripped and row[0] != Completed.KIND)
                    if position > after:
                        yield position, CODEC.decode(row, position)
    finally:
        shelf.close()
    if check.position < until:
        raise JournalCorrupt(check.position + 1, f"nothing is stored from here to {until}")
    check.end()


def _check_from(oldest: SegmentFile, after: int) -> ChainCheck:
    """A snapshot may be of the middle of a commit group, which is proved as a whole."""
    if oldest.base[0] > after:
        raise JournalCorrupt(
            after + 1, f"the events from here to {oldest.base[0]} were dropped, and no snapshot after them can be read"
        )
    return ChainCheck(*oldest.group_end(after))
