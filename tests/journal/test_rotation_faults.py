"""A disk that is full or broken in the middle of a rotation: the old segment goes on, and nothing is lost."""

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from queue_runtime.journal import keeper
from queue_runtime.journal.errors import JournalUnavailable
from queue_runtime.journal.settings import JournalSettings
from queue_runtime.journal.state import fold
from queue_runtime.journal.writer import GroupEnd, Writer
from tests.journal.examples import life, prove
from tests.journal.running import events_of, loaded, run, segments


@pytest.fixture
def limit() -> Iterator[None]:
    """Undo what a test did to the size that files may have."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_without_room_for_a_new_segment_the_old_one_goes_on(tmp_path: Path) -> None:
    """The caller is told; appends do not notice; when there is room the next snapshot begins the segment."""
    settings = JournalSettings(segment_age_s=0)
    running = await run(tmp_path / "journal", settings)
    running.append(*life(1))
    object.__setattr__(settings, "max_pages", 1)
    with pytest.raises(JournalUnavailable, match=r"00000002\.segment\.sqlite cannot be made"):
        await running.snapshot()
    object.__setattr__(settings, "max_pages", None)
    assert segments(tmp_path / "journal") == ["00000001.segment.sqlite"]

    await running.journal.wait(running.append(*life(2)))
    await running.snapshot()
    await running.journal.close()

    assert segments(tmp_path / "journal") == ["00000001.segment.sqlite", "00000002.segment.sqlite"]
    assert await events_of(tmp_path / "journal") == [*life(1), *life(2)]


async def test_a_snapshot_that_does_not_fit_leaves_a_segment_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The segments changed already: the caller is told, and the next start reads from the snapshot before."""
    running = await run(tmp_path / "journal")
    running.append(*life(1))
    await running.snapshot()
    running.append(*life(2))
    original = keeper.write_snapshot

    def without_room(path: Path, packed: bytes) -> None:
        (path.with_suffix(".new")).mkdir()
        try:
            original(path, packed)
        finally:
            path.with_suffix(".new").rmdir()

    monkeypatch.setattr(keeper, "write_snapshot", without_room)
    with pytest.raises(JournalUnavailable, match=r"00000003\.snapshot cannot be written"):
        await running.snapshot()
    await running.journal.wait(running.append(*life(3)))
    await running.journal.close()

    assert await loaded(tmp_path / "journal") == (6, fold([*life(1), *life(2), *life(3)]))
    assert (await prove(tmp_path / "journal")).is_good


async def test_a_segment_that_began_although_it_said_no_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that go on in the old segment would be missing between the two: so the new one is removed first."""
    begin = Writer.begin

    async def begin_and_fail(writer: Writer, base: GroupEnd, at: int) -> None:
        await begin(writer, base, at)
        msg = "the sync failed"
        raise JournalUnavailable(msg)

    running = await run(tmp_path / "journal")
    running.append(*life(1))
    monkeypatch.setattr(Writer, "begin", begin_and_fail)
    with pytest.raises(JournalUnavailable, match="the sync failed"):
        await running.snapshot()
    monkeypatch.setattr(Writer, "begin", begin)
    await running.journal.wait(running.append(*life(2)))

    assert segments(tmp_path / "journal") == ["00000001.segment.sqlite"]
    await running.snapshot()
    await running.journal.close()
    assert await events_of(tmp_path / "journal") == [*life(1), *life(2)]
    assert (await prove(tmp_path / "journal")).is_good


@pytest.mark.usefixtures("limit")
async def test_a_journal_recovers_in_the_segment_that_it_was_in(tmp_path: Path) -> None:
    """After a failed commit behind a rotation `recover` finds what is durable in both segments, and goes on."""
    running = await run(tmp_path / "journal")
    running.append(*life(1))
    await running.snapshot()
    await running.journal.wait(running.append(*life(2)))
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    with pytest.raises(JournalUnavailable):
        await running.journal.wait(running.journal.append(life(3)))
    with pytest.raises(JournalUnavailable):
        await running.snapshot()
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))

    await running.journal.recover()
    assert running.journal.position == 6
    running.state = fold([*life(1), *life(2)])
    await running.journal.wait(running.append(*life(4)))
    await running.snapshot()
    await running.journal.close()

    assert await events_of(tmp_path / "journal") == [*life(1), *life(2), *life(4)]
    assert (await prove(tmp_path / "journal")).is_good
