"""The way out of a damaged journal: all up to a position is kept, the rest is moved aside, and the journal says so."""

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest

from queue_runtime.journal.audit import audit
from queue_runtime.journal.dedup import key_file_paths
from queue_runtime.journal.engine_events import OperatorActed
from queue_runtime.journal.errors import JournalCorrupt, JournalError, JournalOwned
from queue_runtime.journal.key_file import Coverage, write_key_file
from queue_runtime.journal.log import SqliteJournal
from queue_runtime.journal.reader import JournalReader
from queue_runtime.journal.repair import Repair
from queue_runtime.journal.settings import JournalSettings
from queue_runtime.journal.state import fold
from tests.journal.examples import database, image, life, prove, read, received, started, tampering
from tests.journal.running import run

pytestmark = pytest.mark.blocks_loop  # the folders are looked into between the steps

STEPS = {"mkdir", "open", "fsync", "rename", "unlink", "rmdir"}  # the calls after which a folder looks different
KEY = b"a key of sixteen or more"


@pytest.fixture
async def journal(tmp_path: Path) -> Path:
    """Lives 1 to 7 at positions 1 to 21: three segments that begin at 1, 10 and 16, and a snapshot of 21."""
    running = await run(tmp_path / "journal")
    for number in range(1, 8):
        running.append(*life(number))
        await running.journal.wait(running.state.position)
        if number in (3, 5):
            await running.snapshot()
    await running.journal.close()
    keep = await run(tmp_path / "journal", JournalSettings())
    await keep.snapshot()
    await keep.journal.close()
    for until in (12, 20):
        write_key_file(tmp_path / "journal" / f"{until:020d}.keys", Coverage(until - 5, until), 0, [], lambda: None)
    return tmp_path / "journal"


def repair(folder: Path, after: int, key: bytes | None = None) -> Path:
    with Repair(folder, after, key) as begun:
        return begun.carry_out("ann")


async def holds(folder: Path, after: int, key: bytes | None = None) -> OperatorActed:
    """Check that the journal is sound, ends after `after` with the record of its repair, and can be gone on with."""
    assert await prove(folder, head_key=key) == await prove(folder)
    assert (await prove(folder, head_key=key)).is_good
    assert await asyncio.to_thread(audit, folder) is None
    with JournalReader(folder) as reader:
        entries = list(reader.entries())
    assert [entry.position for entry in entries] == list(range(1, after + 2))
    record = entries[-1].event
    assert isinstance(record, OperatorActed)
    lives = [event for number in range(1, 8) for event in life(number)][:after]
    before = [event for entry in entries[:-1] if (event := entry.event) is not None]
    assert before == lives
    running = await run(folder, JournalSettings(head_key=key))
    assert running.state == fold([*lives, record])
    running.append(*life(8))
    await running.snapshot()
    await running.journal.close()
    assert (await prove(folder, head_key=key)).good_until == after + 4
    assert [path.name for path in key_file_paths(folder) if int(path.stem) > after] == []
    return record


def _row(position: int) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        segment = 1 if position < 10 else 2 if position < 16 else 3
        with tampering(folder, segment) as connection:
            connection.execute("UPDATE events SET data = x'00' WHERE position = ?", (position,))

    return damage


def _short(folder: Path) -> None:
    with tampering(folder, 3) as connection:
        connection.execute("DELETE FROM events WHERE position > 18")
    (folder / "newest.snapshot").unlink()


def _unguarded(folder: Path) -> None:
    with database(folder, 3) as connection:
        connection.execute("DROP TRIGGER events_are_never_deleted")


def _overwritten(name: str, content: bytes = b"what somebody wrote here by mistake" * 200) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return damage


