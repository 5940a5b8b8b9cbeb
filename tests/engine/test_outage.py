"""A journal that cannot be written: nothing is lost, overtaken or stuck, whatever was under way when it began."""

import asyncio
import random
from datetime import timedelta
from pathlib import Path

import pytest

from queue_runtime.engine import Context, Engine, EngineSettings
from queue_runtime.engine.control import ask
from queue_runtime.journal import JournalSettings, JournalUnavailable, SqliteJournal
from queue_runtime.journal.events import (
    AttemptStarted,
    Completed,
    OutgoingSent,
    Received,
    SendCancelled,
    SendScheduled,
    StepRecorded,
)
from queue_runtime.plugins import CompletedInfo, Router, hookimpl
from queue_runtime.providers.memory import MemoryProvider, QueueKind
from queue_runtime.providers.message import Message
from tests.engine.bench import OUT, QUEUE, Bench
from tests.engine.test_waiting import WithoutDelays


def _gated() -> tuple[Router, asyncio.Event, list[bytes]]:
    router, gate, seen = Router(), asyncio.Event(), list[bytes]()

    @router.on("*")
    async def handle(event: bytes, ctx: Context) -> None:
        del ctx
        seen.append(event)
        await gate.wait()

    return router, gate, seen


@pytest.mark.parametrize("kind", [QueueKind.STANDARD, QueueKind.FIFO, QueueKind.SESSIONS])
async def test_what_arrived_and_could_not_be_journaled_comes_again_in_order(kind: QueueKind) -> None:
    """A session's later messages do not overtake the one whose first journaling failed."""
    bench = Bench(kind, lock_s=0.5)
    router, gate, seen = _gated()
    gate.set()
    async with bench.engine(router) as engine:
        await bench.send(Message(b"0", session_id="s"))
        await bench.until(lambda: seen == [b"0"])
        await bench.until_empty()
        bench.journal.fail_next()
        await bench.send(Message(b"1", session_id="s"))
        await bench.until(lambda: not engine.status().ready)
        await bench.send(Message(b"2", session_id="s"), Message(b"3", session_id="s"))
        await bench.until_empty()

    if kind is QueueKind.STANDARD:  # the broker itself promises no order here
        assert sorted(seen) == [b"0", b"1", b"2", b"3"]
    else:
        assert seen == [b"0", b"1", b"2", b"3"]


async def test_receivers_that_waited_for_room_go_on_after_an_outage() -> None:
    """What filled the room was not journaled and is gone from memory: the room is free again."""
    bench = Bench(lock_s=0.3)
    router, gate, seen = _gated()
    gate.set()
    async with bench.engine(router, max_in_flight=3):
        bench.journal.hold()
        await bench.send(*(Message(b"%d" % n) for n in range(3)))
        await bench.until(lambda: bench.journal.position - bench.journal.durable >= 3)
        bench.journal.fail_next()
        bench.journal.release()
        await bench.until_empty()

    assert sorted(seen) == [b"0", b"1", b"2"]


@pytest.mark.parametrize("lands", [False, True])
async def test_a_send_that_the_journal_was_to_hold_is_not_lost(lands: bool) -> None:  # noqa: FBT001 - a parameter
    """The send counts as done only if the journal holds it, also when it failed to take it first."""
    bench = Bench(lock_s=5.0)
    bench.provider = WithoutDelays
    router = Router()

    @router.on("*")
    async def handle(event: bytes, ctx: Context) -> None:
        await ctx.send(OUT, event, after=timedelta(seconds=0.8))

    await bench.send(Message(b"x"))
    async with bench.engine(router, settle_max_age_s=0.1) as engine:
        await bench.until(lambda: bench.count(Completed) == 1)
        bench.journal.fail_next(lands=lands)  # the commit that would hold the send
        await bench.until(lambda: not engine.status().ready)
        await bench.until_empty()
        await bench.until(lambda: bench.broker.counts(OUT).active == 1)
        await bench.until(lambda: bench.count(SendCancelled) == bench.count(SendScheduled))

    assert bench.broker.counts(OUT).active == 1
    assert bench.count(OutgoingSent) == 1


async def test_that_a_held_message_was_sent_is_journaled_after_an_outage() -> None:
    """Else every start from then on would send it again."""
    bench = Bench(lock_s=5.0)
    bench.provider = WithoutDelays
    router = Router()

    @router.on("*")
    async def handle(event: bytes, ctx: Context) -> None:
        await ctx.send(OUT, event, after=timedelta(seconds=0.3))

    await bench.send(Message(b"x"))
    async with bench.engine(router):
        await bench.until_empty()
        await bench.until(lambda: bench.journal.position == bench.journal.durable)
        bench.journal.fail_next()
        await bench.until(lambda: bench.count(SendCancelled) == 1)

    assert bench.broker.counts(OUT).active == 1


