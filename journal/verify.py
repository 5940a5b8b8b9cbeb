"""Proof that a journal says what was written. SQLite's own integrity check missed 58 of 60 flipped bits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from queue_runtime.journal.chain import GENESIS, ChainCheck, Row, is_stripped
from queue_runtime.journal.codec import CODEC
from queue_runtime.journal.dedup import damaged_key_files
from queue_runtime.journal.errors import JournalCorrupt, JournalError, UnknownEvent
from queue_runtime.journal.head import Head, read_head
from queue_runtime.journal.segment_file import FIRST, SegmentFile, Shelf
from queue_runtime.journal.segments import Layout
from queue_runtime.journal.snapshot import OtherVersion, check_snapshot, unpack_snapshot

__all__ = ["Verdict", "verify"]


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
    """Read the journal in the folder `path`: check every row, body, checksum, hash, snapshot, key file, and the head.

    Begins with what the oldest segment that is left says it follows. The engine may run meanwhile; what it appends
    after the call began may be left out. Blocks on the disk.

    Raises:
        JournalError: there is no journal.
        JournalUnavailable: it cannot be read.
    """
    layout = Layout(Path(path))
    if not layout.folder.is_dir() or not layout.segments():
        msg = f"there is no journal in {path}; name the folder that an engine keeps one in"
        raise JournalError(msg)
    check, unknown = ChainCheck(0, GENESIS), 0
    shelf = Shelf(layout)
    try:
        head, is_whole = read_head(layout.head)  # head and snapshots first: the journal only grows beyond them
        snapshots = [_look_at(snapshot) for snapshot in layout.snapshots()]
        segments = shelf.since(FIRST)
        if segments:
            check = ChainCheck(*segments[0].base)
        for segment in segments:
            check.follow(*segment.base)
            _check_acknowledged(*segment.base, head)
            gone = 0
            for position, chain, row in segment.rows():
                gone += is_stripped(row)
                check.feed(position, chain, row, may_lack_body=gone <= segment.stripped_bodies)
                _check_acknowledged(position, chain, head)
                unknown += _is_unknown(position, row)
        check.end()
        _check_end(check.position, head)
    except JournalCorrupt as error:
        return Verdict(min(check.position, error.position - 1), error.position, str(error), unknown)
    finally:
        shelf.close()
    beside = [] if is_whole else [f"a slot of {layout.head} is damaged"]
    beside += [text for text in (seen.fault(segments, check.position) for seen in snapshots) if text]
    beside += damaged_key_files(layout.folder)
    if beside:
        return Verdict(check.position, check.position + 1, f"{', '.join(beside)}; the rows are good", unknown)
    return Verdict(check.position, None, f"every row up to {check.position} is what was written", unknown)


class _Snapshot(NamedTuple):
    """What a snapshot file was found to be: of a position, or with a fault; neither if it is not there, or not read."""

    path: Path
    position: int | None
    damage: str | None

    def fault(self, segments: Sequence[SegmentFile], last: int) -> str | None:
        """Say what is wrong with it, given the segments and the last position; None if nothing is."""
        if self.damage is not None or self.position is None:
            return self.damage
        begins = [segment.base[0] for segment in segments if segment.path.name[:9] == self.path.name[:9]]
        if self.position > last or (begins and begins != [self.position]):
            return f"{self.path} is of position {self.position}, which is not where it belongs"
        return None


def _look_at(path: Path) -> _Snapshot:
    try:
        return _Snapshot(path, unpack_snapshot(path.read_bytes()).position, None)
    except (FileNotFoundError, OtherVersion):  # a newer one took its place, or will
        return _Snapshot(path, None, None)
    except UnknownEvent:
        return _Snapshot(path, check_snapshot(path.read_bytes()), None)
    except ValueError as error:
        return _Snapshot(path, None, f"{path} is damaged: {error}")


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
