"""What was written has to be possible too: the first event on disk that breaks a rule is named."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from queue_runtime.journal import JournalError, Violation, audit
from queue_runtime.journal.events import Event
from queue_runtime.journal.invariants import Rule
from queue_runtime.journal.segments import Layout
from queue_runtime.journal.snapshot import Snapshot, pack_snapshot, write_snapshot
from queue_runtime.journal.state import fold
from tests.journal.examples import life, started, write, write_foreign


async def _audit(folder: Path, until: int | None = None) -> Violation | None:
    return await asyncio.to_thread(audit, folder, until)


async def _as_second_segment(folder: Path, before: list[Event], after: list[Event]) -> Path:
    """Leave a journal whose first segment was dropped: the one that is left has another's number."""
    await write(folder, after)
    layout = Layout(folder)
    layout.segment(1).rename(layout.segment(2))
    await asyncio.to_thread(
        write_snapshot, folder / "00000002.snapshot", pack_snapshot(Snapshot(len(before), fold(before)))
    )
    return folder


async def test_a_journal_that_an_engine_could_write_breaks_no_rule(tmp_path: Path) -> None:
    """What is possible is passed."""
    await write(tmp_path / "journal", life(1), life(2))

    assert await _audit(tmp_path / "journal") is None


async def test_the_first_impossible_event_is_named(tmp_path: Path) -> None:
    """Its position, the rule and the message are told; what stands behind it is not looked at."""
    await write(tmp_path / "journal", life(1), [started(2)], [started(3)])

    violation = await _audit(tmp_path / "journal")

    assert violation == Violation(4, Rule.KNOWN_MESSAGE, "AttemptStarted of unknown message pulls/2")


async def test_the_audit_ends_where_it_is_told(tmp_path: Path) -> None:
    """What stands behind a place that was altered proves nothing, so it can be left out."""
    await write(tmp_path / "journal", life(1), [started(2)])

    assert await _audit(tmp_path / "journal", until=3) is None


async def test_an_event_of_a_newer_version_is_passed_over(tmp_path: Path) -> None:
    """Tools tolerate what they do not know."""
    await write_foreign(tmp_path / "journal", 999)

    violation = await _audit(tmp_path / "journal")

    assert violation is not None
    assert violation.position == 1  # an attempt of a message that nobody received: the one event that is known


async def test_a_journal_without_its_oldest_segments_is_audited_from_its_snapshot(tmp_path: Path) -> None:
    """An attempt that ends is possible if it began before the oldest event that is left, and only then."""
    begin, start, end = life(1)
    whole = await _as_second_segment(tmp_path / "whole", [begin, start], [end])
    broken = await _as_second_segment(tmp_path / "broken", [begin], [end])

    assert await _audit(whole) is None
    violation = await _audit(broken)
    assert violation is not None
    assert violation.rule is Rule.RUNNING_ATTEMPT


async def test_a_lost_snapshot_is_an_error_and_not_a_violation(tmp_path: Path) -> None:
    """Nothing is said about events whose beginning nobody knows."""
    folder = await _as_second_segment(tmp_path / "journal", [], [replace(started(1))])
    await asyncio.to_thread((folder / "00000002.snapshot").unlink)

    with pytest.raises(JournalError, match="--chain-only"):
        await _audit(folder)
