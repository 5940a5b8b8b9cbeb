"""A bit that flips anywhere in a journal's folder is found by `verify`, or is where nobody reads: nothing between."""

import asyncio
import random
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from queue_runtime.journal import dedup
from queue_runtime.journal.errors import JournalError
from queue_runtime.journal.events import Event
from queue_runtime.journal.settings import JournalSettings
from queue_runtime.journal.settled_keys import KeyBatch
from tests.journal.examples import image, life, prove, read, received
from tests.journal.key_examples import entries
from tests.journal.running import run

SLOT, RECORD = 512, 52
NEWEST = "00000003.segment.sqlite"
SQLITES_HEADER, LAYOUT_NUMBER, APPLICATION = range(100), range(60, 64), range(68, 72)


async def _journal(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Leave the files of a process that was killed: three segments, the last in its log; snapshots; two key files."""
    monkeypatch.setattr(dedup, "_REST_S", 0)
    settings = JournalSettings(segment_age_s=0)
    running = await run(folder, settings)
    for number in range(1, 3):
        running.append(*(event for one in range(4) for event in life(10 * number + one)), received(10 * number + 9))
        await running.snapshot()
        end = running.journal.position
        await running.journal.keys.seal(KeyBatch(end - 13, end, entries(range(200 * number, 200 * number + 150), at=5)))
    object.__setattr__(settings, "segment_age_s", 3_600.0)
    running.append(*life(31), received(32))
    await running.snapshot()
    for number in range(33, 37):
        await running.journal.wait(running.append(*life(number)))
    dead = image(folder, "dead")
    await running.journal.close()
    return dead


def _offsets(path: Path, dice: random.Random) -> list[int]:
    """Draw places in a file: most where something is written, some in what looks empty, and its ends."""
    content = path.read_bytes()
    written = [offset for offset, byte in enumerate(content) if byte]
    if path.name == "lock" or path.name.endswith("-shm"):
        return dice.sample(written, 3)
    count = 20 if path.suffix == ".sqlite" or path.name.endswith("-wal") else 8
    drawn = dice.sample(written, min(count, len(written))) + dice.choices(range(len(content)), k=3)
    header = [*LAYOUT_NUMBER, *APPLICATION] if path.suffix == ".sqlite" else []
    return [0, len(content) - 1, *header, *drawn]


def _all_that_sql_says(folder: Path, name: str) -> list[object]:
    """Return everything that a segment holds but what is there for people with another tool."""
    looked_at = image(folder, f"{folder.name}-looked-at-{uuid4()}")  # SQLite tidies up when it closes a database
    with closing(sqlite3.connect(looked_at / name)) as connection:
        tables = [connection.execute(f"SELECT * FROM {table}").fetchall() for table in ("events", "base", "stripped")]  # noqa: S608 - of this file
        numbers = [connection.execute(f"PRAGMA {name}").fetchone() for name in ("application_id", "page_size")]
        return [*tables, *numbers]


def _why_harmless(sound: Path, broken: Path, name: str, offset: int) -> str | None:
    """Say why nobody needs the byte at `offset` of a file; None if somebody does."""
    if name == "lock":
        return "tells people who had the journal"
    if name.endswith("-shm"):
        return "is made again from the log by who opens it first"
    if name == "head" and offset % SLOT >= RECORD:
        return "fills a slot"
    segment = name.removesuffix("-wal")
    if segment == name and offset in SQLITES_HEADER:
        return "says what may write here: a start refuses to, or reads the same"
    if segment.endswith(".sqlite") and _all_that_sql_says(broken, segment) == _all_that_sql_says(sound, segment):
        return "is free, or has a newer copy in the log, or is there for people"
    return None


async def _read_or_refuse(folder: Path) -> list[Event] | None:
    try:
        return await read(folder)
    except JournalError:
        return None


async def test_a_flipped_bit_is_found_or_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    """In segments, log, head, snapshots and key files; what is not found changes nothing that a start reads."""
    sound = await _journal(tmp_path / "journal", monkeypatch)
    expected = await read(image(sound, "read"))
    dice = random.Random(20_260)
    names = sorted(path.name for path in await asyncio.to_thread(lambda: list(sound.iterdir())))
    assert len(names) == 12, names
    found, harmless = Counter[str](), Counter[str]()
    for name in names:
        for trial, offset in enumerate(_offsets(sound / name, dice)):
            where = f"bit {trial % 8} of byte {offset} of {name}"
            broken = image(sound, f"{name}-{trial}")
            content = bytearray((broken / name).read_bytes())
            content[offset] ^= 1 << trial % 8
            (broken / name).write_bytes(content)
            try:
                is_good = (await prove(broken)).is_good
            except JournalError:
                is_good = False
            if not is_good:
                found[name] += 1
                continue
            why = await asyncio.to_thread(_why_harmless, sound, broken, name, offset)
            assert why is not None, f"{where} is not found"
            harmless[why] += 1
            assert await _read_or_refuse(broken) in ((expected, None) if "refuses" in why else (expected,)), where

    assert found.total() > 120, (found, harmless)
    assert {*names} - {*found} == {"lock", NEWEST, f"{NEWEST}-shm"}, "all of the newest segment is in its log"
    record_property("flipped bits that were found", found.total())
    record_property("flipped bits that nobody reads", harmless.total())
