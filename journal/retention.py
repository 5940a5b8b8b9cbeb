"""What becomes of segments that are sealed: dropped or archived whole, oldest first, or rewritten without bodies.

A segment is touched only if a snapshot of its end, or of a later position, proves good: what live state needs is in
there. Every step leaves a folder that opens, whenever the process dies.
"""

from __future__ import annotations

import filecmp
import logging
import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import cast

from queue_runtime.journal import queries
from queue_runtime.journal.errors import JournalError, JournalUnavailable
from queue_runtime.journal.events import Completed
from queue_runtime.journal.segment_file import FIRST, Shelf, empty_log
from queue_runtime.journal.segments import (
    Layout,
    has_log,
    remove_segment,
    size_of,
    stored_bytes,
    sync_file,
    sync_folder,
)
from queue_runtime.journal.settings import JournalSettings
from queue_runtime.journal.snapshot import check_snapshot
from queue_runtime.journal.writer import translated

__all__ = ["retain"]

_log = logging.getLogger("queue_runtime.journal")


@dataclass(frozen=True, slots=True)
class _Sealed:
    """A segment that is not written any more. `sealed_at` is in microseconds since 1970, UTC."""

    path: Path
    number: int
    end: int
    sealed_at: int
    is_stripped: bool


def retain(layout: Layout, settings: JournalSettings, is_stopping: Callable[[], bool]) -> None:
    """Drop or archive sealed segments beyond the bounds, and take the bodies of completed messages out of the rest.

    What cannot be done is logged, and tried again after the next rotation. Ends early, between two segments, once
    `is_stopping`. Blocks on the disk.
    """
    try:
        covered = max((_good_position(path) for path in layout.snapshots()), default=0)
        sealed = [segment for segment in _sealed(layout) if segment.end <= covered]
        dropped = _drop(layout, sealed, settings, is_stopping)
        if not settings.keep_bodies:
            _strip(sealed[dropped:], is_stopping)
    except (OSError, JournalError) as error:
        _log.warning("old segments of %s stay as they are until the next rotation: %s", layout.folder, error)


def _good_position(path: Path) -> int:
    try:
        return check_snapshot(path.read_bytes())
    except ValueError:
        return 0


def _sealed(layout: Layout) -> list[_Sealed]:
    shelf = Shelf(layout)
    try:
        segments = shelf.since(FIRST)
        return [
            _Sealed(segment.path, segment.number, after.base[0], after.created_at, segment.is_stripped)
            for segment, after in pairwise(segments)
        ]
    finally:
        shelf.close()


def _drop(layout: Layout, sealed: list[_Sealed], settings: JournalSettings, is_stopping: Callable[[], bool]) -> int:
    """Return how many of the oldest went."""
    oldest_us = time.time_ns() // 1_000 - round(settings.retention_s * 1_000_000)
    total = sum(map(stored_bytes, layout.segments())) + sum(map(size_of, layout.snapshots()))
    for count, segment in enumerate(sealed):
        is_old = segment.sealed_at < oldest_us
        if is_stopping() or not (is_old or total > settings.retention_bytes):
            return count
        snapshot = layout.snapshot(segment.number)
        total -= stored_bytes(segment.path) + size_of(snapshot)
        if settings.archive_folder is None:
            snapshot.unlink(missing_ok=True)
            remove_segment(segment.path)  # last: what says that it is still to be done
        else:
            empty_log(segment.path)
            if has_log(segment.path):
                msg = f"somebody reads {segment.path}, so that it cannot be archived"
                raise JournalUnavailable(msg)
            settings.archive_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for path in (snapshot, segment.path):  # the segment last, as above
                if path.exists():
                    _move(path, settings.archive_folder / path.name)
        sync_folder(layout.folder)
        why = "older" if is_old else "larger"
        where = f"archived in {settings.archive_folder}" if settings.archive_folder else "dropped"
        _log.info("segment %s, up to position %d, was %s: %s than allowed", segment.path, segment.end, where, why)
    return len(sealed)


def _move(source: Path, target: Path) -> None:
    """Move a file, to another file system too: it is whole at one of the two places whenever the process dies."""
    if target.exists():  # the process died between the copy and its end, or another journal's is there
        if not filecmp.cmp(source, target, shallow=False):
            msg = f"{target} is there already and is not {source}; use an archive folder for each journal"
            raise FileExistsError(msg)
    else:
        half = target.with_name(f"{target.name}.new")
        shutil.copyfile(source, half)
        half.chmod(0o600)
        sync_file(half)
        half.rename(target)
    sync_folder(target.parent)
    source.unlink()


def _strip(sealed: list[_Sealed], is_stopping: Callable[[], bool]) -> None:
    """The newest is new to it; the one before may hold bodies of messages that were completed in the newest."""
    for segment in sealed:
        if is_stopping():
            return
        if not segment.is_stripped or segment in sealed[-2:-1]:
            empty_log(segment.path)
            if has_log(segment.path):  # it would be taken for the log of the rewritten file
                _log.info("somebody reads %s: its bodies stay until the next rotation", segment.path)
            else:
                _rewrite(segment.path, sealed[-1].path)


def _rewrite(path: Path, newest: Path) -> None:
    """Copy a segment without the bodies of what was completed by the end of `newest`, and put the copy in its place."""
    half = path.with_name(f"{path.name}.new")
    half.unlink(missing_ok=True)
    os.close(os.open(half, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    try:
        with translated(half, 1), closing(sqlite3.connect(half.as_uri(), uri=True, isolation_level=None)) as copy:
            has_bodies = _copy_stripped(copy, path, newest)
        if has_bodies:
            sync_file(half)
            half.rename(path)
            sync_folder(path.parent)
    finally:
        with suppress(FileNotFoundError):
            half.unlink()


def _copy_stripped(copy: sqlite3.Connection, path: Path, newest: Path) -> bool:
    """Fill an empty database; return False if there is no body to be left out. SQLite does it without Python's lock."""
    copy.executescript(queries.COPY_PRAGMAS)
    copy.executescript(queries.CREATE)
    for source, name in ((path, "original"), (newest, "newest")):
        query = "mode=ro" if has_log(source) else "mode=ro&immutable=1"  # the latter leaves nothing beside the file
        copy.execute(queries.ATTACH, (f"{source.absolute().as_uri()}?{query}", name))
    copy.execute(queries.COMPLETED_TABLE)
    for statement in queries.COMPLETED_KEYS:
        copy.execute(statement, (Completed.KIND,))
    if not copy.execute(queries.HAS_BODIES).fetchall():
        return False
    for statement in queries.COPY_STRIPPED:
        copy.execute(statement)
    copy.execute(queries.MARK_STRIPPED, (time.time_ns() // 1_000,))
    original, copied = cast("list[object]", copy.execute(queries.SAME_ROWS).fetchall())
    if original != copied:
        msg = f"the copy of {path} without bodies is not the same otherwise: {copied} instead of {original}"
        raise JournalUnavailable(msg)
    return True
