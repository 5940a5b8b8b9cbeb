"""Proof that a journal says what was written. SQLite's own integrity check missed 58 of 60 flipped bits."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from queue_runtime.journal.chain import Row
from queue_runtime.journal.codec import CODEC
from queue_runtime.journal.dedup import damaged_key_files
from queue_runtime.journal.errors import JournalCorrupt, JournalError, UnknownEvent
from queue_runtime.journal.head import read_head
from queue_runtime.journal.proof import KnownEnd, Proof
from queue_runtime.journal.segment_file import SegmentFile
from queue_runtime.journal.segments import Layout
from queue_runtime.journal.snapshot import OtherVersion, check_snapshot, unpack_snapshot
from queue_runtime.journal.writer import GroupEnd

__all__ = ["SeenSnapshot", "Verdict", "journal_in", "look_at", "proved_head", "verify"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification found.

    Attributes:
        good_until: the last position that is what was written.
        altered_at: the first position that is not; None if all is good. Where only a commit group is known to be
            altered it is the first of the group; of an anchor that does not match it is the anchor's own, and what was
            altered may be before it.
        what: what was found there, or that nothing was.
        unknown: events that a newer version wrote: their bytes are good, what they say is not checked.
        dropped_anchors: positions of anchors of which nothing is left to be held against them.
    """

    good_until: int
    altered_at: int | None
    what: str
    unknown: int = 0
    dropped_anchors: tuple[int, ...] = ()

    @property
    def is_good(self) -> bool:
        """True if nothing was altered."""
        return self.altered_at is None


def verify(path: Path | str, *, head_key: bytes | None = None, anchors: Sequence[GroupEnd] = ()) -> Verdict:
    """Read the journal in the folder `path`: check rows, bodies, hashes, schemas, snapshots, key files and the head.

    Begins with what the oldest segment that is left says it follows. The engine may run meanwhile; what it appends
    after the call began may be left out. Blocks on the disk.

    Args:
        path: the folder.
        head_key: what the head is to be signed with; None does not look at signatures.
        anchors: ends of the chain from outside logs, as `parse_anchor` returns them. Each has to be there.

    Raises:
        JournalError: there is no journal.
        JournalUnavailable: it cannot be read.
    """
    layout = journal_in(path)
    known = [KnownEnd(*anchor, "logged as an anchor") for anchor in anchors]
    head, beside = proved_head(layout, head_key)  # head and snapshots first: the journal only grows beyond them
    if head is not None:
        known.append(head)
    snapshots = [look_at(snapshot) for snapshot in layout.snapshots()]
    with closing(Proof(layout, known)) as proof:
        unknown = sum(_is_unknown(position, row) for position, _, row in proof.rows())
        last, damage = proof.good_until, proof.damage
        dropped = tuple(position for position, _ in anchors if position < proof.base[0])
        beside += [text for text in (seen.fault(proof.segments, last) for seen in snapshots) if text]
        if damage is None:
            beside += [text for text in (segment.schema_fault() for segment in proof.segments) if text]
    beside += damaged_key_files(layout.folder).values()
    if damage is not None:
        return Verdict(last, damage.position, "; ".join((str(damage), *beside)), unknown, dropped)
    if beside:
        return Verdict(last, last + 1, f"{', '.join(beside)}; the rows are good", unknown, dropped)
    return Verdict(last, None, f"every row up to {last} is what was written", unknown, dropped)


def journal_in(path: Path | str) -> Layout:
    """Return the names in the folder of a journal.

    Raises:
        JournalError: there is no journal.
    """
    layout = Layout(Path(path))
    if not layout.folder.is_dir() or not (layout.segments() or layout.repair.exists()):
        msg = f"there is no journal in {path}; name the folder that an engine keeps one in"
        raise JournalError(msg)
    return layout


def proved_head(layout: Layout, key: bytes | None) -> tuple[KnownEnd | None, list[str]]:
    """Return the end that was acknowledged, None if nothing says it, and what is wrong with the file that does."""
    faults = [f"the repair in {layout.repair} is not finished"] if layout.repair.exists() else []
    try:
        head, is_whole = read_head(layout.head, key)
    except JournalCorrupt as error:
        return None, [*faults, error.what]
    if not is_whole:
        faults.append(f"a slot of {layout.head} is damaged")
    return KnownEnd(head.position, head.chain, "acknowledged"), faults


class SeenSnapshot(NamedTuple):
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


def look_at(path: Path) -> SeenSnapshot:
    """Read the snapshot at `path`; one that is gone, or of another version, is no fault."""
    try:
        return SeenSnapshot(path, unpack_snapshot(path.read_bytes()).position, None)
    except (FileNotFoundError, OtherVersion):  # a newer one took its place, or will
        return SeenSnapshot(path, None, None)
    except UnknownEvent:
        return SeenSnapshot(path, check_snapshot(path.read_bytes()), None)
    except ValueError as error:
        return SeenSnapshot(path, None, f"{path} is damaged: {error}")


def _is_unknown(position: int, row: Row) -> bool:
    try:
        CODEC.decode(row, position)
    except UnknownEvent:
        return True
    return False
