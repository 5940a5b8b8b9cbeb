"""The way out of a damaged journal: keep all up to a position, move the rest aside, and say in the journal who did it.

    repair.new          the new segment, the new head and the plan, while they are made; nothing else has changed then
    repair              all three, complete: from this rename on the repair is decided, and whoever comes next ends it
    damaged-<UTC time>  what was moved aside; nothing is deleted

While there is a `repair` no engine opens the journal. What is kept ends with a commit group, so it is a state in which
the engine was, and its hashes are the old ones: a repair makes up nothing but the one event that tells of it.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self, cast

from queue_runtime.journal import queries
from queue_runtime.journal.chain import ChainCheck, link
from queue_runtime.journal.codec import CODEC
from queue_runtime.journal.engine_events import OperatorActed
from queue_runtime.journal.errors import JournalCorrupt, JournalError, JournalUnavailable
from queue_runtime.journal.head import Head, HeadFile
from queue_runtime.journal.lock import OwnerLock
from queue_runtime.journal.repair_plan import Cut, RepairPlan, plan_repair
from queue_runtime.journal.segment_file import SegmentFile
from queue_runtime.journal.segments import Layout, create_file, sync_file, sync_folder
from queue_runtime.journal.verify import journal_in
from queue_runtime.journal.writer import GroupEnd, StoredRow, base_row, translated

__all__ = ["Repair"]

_PLAN = "plan"
_MAX_TEXT = 1_000


@dataclass(frozen=True, slots=True)
class _Begun:
    """What is left to do of a repair that was decided: these names go into the folder `aside`."""

    kept_until: int
    aside: str
    names: tuple[str, ...]


class Repair:
    """A repair of one journal, which is locked until this is closed. Blocks on the disk: not for the event loop.

    Attributes:
        plan: what will be done; None if an earlier repair was decided and only has to be ended.
    """

    def __init__(self, path: Path | str, accept_loss_after: int, head_key: bytes | None = None) -> None:
        """Lock the journal in the folder `path`, and work out what to do. Nothing is changed yet.

        Args:
            path: the folder.
            accept_loss_after: the last position to keep. What was stored after it is lost.
            head_key: what the head is signed with from now on, and should have been signed with; None for no key.

        Raises:
            JournalOwned: an engine has it open.
            JournalError: there is no journal, nothing is wrong with it, or it cannot be kept up to there; says why.
            JournalUnavailable: it cannot be read.
        """
        self._layout = journal_in(path)
        self._after = accept_loss_after
        self._head_key = head_key
        self.plan: RepairPlan | None = None
        try:
            self._lock = OwnerLock(self._layout.lock)
        except OSError as error:
            msg = f"the lock of journal {path} cannot be taken: {error}"
            raise JournalUnavailable(msg) from error
        try:
            if not self._layout.repair.exists():
                self.plan = plan_repair(self._layout, accept_loss_after, head_key)
            else:
                _check_same(self._layout, accept_loss_after)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        """Return the repair itself; leaving frees the lock."""
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the lock. Twice is harmless."""
        self._lock.release()

    def carry_out(self, who: str) -> Path:
        """Do it, journaling that `who` did; return the folder with what was moved aside.

        If it dies on the way, the same repair can be begun again.

        Raises:
            JournalUnavailable: the disk is full or broken.
            JournalCorrupt: what is to be kept cannot be read a second time; nothing was changed.
        """
        try:
            if self.plan is not None:
                self._decide(self.plan, who)
            return _finish(self._layout)
        except OSError as error:
            msg = f"journal {self._layout.folder} cannot be repaired now: {error}; run it again once that is mended"
            raise JournalUnavailable(msg) from error

    def _decide(self, plan: RepairPlan, who: str) -> None:
        """Make everything new beside the old, then let one rename decide."""
        staged = _staged(self._layout)
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(mode=0o700)
        now = datetime.now(UTC)
        event = OperatorActed(
            int(now.timestamp() * 1_000_000), who, "; ".join((plan.loss, *plan.faults))[:_MAX_TEXT], "repair", "journal"
        )
        end = _write_segment(staged, plan.cut, event)
        HeadFile.create(staged / "head", self._head_key, Head((plan.head_writes + 1) | 1, *end)).close()
        begun = {"kept_until": self._after, "aside": f"damaged-{now:%Y%m%dT%H%M%S.%fZ}", "names": plan.aside}
        create_file(staged / _PLAN)
        (staged / _PLAN).write_text(json.dumps(begun))
        sync_file(staged / _PLAN)
        sync_folder(staged)
        staged.rename(self._layout.repair)
        sync_folder(self._layout.folder)


