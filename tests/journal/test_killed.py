"""What a process that died, or a power cut, leaves behind."""

import asyncio
import random
import shutil
import sys
from pathlib import Path

import pytest

from queue_runtime.journal.errors import JournalCorrupt
from queue_runtime.journal.log import SqliteJournal
from queue_runtime.journal.settings import JournalSettings
from tests.journal.examples import SEGMENT, image, life, prove, read, step

WAL = f"{SEGMENT}-wal"
WAL_HEADER, FRAME_HEADER, PAGE = 32, 24, 8_192

APPEND_FOR_EVER = """
import asyncio, sys
from pathlib import Path
from queue_runtime.journal import SqliteJournal
from queue_runtime.journal.events import StepRecorded

async def append(journal, appender):
    for number in range(10**6):
        event = StepRecorded(f"pulls/{appender}", number, 1, "step", b"x" * (number % 3000))
        position = journal.append([event])
        await journal.wait(position)
        print(position, appender, number, flush=True)

async def main():
    journal = await SqliteJournal.open(Path(sys.argv[1]))
    await asyncio.gather(*(append(journal, appender) for appender in range(5)))

asyncio.run(main())
"""


async def test_sigkill_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """Whatever a killed writer had acknowledged is there, where it said, in the same journal again and again."""
    told: list[tuple[int, str, int]] = []
    for lines in (1, 40, 200):
        writer = await asyncio.create_subprocess_exec(
            sys.executable, "-c", APPEND_FOR_EVER, str(tmp_path / "journal"), stdout=asyncio.subprocess.PIPE
        )
        assert writer.stdout is not None
        acknowledged = [await writer.stdout.readline() for _ in range(lines)]
        writer.kill()
        rest, _ = await writer.communicate()
        for line in b"".join([*acknowledged, rest]).decode().splitlines(keepends=True):
            if line.endswith("\n"):
                position, appender, number = line.split()
                told.append((int(position), f"pulls/{appender}", int(number)))

        assert (await prove(tmp_path / "journal")).is_good
        events = await read(tmp_path / "journal")
        found = {position: (getattr(event, "key", ""), event.at) for position, event in enumerate(events, start=1)}
        assert [entry for entry in told if found.get(entry[0]) != entry[1:]] == []
    assert len(told) >= 241


@pytest.fixture
async def torn(tmp_path: Path) -> tuple[Path, int, int]:
    """A journal that died in the commit after position 3: its folder, and where that commit is in the WAL."""
    journal = await SqliteJournal.open(tmp_path / "journal")
    await journal.wait(journal.append(life(1)))
    begin = (tmp_path / "journal" / WAL).stat().st_size
    head = (tmp_path / "journal" / "head").read_bytes()
    await journal.wait(journal.append([*life(2), step(5, 20_000)]))
    end = (tmp_path / "journal" / WAL).stat().st_size
    folder = image(tmp_path / "journal", "dead")
    (folder / f"{SEGMENT}-shm").unlink()  # a power cut leaves no memory
    (folder / "head").write_bytes(head)
    await journal.close()
    return folder, begin, end


def _cuts(begin: int, end: int) -> list[int]:
    """Return the edges of every frame, its header and its page, a byte to each side, and bytes drawn by chance."""
    frames = range(WAL_HEADER, end, FRAME_HEADER + PAGE)
    edges = [edge + off for frame in frames for edge in (frame, frame + 8, frame + FRAME_HEADER) for off in (-1, 0, 1)]
    return sorted({cut for cut in (*edges, *random.Random(34).choices(range(begin, end), k=60)) if begin <= cut < end})


async def test_K34_a_torn_tail_recovers_to_the_last_acknowledged_commit(torn: tuple[Path, int, int]) -> None:
    """Wherever a power cut tears the commit that nobody was told of, what came before is whole, and goes on."""
    folder, begin, end = torn
    content = (folder / WAL).read_bytes()
    assert (end - begin) % (FRAME_HEADER + PAGE) == 0, "the edges are where they are thought to be"
    for cut in _cuts(begin, end):
        dead = image(folder, f"cut-{cut}")
        (dead / WAL).write_bytes(content[:cut])
        assert await read(dead) == list(life(1)), f"cut at {cut} of {begin} to {end}"
        shutil.rmtree(dead)

    whole = image(folder, "whole")
    assert (await read(whole))[:6] == [*life(1), *life(2)]  # durable, though nobody was told


async def test_K34_a_log_that_is_used_again_recovers_to_the_last_acknowledged_commit(tmp_path: Path) -> None:
    """Behind its end there are whole commits of the time before: cut there or not, none of them comes back."""
    settings = JournalSettings(checkpoint_pages=8)
    journal = await SqliteJournal.open(tmp_path / "journal", settings)
    number, wal = 0, tmp_path / "journal" / WAL
    while True:
        number += 1
        before = wal.read_bytes()[:WAL_HEADER]
        await journal.wait(journal.append([step(number, 9_000)]))
        if number > 20 and wal.read_bytes()[:WAL_HEADER] != before:
            break  # this commit is the first of the log, and the rest of the file is older
    folder = image(tmp_path / "journal", "dead")
    (folder / f"{SEGMENT}-shm").unlink()
    await journal.close()
    content = (folder / WAL).read_bytes()
    salt = content[16:24]
    frames = range(WAL_HEADER, len(content), FRAME_HEADER + PAGE)
    ours = [frame for frame in frames if content[frame + 8 : frame + 16] == salt]
    end = ours[-1] + FRAME_HEADER + PAGE
    assert end < len(content)
    for cut in (*_cuts(end, len(content)), len(content)):
        dead = image(folder, f"cut-{cut}")
        (dead / WAL).write_bytes(content[:cut])
        assert [event.at for event in await read(dead)] == list(range(1, number + 1)), f"cut at {cut} of {len(content)}"
        shutil.rmtree(dead)


async def test_K34_a_tail_of_zeros_or_rubbish_recovers_as_well(torn: tuple[Path, int, int]) -> None:
    """A file system may leave zeros, or older bytes, where the last commit should be."""
    folder, begin, end = torn
    content = (folder / WAL).read_bytes()
    for name, filler in (("zeros", b"\x00"), ("rubbish", b"\xa5")):
        for start in (begin, begin + 24, begin + 4_000):
            dead = image(folder, f"{name}-{start}")
            (dead / WAL).write_bytes(content[:start] + filler * (end - start))
            assert await read(dead) == list(life(1)), f"{name} from {start}"


async def test_K34_a_tear_in_what_was_acknowledged_is_corrupt(torn: tuple[Path, int, int]) -> None:
    """If a commit that was acknowledged is torn the journal says so, and from where on it is gone."""
    folder, begin, _ = torn
    content = (folder / WAL).read_bytes()
    dead = image(folder, "torn-early")
    (dead / WAL).write_bytes(content[: begin - 1])

    with pytest.raises(JournalCorrupt, match="acknowledged") as caught:
        await SqliteJournal.open(dead)

    assert caught.value.position == 1