def _gone(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


DAMAGES: dict[str, tuple[Callable[[Path], None], int]] = {
    "a row of the present segment": (_row(20), 18),
    "the first row of the present segment": (_row(16), 15),
    "a row of a sealed segment": (_row(12), 9),
    "more is given up than is damaged": (_row(20), 12),
    "the very first row": (_row(1), 0),
    "a database short of the head": (_short, 18),
    "a segment that is no database any more": (_overwritten("00000002.segment.sqlite"), 9),
    "the present segment is no database any more": (_overwritten("00000003.segment.sqlite"), 15),
    "a segment that is gone": (_gone("00000002.segment.sqlite"), 9),
    "an empty present segment": (_overwritten("00000003.segment.sqlite", b""), 15),
    "a schema that lost its guard": (_unguarded, 21),
    "a head that is gone": (_gone("head"), 21),
    "a head that cannot be read": (_overwritten("head"), 21),
    "a head that cannot be read, and a loss": (_overwritten("head"), 15),
    "a damaged snapshot": (_overwritten("newest.snapshot"), 21),
    "a damaged snapshot between segments": (_overwritten("00000002.snapshot"), 21),
    "a damaged key file": (_overwritten(f"{12:020d}.keys"), 21),
}


@pytest.mark.parametrize(("damage", "after"), DAMAGES.values(), ids=DAMAGES)
async def test_a_damaged_journal_is_whole_again(journal: Path, damage: Callable[[Path], None], after: int) -> None:
    """All up to the position is there as it was; the journal verifies, opens, goes on, and says who repaired it."""
    damage(journal)
    before = _files(journal)
    assert not (await prove(journal)).is_good

    aside = repair(journal, after)

    record = await holds(journal, after)
    assert (record.who, record.action) == ("ann", "repair")
    lost = f"positions {after + 1} to 21 are lost" if after < 21 else "no position is lost"
    assert record.why.startswith(lost)
    moved = _files(aside)
    assert moved == {name: before[name] for name in moved}
    assert set(before) <= {*_files(journal), *moved}


def _files(folder: Path) -> dict[str, bytes]:
    """Return what a folder holds, but for the lock and what SQLite keeps beside its databases."""
    paths = [path for path in folder.iterdir() if path.is_file() and not path.name.endswith(("-wal", "-shm", "lock"))]
    return {path.name: path.read_bytes() for path in paths}


async def test_a_log_that_was_cut_is_repaired_to_what_is_left(tmp_path: Path) -> None:
    """Of a write-ahead log that lost its end, what it still proves is kept, and its file is moved aside."""
    writing = await SqliteJournal.open(tmp_path / "journal")
    for number in range(1, 8):
        await writing.wait(writing.append(life(number)))
    dead = image(tmp_path / "journal", "dead")
    await writing.close()
    log = dead / "00000001.segment.sqlite-wal"
    log.write_bytes(log.read_bytes()[:-100])

    good = (await prove(dead)).good_until
    assert good == 18
    aside = repair(dead, good)

    await holds(dead, good)
    assert (aside / log.name).exists()


async def test_a_repaired_journal_can_be_repaired_again(journal: Path) -> None:
    """A second damage after a repair is repaired like the first; what the first moved aside stays."""
    _row(20)(journal)
    first = repair(journal, 18)
    (journal / "head").unlink()
    second = repair(journal, 19)

    assert (await prove(journal)).good_until == 20
    assert first != second
    assert (first / "00000003.segment.sqlite").exists()


async def test_a_key_is_switched_on_by_a_repair_that_loses_nothing(journal: Path) -> None:
    """With the key and the last position the head is signed anew; no segment is written again or moved."""
    aside = repair(journal, 21, KEY)

    record = await holds(journal, 21, KEY)
    assert record.why.startswith("no position is lost")
    assert [path.name for path in aside.iterdir()] == ["head"]


@pytest.mark.parametrize(
    ("after", "match"),
    [(20, "good up to 18; pass"), (19, "good up to 18; pass"), (17, r"inside a commit group.* ends at 15: pass that")],
)
async def test_a_position_that_cannot_be_kept_is_refused_with_one_that_can(
    journal: Path, after: int, match: str
) -> None:
    """Beyond what proves good, or inside a commit group: the error names the position to pass, and nothing changes."""
    _row(20)(journal)
    before = _files(journal)

    with pytest.raises(JournalError, match=match):
        repair(journal, after)

    assert _files(journal) == before


async def test_a_sound_journal_is_not_repaired(journal: Path) -> None:
    """Where nothing is wrong nothing is given up, whatever position is named."""
    with pytest.raises(JournalError, match="good up to 21: there is nothing to repair"):
        repair(journal, 12)


async def test_a_journal_that_is_open_is_not_repaired(journal: Path) -> None:
    """A repair and an engine never have a journal at the same time, whichever comes first."""
    _overwritten("newest.snapshot")(journal)
    engine = await SqliteJournal.open(journal)
    with pytest.raises(JournalOwned):
        repair(journal, 21)
    await engine.close()

    with Repair(journal, 21), pytest.raises(JournalOwned):
        await SqliteJournal.open(journal)


async def test_what_is_no_journal_is_not_repaired(tmp_path: Path) -> None:
    """A folder without a journal is the caller's mistake, and gets no lock file."""
    with pytest.raises(JournalError, match="there is no journal"):
        repair(tmp_path, 1)
    assert not (tmp_path / "lock").exists()


async def test_a_journal_without_a_state_to_begin_with_is_refused(journal: Path) -> None:
    """Where older events are dropped a snapshot of what is kept has to be there; before what is left nothing is."""
    (journal / "00000001.segment.sqlite").unlink()
    _row(20)(journal)
    with pytest.raises(JournalError, match="pass 9 or more"):
        repair(journal, 6)

    for name in ("00000002.snapshot", "00000003.snapshot"):
        _overwritten(name)(journal)
    with pytest.raises(JournalError, match="no snapshot of what is to be kept can be read"):
        repair(journal, 18)

    _overwritten("00000002.segment.sqlite")(journal)
    with pytest.raises(JournalError, match="move it away"):
        repair(journal, 18)


async def test_no_message_comes_back_without_its_body(tmp_path: Path) -> None:
    """A cut before the completion for which a body was left out is refused: the message would be open again."""
    settings = JournalSettings(segment_age_s=0, keep_bodies=False)
    running = await run(tmp_path / "journal", settings)
    running.append(received(1), received(2), started(1))
    await running.journal.wait(3)
    running.append(life(1)[2])
    await running.snapshot()
    running.append(started(2))
    await running.snapshot()
    await running.journal.close()
    (tmp_path / "journal" / "head").unlink()

    with pytest.raises(JournalError, match=r"position 1 completed after.* no more than 0"):
        repair(tmp_path / "journal", 3)
    repair(tmp_path / "journal", 4)
    assert (await prove(tmp_path / "journal")).is_good


async def test_a_repair_that_dies_anywhere_can_be_run_again(journal: Path) -> None:
    """Whichever step a repair dies before, no engine opens what it left, and the same repair ends it."""
    _row(20)(journal)
    _overwritten("00000003.snapshot")(journal)
    (journal / "newest.snapshot").unlink()
    states = {repr(_decided(state)): state for state in _states_of(journal, 15)}
    assert len(states) > 10

    for state in states.values():
        if (await prove(state)).is_good:
            continue  # it was over
        with pytest.raises(JournalCorrupt):
            await read(state)
        repair(state, 15)
        await holds(state, 15)
    await holds(journal, 15)


def _states_of(folder: Path, after: int) -> list[Path]:
    """Run a repair; return copies of the folder as a process that died before each of its steps would have left it."""
    states: list[Path] = []

    def copy(_: FrameType, event: str, called: object) -> None:
        if event == "c_call" and getattr(called, "__name__", "") in STEPS:
            sys.setprofile(None)
            states.append(image(folder, f"dead-{len(states)}"))
            sys.setprofile(copy)

    before = sys.getprofile()
    sys.setprofile(copy)
    try:
        repair(folder, after)
    finally:
        sys.setprofile(before)
    return states


def _decided(folder: Path) -> dict[str, bytes]:
    """What is there, but for what is being made: that changes nothing until it is complete."""
    paths = [path for path in sorted(folder.rglob("*")) if "repair.new" not in path.parts]
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"" for path in paths}


async def test_a_repair_that_is_not_finished_is_ended_as_it_was_begun(journal: Path) -> None:
    """Who asks for another position is told which one was decided; `verify` and the engine say that it goes on."""
    _row(20)(journal)
    plan = {"kept_until": 18, "aside": "damaged-then", "names": ["head"]}
    (journal / "repair").mkdir()
    (journal / "repair" / "plan").write_text(json.dumps(plan))

    with pytest.raises(JournalError, match="run it again with --accept-loss-after 18"):
        repair(journal, 15)
    with pytest.raises(JournalCorrupt, match="not finished; run `journal repair` again"):
        await SqliteJournal.open(journal)
    assert "is not finished" in (await prove(journal)).what
