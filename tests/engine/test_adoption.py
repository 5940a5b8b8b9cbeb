"""What journals beside an engine's own left behind is finished, once, and by nobody twice."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from queue_runtime.engine import Context, Engine, EngineSettings
from queue_runtime.engine.adoption import adopt_siblings, open_journal
from queue_runtime.journal import JournalOwned, JournalReader, SqliteJournal, audit
from queue_runtime.journal.events import (
    Adopted,
    AttemptStarted,
    Completed,
    Event,
    Forgotten,
    OutgoingSent,
    Received,
    SendCancelled,
    SendScheduled,
    Settled,
)
from queue_runtime.plugins import Router
from queue_runtime.providers.errors import ConnectionFailed
from queue_runtime.providers.memory import MemoryProvider, Operation
from queue_runtime.providers.message import Message
from tests.engine.bench import OUT, QUEUE, Bench
from tests.journal.examples import life, read, received, started, write
from tests.unit import builders as b

pytestmark = pytest.mark.blocks_loop  # journals of others are read here

ONE, TWO = "worker-1", "worker-2"
SCHEDULED = SendScheduled("later", 1, 2**60, b.message())


def _settings(folder: Path, *, adopts: bool = True, queue: str = "pulls") -> EngineSettings:
    return EngineSettings(journal=folder, queues=(queue,), adopt_siblings=adopts, receive_wait_s=0.1)


async def _adopt(folder: Path, queue: str = "pulls") -> list[Event]:
    """Have the journal in `folder` adopt, and return what it says then."""
    settings = _settings(folder, queue=queue)
    journal = await open_journal(settings)
    await adopt_siblings(journal, settings, 5)
    await journal.close()
    return await read(folder)


def _kinds(events: Sequence[Event]) -> list[str]:
    return [type(event).__name__ for event in events]


async def test_work_of_a_sibling_is_taken_over_and_the_sibling_is_told(tmp_path: Path) -> None:
    """Outcomes and scheduled sends move; what has no outcome stays for the broker to deliver again."""
    await write(tmp_path / ONE, life(1), [received(2), started(2)], [received(3)], [SCHEDULED])

    ours = await _adopt(tmp_path / TWO)
    theirs = (await read(tmp_path / ONE))[7:]

    assert _kinds(ours) == ["Received", "Adopted", "SendScheduled"]
    assert isinstance(ours[1], Adopted)
    assert (ours[1].key, ours[1].source, ours[1].at) == ("pulls/1", ONE, 5)
    assert theirs == [
        Forgotten("pulls/1", 5, f"adopted by {TWO}"),
        SendCancelled("later", 5, f"adopted by {TWO}"),
    ]
    assert audit(tmp_path / ONE) is None
    assert audit(tmp_path / TWO) is None


async def test_what_was_taken_over_is_not_taken_again(tmp_path: Path) -> None:
    """Neither a second start of the same engine, nor that of a third, finds anything left."""
    await write(tmp_path / ONE, life(1), [SCHEDULED])

    first = await _adopt(tmp_path / TWO)
    second = await _adopt(tmp_path / TWO)
    third = await _adopt(tmp_path / "worker-3")

    assert second == first
    assert _kinds(third) == ["Received", "Adopted", "SendScheduled"]  # of worker-2, which does not run either
    assert len([event for event in await read(tmp_path / ONE) if isinstance(event, Forgotten)]) == 1


async def test_other_queues_other_folders_and_open_journals_are_left_alone(tmp_path: Path) -> None:
    """Taken is what this engine could settle, from journals that nobody has open, and from nothing else."""
    await write(tmp_path / ONE, life(1))
    (tmp_path / "notes").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / ONE)
    open_one = await SqliteJournal.open(tmp_path / "worker-3")
    await open_one.wait(open_one.append(life(2)))

    other_queue = await _adopt(tmp_path / TWO, queue="issues")
    ours = await _adopt(tmp_path / TWO)
    await open_one.close()

    assert other_queue == []
    assert [event.key for event in ours if isinstance(event, Adopted)] == ["pulls/1"]


async def test_a_damaged_sibling_is_reported_and_stops_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A start beside a journal that cannot be read goes on, and adopts from the others."""
    await write(tmp_path / ONE, life(1))
    await write(tmp_path / "damaged", life(2))
    (tmp_path / "damaged" / "00000001.segment.sqlite").write_bytes(b"no database" * 1_000)

    ours = await _adopt(tmp_path / TWO)

    assert [event.key for event in ours if isinstance(event, Adopted)] == ["pulls/1"]
    assert f"journal {tmp_path / 'damaged'} beside this one is not adopted from" in caplog.text


