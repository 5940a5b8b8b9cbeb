"""What a repair will keep, and what it will move aside: worked out from the files alone, and nothing is changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from queue_runtime.journal.chain import GENESIS, is_stripped
from queue_runtime.journal.dedup import damaged_key_files, key_file_paths
from queue_runtime.journal.errors import JournalCorrupt, JournalError
from queue_runtime.journal.events import Completed
from queue_runtime.journal.head import read_head
from queue_runtime.journal.proof import Proof
from queue_runtime.journal.segment_file import SegmentFile
from queue_runtime.journal.segments import Layout, files_of, number_of
from queue_runtime.journal.verify import SeenSnapshot, look_at, proved_head
from queue_runtime.journal.writer import GroupEnd

__all__ = ["Cut", "RepairPlan", "plan_repair"]


@dataclass(frozen=True, slots=True)
class Cut:
    """The segment that a repair writes: what it follows, the end of what it takes over, and from which file."""

    number: int
    base: GroupEnd
    kept: GroupEnd
    source: Path | None = None
    created_at: int = 0


@dataclass(frozen=True, slots=True)
class RepairPlan:
    """What a repair is going to do.

    Attributes:
        loss: what will be lost, in words.
        faults: what is wrong with the journal.
        cut: the segment that will be the last.
        aside: names of the files that are moved aside, if they are there.
        head_writes: how often the head was written, as far as that is known.
    """

    loss: str
    faults: tuple[str, ...]
    cut: Cut
    aside: tuple[str, ...]
    head_writes: int


def plan_repair(layout: Layout, after: int, head_key: bytes | None) -> RepairPlan:
    """Return how to keep the journal up to `after`.

    Raises:
        JournalError: nothing is wrong, or it cannot be kept up to there.
        JournalUnavailable: it cannot be read.
    """
    head, faults = proved_head(layout, head_key)
    writes, acknowledged = _last_head(layout)
    snapshots = [look_at(path) for path in layout.snapshots()]
    bad_keys = damaged_key_files(layout.folder)
    with closing(Proof(layout, [] if head is None else [head])) as proof:
        kept, bodiless = proof.base, dict[str | None, int]()
        for position, _, row in proof.rows():
            if position > after:
                continue
            kept = proof.whole
            if row[0] == Completed.KIND:
                bodiless.pop(row[2], None)
            elif is_stripped(row):
                bodiless.setdefault(row[2], position)
        found = {seen.path: seen.fault(proof.segments, proof.good_until) for seen in snapshots}
        bad_snapshots = {path: text for path, text in found.items() if text}
        faults += [text for text in (_fault_of_rows(proof), *bad_snapshots.values(), *bad_keys.values()) if text]
        if not faults:
            msg = f"journal {layout.folder} is good up to {proof.good_until}: there is nothing to repair"
            raise JournalError(msg)
        _check_position(layout, after, proof, kept)
        _check_bodies(bodiless)
        cut = _cut(layout, proof, kept)
        last = max(acknowledged, *map(_end_of, proof.segments), proof.good_until)
    lost = [seen.path for seen in snapshots if seen.path in bad_snapshots or not _fits(seen, cut)]
    _check_state(layout, proof.base[0], [seen for seen in snapshots if seen.path not in lost])
    lost += [path for path in key_file_paths(layout.folder) if path in bad_keys or int(path.stem) > after]
    lost += [name for path in layout.segments() if number_of(path) >= cut.number for name in files_of(path)]
    loss = f"positions {after + 1} to {last} are lost" if last > after else "no position is lost"
    return RepairPlan(loss, tuple(faults), cut, ("head", *(path.name for path in lost)), writes)


def _last_head(layout: Layout) -> tuple[int, int]:
    """Return how often the head was written and what it last said, as far as that is known; zeros if it is not."""
    found = [(0, 0)]
    for path in (layout.head, *layout.folder.glob("damaged-*/head")):  # an earlier repair may have moved it
        with suppress(JournalCorrupt):
            found.append(read_head(path)[0][:2])
    return max(found)


def _fault_of_rows(proof: Proof) -> str | None:
    """What is wrong with the rows, or with the segment that is written. A sealed one with good rows does no harm."""
    if proof.damage is not None:
        return proof.damage.what
    return proof.segments[-1].schema_fault() if proof.segments else None


def _end_of(segment: SegmentFile) -> int:
    try:
        return segment.end()
    except JournalCorrupt:
        return 0


def _check_position(layout: Layout, after: int, proof: Proof, kept: GroupEnd) -> None:
    """Refuse what does not prove good, and what no commit group ends with: half a group was never a state."""
    whole, base = proof.whole[0], proof.base[0]
    if not proof.segments and number_of(layout.segments()[0]) > 1:
        msg = f"nothing in {layout.folder} says what its oldest segment follows: move it away and begin a new journal"
    elif after > whole:
        msg = f"position {after} cannot be kept: the journal is good up to {whole}; pass --accept-loss-after {whole}"
    elif after < base:
        msg = f"position {after} is not in the journal any more: pass {base} or more"
    elif after != kept[0]:
        msg = f"position {after} is inside a commit group; the last one before it ends at {kept[0]}: pass that"
    else:
        return
    raise JournalError(msg)


def _check_bodies(bodiless: Mapping[str | None, int]) -> None:
    """Refuse to bring messages back to life whose bodies were left out because they completed later."""
    if bodiless:
        first = min(bodiless.values())
        msg = (
            f"a message of position {first} completed after what is to be kept, so its body was left out:"
            f" keep more, or no more than {first - 1}"
        )
        raise JournalError(msg)


def _check_state(layout: Layout, base: int, snapshots: Sequence[SeenSnapshot]) -> None:
    """Refuse if nothing would say what the oldest event that is left follows."""
    if base > 0 and not any(seen.position is not None and seen.position >= base for seen in snapshots):
        msg = (
            f"the events of {layout.folder} up to {base} were dropped, and no snapshot of what is to be kept"
            " can be read: keep more, or move the folder away and begin a new journal"
        )
        raise JournalError(msg)


def _cut(layout: Layout, proof: Proof, kept: GroupEnd) -> Cut:
    """A segment that ends where the journal is to end stays, and is followed by a new one; else its copy ends there.

    What ends there only because the rest is gone does not stay.
    """
    if not proof.segments:
        return Cut(1, (0, GENESIS), kept)
    cut = [segment for segment in proof.segments if segment.base[0] <= kept[0]][-1]
    is_followed = number_of(layout.segments()[-1]) > cut.number
    if cut.base[0] < kept[0] == proof.ends.get(cut) and (is_followed or not _fault_of_rows(proof)):
        return Cut(cut.number + 1, kept, kept)
    return Cut(cut.number, cut.base, kept, cut.path, cut.created_at)


def _fits(seen: SeenSnapshot, cut: Cut) -> bool:
    """Can the snapshot stay: is it of something that is kept, and of the beginning of the segment it is named for?"""
    if seen.position is None or seen.position > cut.kept[0]:
        return False
    number = seen.path.name.partition(".")[0]
    if not number.isdigit() or int(number) < cut.number:
        return True
    return int(number) == cut.number and seen.position == cut.base[0]
