"""A new segment begins beside the appends, and wherever that fails the old one goes on."""

import asyncio
import logging
import random
from itertools import count
from pathlib import Path

import pytest

from queue_runtime.journal.errors import JournalCorrupt, JournalError, JournalUnavailable
from queue_runtime.journal.events import Event
from queue_runtime.journal.reader import JournalReader
from queue_runtime.journal.segments import Layout
from queue_runtime.journal.settings import JournalSettings
from queue_runtime.journal.state import fold
from tests.journal.examples import files, image, life, prove, started, tampering, write
from tests.journal.running import events_of, loaded, run, segments


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """A closed journal of three segments: a life in each of the first two, the third is empty."""
    running = await run(tmp_path / "journal")
    for number in (1, 2):
        running.append(*life(number))
        await running.snapshot()
    await running.journal.close()
    return tmp_path / "journal"


async def test_a_segment_that_is_large_is_followed_by_another_beside_the_appends(tmp_path: Path) -> None:
    """While five appenders go on, snapshots begin new segments: nothing is lost, doubled or out of order."""
    folder = tmp_path / "journal"
    running = await run(folder, JournalSettings(segment_bytes=150_000))
    happened: list[Event] = []
    numbers = count(1)
    is_done = asyncio.Event()

    async def append() -> None:
        while not is_done.is_set():
            events = life(next(numbers))
            happened.extend(events)
            await running.journal.wait(running.append(*events))

    appenders = [asyncio.create_task(append()) for _ in range(5)]
    while len(segments(folder)) < 4:
        await running.snapshot()
    is_done.set()
    await asyncio.gather(*appenders)
    await running.journal.close()

    assert await events_of(folder) == happened
    assert (await prove(folder)).is_good
    read, state = await loaded(folder)
    assert read < len(happened)
    assert state == fold(happened)


async def test_a_segment_that_is_old_is_followed_by_another(tmp_path: Path) -> None:
    """Age alone is enough; a segment without a row is never followed."""
    folder = tmp_path / "journal"
    running = await run(folder, JournalSettings(segment_age_s=3_600))
    running.append(*life(1))
    await running.snapshot()
    assert files(folder) == ["00000001.segment.sqlite", "head", "lock", "newest.snapshot"]
    await running.journal.close()

    running = await run(folder)
    for _ in range(3):
        await running.snapshot()
    await running.journal.close()

    assert files(folder) == [
        "00000001.segment.sqlite",
        "00000002.segment.sqlite",
        "00000002.snapshot",
        "head",
        "lock",
        "newest.snapshot",
    ]


async def test_a_start_reads_no_segment_before_its_snapshot(folder: Path) -> None:
    """What a start costs depends on the snapshot and what follows it: rubbish in older segments is not even seen."""
    running = await run(folder)
    running.append(started(3))
    await running.journal.close()
    for number in (1, 2):
        Layout(folder).segment(number).write_bytes(b"rubbish")

    assert await loaded(folder) == (1, fold([*life(1), *life(2), started(3)]))