async def test_a_message_at_work_here_is_neither_overwritten_nor_forgotten_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One that was delivered to this engine too, and has no outcome here, keeps both accounts."""
    await write(tmp_path / ONE, life(1))
    await write(tmp_path / TWO, [received(1)])

    ours = await _adopt(tmp_path / TWO)

    assert _kinds(ours) == ["Received"]
    assert _kinds(await read(tmp_path / ONE)) == ["Received", "AttemptStarted", "Completed"]
    assert "pulls/1 of the journal" in caplog.text


async def test_a_message_that_was_finished_here_is_only_forgotten_there(tmp_path: Path) -> None:
    """The same completion is known here, settled or not: nothing is owed twice."""
    await write(tmp_path / ONE, life(1), life(2))
    finished = [*life(2), OutgoingSent("pulls/2", 2, 0, "p"), Settled("pulls/2", 2, "p2", b.settled().disposition)]
    await write(tmp_path / TWO, life(1), finished)

    ours = await _adopt(tmp_path / TWO)

    assert [event for event in ours if isinstance(event, Adopted)] == []
    forgotten = [event.key for event in await read(tmp_path / ONE) if isinstance(event, Forgotten)]
    assert forgotten == ["pulls/1", "pulls/2"]


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from queue_runtime.engine import EngineSettings
from queue_runtime.engine.adoption import adopt_siblings, open_journal
from queue_runtime.journal import SqliteJournal
from queue_runtime.journal.events import Forgotten

append = SqliteJournal.append

def killed_before_the_sibling_is_told(journal, events):
    if any(isinstance(event, Forgotten) for event in events):
        os.kill(os.getpid(), signal.SIGKILL)
    return append(journal, events)

async def main():
    settings = EngineSettings(journal=Path(sys.argv[1]), queues=("pulls",), adopt_siblings=True)
    await adopt_siblings(await open_journal(settings), settings, 4)

SqliteJournal.append = killed_before_the_sibling_is_told
asyncio.run(main())
"""


async def test_a_kill_between_the_two_journals_neither_loses_nor_doubles(tmp_path: Path) -> None:
    """What is durable here, and still stands there, is only crossed out there by the next start."""
    await write(tmp_path / ONE, life(1), [SCHEDULED])
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED, str(tmp_path / TWO))
    assert await asyncio.wait_for(process.wait(), 30) == -signal.SIGKILL
    between = await read(tmp_path / TWO)
    still_there = await read(tmp_path / ONE)

    after = await _adopt(tmp_path / TWO)
    told = (await read(tmp_path / ONE))[4:]

    assert _kinds(between) == ["Received", "Adopted", "SendScheduled"]
    assert _kinds(still_there) == ["Received", "AttemptStarted", "Completed", "SendScheduled"]
    assert after == between
    assert _kinds(told) == ["Forgotten", "SendCancelled"]


async def test_an_engine_finishes_what_another_one_left(tmp_path: Path) -> None:
    """The outbox of a completed message is sent and its settlement made, its handler is not run again by anybody."""
    bench, router, seen = Bench(lock_s=1.0), Router(), list[bytes]()

    @router.on("*")
    async def handle(event: bytes, ctx: Context) -> None:
        seen.append(event)
        await ctx.send(OUT, b"label")

    await bench.send(Message(b"x", message_id="x"))
    bench.broker.faults.refuse(Operation.SEND, ConnectionFailed("down"), times=10_000)
    await _run(bench, tmp_path / ONE, router, until=lambda engine: engine.status().phases == {"sending": 1})
    bench.broker.faults.clear()
    await _run(bench, tmp_path / TWO, router, until=lambda _: bench.left == 0 and bench.broker.counts(OUT).active == 1)
    await _run(bench, tmp_path / ONE, router, until=lambda engine: engine.status().ready)

    ours = await read(tmp_path / TWO)
    assert seen == [b"x"]
    assert bench.broker.counts(OUT).active == 1
    assert [type(event) for event in ours if isinstance(event, Received | Adopted | AttemptStarted | OutgoingSent)] == [
        Received,
        Adopted,
        OutgoingSent,
    ]
    assert Completed.__name__ in _kinds(await read(tmp_path / ONE))
    assert audit(tmp_path / ONE) is None
    assert audit(tmp_path / TWO) is None


async def _run(bench: Bench, folder: Path, router: Router, until: Callable[[Engine], bool]) -> None:
    """Run an engine until something holds, and stop it at once, as a kill does."""
    settings = _settings(folder, queue=QUEUE)
    journal = await open_journal(settings)
    async with Engine(settings, MemoryProvider(bench.broker), journal, [router]) as engine:
        running = asyncio.create_task(engine.run(handle_signals=False))
        await bench.until(lambda: until(engine))
        await engine.stop()
        await running
    await journal.close()


async def test_without_the_setting_nothing_is_adopted(tmp_path: Path) -> None:
    """The folder next door may be somebody else's: only who says so takes it over."""
    await write(tmp_path / ONE, [SCHEDULED])
    bench = Bench()
    settings = _settings(tmp_path / TWO, adopts=False, queue=QUEUE)
    journal = await open_journal(settings)
    async with Engine(settings, MemoryProvider(bench.broker), journal, [Router()]):
        pass
    await journal.close()

    with JournalReader(tmp_path / TWO) as reader:
        ours = [entry.name for entry in reader.entries()]
    assert ours == ["RunStarted", "RunStopped"]
    assert _kinds(await read(tmp_path / ONE)) == ["SendScheduled"]


async def test_a_journal_that_a_sibling_looks_at_is_waited_for(tmp_path: Path) -> None:
    """Workers that start together find each other's journals locked for a moment; others are told at once."""
    looking = await SqliteJournal.open(tmp_path / ONE)
    with pytest.raises(JournalOwned, match=str(os.getpid())):
        await open_journal(_settings(tmp_path / ONE, adopts=False))
    opening = asyncio.create_task(open_journal(_settings(tmp_path / ONE)))
    done, _ = await asyncio.wait([opening], timeout=0.3)
    assert not done
    await looking.close()

    journal = await asyncio.wait_for(opening, 10)
    assert journal.position == 0
    await journal.close()