async def test_a_step_waits_for_the_journal_and_runs_once() -> None:
    """The handler goes on when its result is durable."""
    bench, router = Bench(lock_s=5.0), Router()
    calls: list[int] = []
    done: list[object] = []

    @router.on("*")
    async def handle(event: bytes, ctx: Context) -> None:
        del event
        bench.journal.fail_next()
        done.append(await ctx.step("one", lambda: calls.append(1) or 7))
        assert bench.count(StepRecorded) == 1

    await bench.send(Message(b"x"))
    async with bench.engine(router):
        await bench.until_empty()

    assert (calls, done) == ([1], [7])
    assert bench.count(AttemptStarted) == 1


async def test_locks_are_kept_over_an_outage_and_after_it() -> None:
    """Renewal needs no journal: what is in an attempt is still ours when it returns, and stays so."""
    bench = Bench(lock_s=0.4)
    router, gate, seen = _gated()
    await bench.send(Message(b"x"))
    async with bench.engine(router) as engine:
        await bench.until(lambda: seen == [b"x"])
        bench.journal.is_writable = False
        bench.journal.fail_next()
        await bench.until(lambda: not engine.status().ready)
        began = asyncio.get_running_loop().time()
        await bench.until(lambda: asyncio.get_running_loop().time() - began > 0.8)
        bench.journal.is_writable = True
        await bench.until(lambda: engine.status().ready)
        ended = asyncio.get_running_loop().time()
        await bench.until(lambda: asyncio.get_running_loop().time() - ended > 0.8)
        assert bench.broker.counts(QUEUE).in_flight == 1
        gate.set()
        await bench.until_empty()

    assert seen == [b"x"]
    assert bench.count(Received) == 1


async def test_an_observer_is_told_once_of_what_is_journaled_after_an_outage() -> None:
    """What the failed commit would have held is told when it is held."""
    bench = Bench(lock_s=5.0)
    router, gate, seen = _gated()
    told: list[str] = []

    class Watching:
        @hookimpl
        def queue_runtime_completed(self, info: CompletedInfo) -> None:
            told.append(info.key)

    await bench.send(Message(b"x", message_id="id"))
    async with bench.engine(router, Watching()):
        await bench.until(lambda: seen == [b"x"])
        bench.journal.fail_next()
        gate.set()
        await bench.until_empty()

    assert told == ["q/id"]


async def test_an_engine_does_not_start_on_a_journal_that_cannot_be_written() -> None:
    """It says so, and leaves nothing running."""
    bench = Bench()
    bench.journal.is_writable = False
    engine = Engine(EngineSettings(queues=(QUEUE,)), MemoryProvider(bench.broker), bench.journal, [Router()])
    with pytest.raises(JournalUnavailable):
        await engine.__aenter__()
    left = [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()]

    assert left == []


async def test_an_engine_that_ends_in_an_outage_ends_all_the_same() -> None:
    """The stop cannot be journaled, which is said; tasks, threads and the provider are gone nevertheless."""
    bench = Bench(lock_s=5.0)
    router, _, seen = _gated()
    await bench.send(Message(b"x"))
    settings = EngineSettings(queues=(QUEUE,), receive_wait_s=0.1, drain_s=0.1)
    engine = Engine(settings, MemoryProvider(bench.broker), bench.journal, [router])
    await engine.__aenter__()
    running = asyncio.create_task(engine.run(handle_signals=False))
    await bench.until(lambda: seen == [b"x"])
    bench.journal.is_writable = False
    await bench.send(Message(b"y"))
    await bench.until(lambda: not engine.status().ready)
    with pytest.raises(JournalUnavailable):
        await engine.__aexit__(None, None, None)
    await asyncio.wait((running,))
    assert running.exception() is None or isinstance(running.exception(), JournalUnavailable)
    left = [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()]

    assert left == []


async def test_K33_a_full_disk_stops_everything_and_space_sets_it_going_again(tmp_path: Path) -> None:
    """The same with the journal on disk: the operators' socket answers meanwhile and refuses to act."""
    bench = Bench(lock_s=1.0)
    router, gate, seen = _gated()
    folder = tmp_path / "j"
    limits = JournalSettings(max_pages=60)
    journal = await SqliteJournal.open(folder, limits)
    settings = EngineSettings(journal=folder, queues=(QUEUE,), receive_wait_s=0.1, drain_s=0.1)
    await bench.send(Message(b"x"))
    async with Engine(settings, MemoryProvider(bench.broker), journal, [router]) as engine:
        running = asyncio.create_task(engine.run(handle_signals=False))
        await bench.until(lambda: seen == [b"x"])
        await bench.send(Message(random.Random(1).randbytes(1_000_000), message_id="large"))
        await bench.until(lambda: not engine.status().ready)
        assert (await ask(folder, {"op": "status"}))["ok"] is True
        asked = {"op": "dead-letter", "key": "q/x", "who": "ann", "why": "test"}
        answer = await ask(folder, asked)
        assert answer["ok"] is False
        assert "journal" in str(answer["error"])
        object.__setattr__(limits, "max_pages", None)  # somebody made room
        gate.set()
        bench.broker.lose_lock(QUEUE, "large")
        await bench.until_empty()
        await engine.drain()
        await running
    await journal.close()