async def test_a_damaged_snapshot_is_stood_in_for_by_an_older_one(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The newest that can be read counts, with the events after it; each that cannot is warned of."""
    everything = fold([*life(1), *life(2)])
    for number, read in ((3, 3), (2, 6)):
        Layout(folder).snapshot(number).write_bytes(b"damaged")
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert await loaded(folder) == (read, everything)
        assert f"{Layout(folder).snapshot(number)} is left out" in caplog.text


async def test_without_a_snapshot_dropped_events_are_missed(folder: Path) -> None:
    """If no snapshot can be read and the events before the oldest segment are gone, the journal says so."""
    Layout(folder).segment(1).unlink()
    for number in (2, 3):
        Layout(folder).snapshot(number).write_bytes(b"damaged")

    with pytest.raises(JournalCorrupt, match="events from here to 3 were dropped") as caught:
        await loaded(folder)
    assert caught.value.position == 1


async def test_a_segment_that_is_missing_in_the_middle_is_corrupt(folder: Path) -> None:
    """The chain goes over the segments: a hole between two of them is named, by a load that needs it and by verify."""
    Layout(folder).segment(2).unlink()
    for number in (2, 3):
        Layout(folder).snapshot(number).unlink()

    with pytest.raises(JournalCorrupt, match="the next segment follows 6") as caught:
        await loaded(folder)

    assert caught.value.position == 4
    verdict = await prove(folder)
    assert (verdict.good_until, verdict.altered_at) == (3, 4)


async def test_a_segment_of_another_history_is_found(folder: Path, tmp_path: Path) -> None:
    """A segment that ends where the next one begins, but with another hash, is not the one that was there."""
    await write(tmp_path / "other", life(9))
    Layout(folder).segment(1).write_bytes(Layout(tmp_path / "other").segment(1).read_bytes())

    verdict = await prove(folder)

    assert verdict.altered_at == 4
    assert "another hash" in verdict.what


async def test_a_segment_that_forgot_what_it_follows_is_corrupt(folder: Path) -> None:
    """Rows without a word on what is before them are not taken for a segment that was never begun."""
    running = await run(folder)
    running.append(started(3))
    await running.journal.close()
    for statement in ("DELETE FROM base", "UPDATE base SET position = 5", "UPDATE base SET created_at = 1"):
        dead = image(folder, statement.replace(" ", "-"))
        with tampering(dead, 3) as connection:
            connection.execute(statement)
        with pytest.raises(JournalCorrupt, match="follow"):
            await loaded(dead)
        assert not (await prove(dead)).is_good


async def test_what_a_dead_process_left_is_cleared_up(folder: Path) -> None:
    """Files half written, a segment that was never begun and logs of segments that are gone do not stay."""
    before = files(folder)
    (folder / "newest.new").write_bytes(b"half")
    (folder / "00000001.segment.sqlite.new").write_bytes(b"half")
    (folder / "00000000.segment.sqlite-wal").write_bytes(b"")
    (folder / "00000004.segment.sqlite").write_bytes(b"")

    assert await loaded(folder) == (0, fold([*life(1), *life(2)]))

    assert files(folder) == before
    assert not Layout(folder).left_over()


async def test_a_state_that_is_not_the_journals_is_refused(tmp_path: Path) -> None:
    """A state that its owner no longer keeps up to date begins no segment: it would lose what it missed."""
    running = await run(tmp_path / "journal")
    running.append(*life(1))
    stale = fold(life(1))
    running.append(*life(2))

    with pytest.raises(JournalUnavailable, match="of position 3 and the journal at 6"):
        await running.journal.snapshot(stale)

    await running.journal.wait(running.append(*life(3)))
    await running.snapshot()
    await running.journal.close()
    assert segments(tmp_path / "journal") == ["00000001.segment.sqlite", "00000002.segment.sqlite"]
    assert (await prove(tmp_path / "journal")).good_until == 9


async def test_a_caller_that_is_cancelled_stops_no_rotation(tmp_path: Path) -> None:
    """What was begun is done to its end, at the latest by the close."""
    running = await run(tmp_path / "journal")
    running.append(*life(1))
    asking = asyncio.create_task(running.snapshot())
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    running.append(*life(2))
    while not Layout(tmp_path / "journal").snapshot(2).exists():
        await running.journal.wait(running.append(started(1)))
    await running.journal.close()

    assert (await prove(tmp_path / "journal")).is_good
    assert segments(tmp_path / "journal") == ["00000001.segment.sqlite", "00000002.segment.sqlite"]


async def test_a_close_in_the_middle_of_a_rotation_loses_nothing(tmp_path: Path) -> None:
    """At whatever turn of the loop the journal is closed it can be opened, with all that was appended."""
    for turns in range(12):
        folder = tmp_path / str(turns)
        running = await run(folder)
        running.append(*life(1))
        asking = asyncio.create_task(running.snapshot())
        for _ in range(turns):
            await asyncio.sleep(0)
        await running.journal.close()
        await asyncio.gather(asking, return_exceptions=True)
        assert (await loaded(folder))[1] == fold(life(1))
        assert (await prove(folder)).is_good


# --- beside an engine ----------------------------------------------------------------------------------------------


async def test_people_read_across_segments(folder: Path) -> None:
    """Entries, statistics and the last position are of all segments, from any position on."""
    running = await run(folder)
    await running.journal.wait(running.append(*life(3)))

    def read() -> None:
        with JournalReader(folder) as reader:
            assert [entry.position for entry in reader.entries(after=2, until=8)] == [3, 4, 5, 6, 7, 8]
            assert [entry.position for entry in reader.entries(key="pulls/3")] == [7, 8, 9]
            assert reader.last_position() == 9
            found = reader.statistics()
        assert (found.first_position, found.last_position, found.segments) == (1, 9, 3)
        assert (found.first_at, found.last_at) == (1, 3)
        assert found.events == {"Received": 3, "AttemptStarted": 3, "Completed": 3}

    await asyncio.to_thread(read)
    await running.journal.close()


async def test_a_reader_follows_across_a_rotation_and_past_a_dropped_segment(tmp_path: Path) -> None:
    """One that was open before goes on in the new segment; where the oldest was dropped it begins later."""
    running = await run(tmp_path / "journal")
    await running.journal.wait(running.append(*life(1)))

    def follow(reader: JournalReader, after: int) -> list[int]:
        return [entry.position for entry in reader.entries(after=after)]

    with JournalReader(tmp_path / "journal") as reader:
        assert await asyncio.to_thread(follow, reader, 0) == [1, 2, 3]
        await running.snapshot()
        assert await asyncio.to_thread(follow, reader, 3) == []
        await running.journal.wait(running.append(*life(2)))
        assert await asyncio.to_thread(follow, reader, 2) == [3, 4, 5, 6]
        Layout(tmp_path / "journal").segment(1).unlink()
        assert await asyncio.to_thread(follow, reader, 0) == [4, 5, 6]
        assert (await asyncio.to_thread(reader.statistics)).first_position == 4
    assert (await prove(tmp_path / "journal")).good_until == 6
    await running.journal.close()


async def test_a_bit_flipped_anywhere_in_a_folder_of_segments_is_found(tmp_path: Path) -> None:
    """Of 200 bits in segments, snapshots and the head, each is found, or changes nothing that anybody reads."""
    folder = tmp_path / "journal"
    running = await run(folder)
    for number in range(1, 4):
        running.append(*life(number), *life(number + 10))
        await running.snapshot()
    running.append(*life(4))
    await running.journal.close()
    expected, happened = await loaded(folder), await events_of(folder)
    chance = random.Random(2)
    places = [
        (path, offset)
        for path in [*Layout(folder).segments(), *Layout(folder).snapshots(), Layout(folder).head]
        for offset, byte in enumerate(path.read_bytes())
        if byte
    ]
    outside = [place for place in places if place[0].suffix != ".sqlite"]

    missed: list[str] = []
    for path, offset in chance.sample(places, 140) + chance.sample(outside, 60):
        content = path.read_bytes()
        path.write_bytes(content[:offset] + bytes([content[offset] ^ 1 << chance.randrange(8)]) + content[offset + 1 :])
        is_good = await _is_good(folder)
        if (is_good and path.suffix != ".sqlite") or (
            is_good and await _read_or_refuse(folder) not in (happened, None)
        ):
            missed.append(f"{path.name} at {offset}")
        path.write_bytes(content)

    assert missed == []
    assert await loaded(folder) == expected


async def _read_or_refuse(folder: Path) -> list[Event | None] | None:
    try:
        return await events_of(folder)
    except JournalError:
        return None


async def _is_good(folder: Path) -> bool:
    try:
        return (await prove(folder)).is_good
    except JournalError:
        return False