def _staged(layout: Layout) -> Path:
    return layout.repair.with_suffix(".new")


def _begun(folder: Path) -> _Begun:
    """Read the plan of a repair that was decided.

    Raises:
        JournalUnavailable: it cannot be read.
    """
    try:
        plan = cast("dict[str, object]", json.loads((folder / _PLAN).read_text()))
        return _Begun(int(str(plan["kept_until"])), str(plan["aside"]), tuple(cast("list[str]", plan["names"])))
    except (OSError, ValueError, KeyError) as error:
        msg = f"the plan in {folder} cannot be read: {error}"
        raise JournalUnavailable(msg) from error


def _check_same(layout: Layout, after: int) -> None:
    """Refuse to end a repair for somebody who asks for another."""
    begun = _begun(layout.repair)
    if begun.kept_until != after:
        msg = (
            f"a repair of {layout.folder} up to {begun.kept_until} is not finished:"
            f" run it again with --accept-loss-after {begun.kept_until}"
        )
        raise JournalError(msg)


def _finish(layout: Layout) -> Path:
    """Do what is left of a repair that was decided; each step may have been done already.

    Raises:
        OSError: the disk is full or broken.
    """
    begun = _begun(layout.repair)
    aside = layout.folder / begun.aside
    aside.mkdir(mode=0o700, exist_ok=True)
    staged = Layout(layout.repair).segments()
    if staged:  # all that has one of the names is old until the new segment takes its place
        for name in begun.names:
            with suppress(FileNotFoundError):
                (layout.folder / name).rename(aside / name)
        sync_folder(aside)
        sync_folder(layout.folder)
        staged[0].rename(layout.folder / staged[0].name)
        sync_folder(layout.folder)
    with suppress(FileNotFoundError):
        (layout.repair / "head").rename(layout.head)
    sync_folder(layout.folder)
    shutil.rmtree(_staged(layout), ignore_errors=True)
    layout.repair.rename(_staged(layout))  # a plan that is half removed would be one that cannot be read
    sync_folder(layout.folder)
    shutil.rmtree(_staged(layout))
    return aside


def _write_segment(folder: Path, cut: Cut, event: OperatorActed) -> GroupEnd:
    """Write the segment that takes the place of what is moved aside; return where it ends, once that is durable.

    Raises:
        OSError, JournalUnavailable: the disk is full or broken.
        JournalCorrupt: what is to be kept cannot be read, or not read back.
    """
    path = Layout(folder).segment(cut.number)
    create_file(path)
    after, chain = cut.kept
    row, covered = CODEC.encode(event)
    end = after + 1, link(chain, after + 1, [covered])
    with translated(path, after), closing(sqlite3.connect(path, isolation_level=None)) as copy:
        copy.executescript(queries.COPY_PRAGMAS)
        copy.executescript(queries.CREATE)
        copy.execute("BEGIN")
        copy.execute(queries.BEGIN, base_row(cut.base, cut.created_at or time.time_ns() // 1_000))
        if cut.source is not None:
            _take_over(copy, cut.source, cut.base[0], after)
        _insert(copy, [(*end, row)])
        copy.execute("COMMIT")
    sync_file(path)
    _prove(path, cut, end)
    return end


def _take_over(copy: sqlite3.Connection, path: Path, position: int, until: int) -> None:
    """Copy the rows up to `until` of the segment at `path`, page by page: those beyond may be what cannot be read."""
    with closing(SegmentFile(path)) as source:
        while rows := source.page(position, until, queries.MAX_ROWS):
            _insert(copy, rows)
            position = rows[-1][0]
        if source.is_stripped:
            copy.execute(queries.MARK_STRIPPED, (time.time_ns() // 1_000,))


def _insert(copy: sqlite3.Connection, rows: list[StoredRow]) -> None:
    copy.execute(queries.insert_rows(len(rows)), [value for *place, row in rows for value in (*place, *row)])


def _prove(path: Path, cut: Cut, end: GroupEnd) -> None:
    """Read the copy back."""
    check = ChainCheck(*cut.base)
    with closing(SegmentFile(path, is_sealed=True)) as copied:
        for position, chain, row in copied.rows():
            check.feed(position, chain, row, may_lack_body=copied.is_stripped)
    if (check.sealed, check.chain) != end:
        raise JournalCorrupt(check.sealed + 1, f"the copy {path} is not what was to be kept")
