"""Anchors in a log prove a history to those who can read the log, against those who can write the journal."""

import logging
import re
from pathlib import Path

import pytest

from queue_runtime.journal.anchors import parse_anchor
from queue_runtime.journal.writer import GroupEnd
from tests.journal.examples import life, prove, started, write
from tests.journal.running import run

LINE = re.compile(r"journal anchor (\d+:[0-9a-f]{64})")


def anchors(log: pytest.LogCaptureFixture) -> list[GroupEnd]:
    """Return what was logged, as an operator would copy it."""
    texts = [LINE.fullmatch(record.getMessage()) for record in log.records if record.name == "queue_runtime.journal"]
    return [parse_anchor(text[1]) for text in texts if text is not None]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """The log of journals."""
    caplog.set_level(logging.INFO, "queue_runtime.journal")
    return caplog


async def test_anchors_are_logged_at_start_snapshot_rotation_and_stop(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    """Each names an end that the journal proves to have, and nothing before the first event is an anchor too."""
    running = await run(tmp_path / "journal")
    running.append(*life(1))
    await running.snapshot()  # begins a segment
    await running.snapshot()  # does not: it would be empty
    running.append(*life(2))
    await running.journal.close()

    seen = anchors(log)
    assert [position for position, _ in seen] == [0, 3, 3, 6]
    verdict = await prove(tmp_path / "journal", anchors=seen)
    assert verdict.is_good
    assert verdict.dropped_anchors == ()


async def test_a_rewritten_history_is_found_by_an_anchor_alone(tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    """Who writes every file anew, chain and head and all, is found by a line that he could not reach."""
    await write(tmp_path / "journal", life(1), life(2))
    await write(tmp_path / "journal", life(3))
    seen = anchors(log)
    for path in (tmp_path / "journal").iterdir():
        path.unlink()
    await write(tmp_path / "journal", life(1), [*life(2)[:2], started(99)], life(3))

    assert (await prove(tmp_path / "journal")).is_good
    for anchor in seen:
        verdict = await prove(tmp_path / "journal", anchors=[anchor])
        assert verdict.is_good == (anchor[0] == 0)
        assert verdict.altered_at in (None, anchor[0])
    assert "anchor" in (await prove(tmp_path / "journal", anchors=seen)).what


async def test_a_position_that_no_group_ends_at_is_no_anchor(tmp_path: Path) -> None:
    """Anchors are ends of groups: one inside a group, before the first or beyond the last is refuted."""
    await write(tmp_path / "journal", life(1))

    for position in (0, 2, 4):
        verdict = await prove(tmp_path / "journal", anchors=[(position, b"\1" * 32)])
        assert verdict.altered_at == position
        assert verdict.good_until == max(position - 1, 0)


async def test_what_was_dropped_is_neither_proved_nor_refuted(tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    """An anchor before what is left is named; one of the very place where the oldest segment begins is proved."""
    running = await run(tmp_path / "journal")
    running.append(*life(1))
    await running.snapshot()
    running.append(*life(2))
    await running.snapshot()
    await running.journal.close()
    (tmp_path / "journal" / "00000001.segment.sqlite").unlink()

    verdict = await prove(tmp_path / "journal", anchors=anchors(log))
    assert verdict.is_good
    assert verdict.dropped_anchors == (0,)
    assert (await prove(tmp_path / "journal", anchors=[(3, b"\1" * 32)])).altered_at == 3


@pytest.mark.parametrize("text", ["", "7", "7:", "7:zz", f"x:{'00' * 32}", f"-1:{'00' * 32}", f"7:{'00' * 31}"])
def test_what_is_no_anchor_is_refused(text: str) -> None:
    """A text that was cut or mistyped is no anchor, and the error says where to find one."""
    with pytest.raises(ValueError, match="is no anchor: copy"):
        parse_anchor(text)
