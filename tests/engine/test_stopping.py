"""How an engine ends: what runs is finished or released, nothing is charged, nothing hangs, nothing is left behind."""

import asyncio
import json
import threading
from pathlib import Path

import pytest

from queue_runtime.engine import Context, Engine, EngineSettings
from queue_runtime.engine.control import SOCKET_NAME, ask
from queue_runtime.journal import SqliteJournal
from queue_runtime.journal.events import (
    AttemptFailed,
    AttemptReleased,
    AttemptStarted,
    Completed,
    RunStarted,
    RunStopped,
    SessionAcquired,
    SessionReleased,
    Settled,
    StepRecorded,
)
from queue_runtime.plugins import EngineStartedInfo, EngineStoppedInfo, Router, hookimpl
from queue_runtime.providers.errors import ShutdownInProgress
from queue_runtime.providers.memory import MemoryProvider, Operation, QueueKind
from queue_runtime.providers.message import Message
from tests.engine.bench import QUEUE, Bench


def _gated() -> tuple[Router, asyncio.Event, list[tuple[bytes, int]]]:
    router, gate, seen = Router(), asyncio.Event(), list[tuple[bytes, int]]()

    @router.on("*")
    async def handle(event: bytes, ctx: Context) -> None:
        seen.append((event, ctx.attempt))
        await gate.wait()

    return router, gate, seen


def _leftovers() -> list[str]:
    tasks = [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    return tasks + [thread.name for thread in threading.enumerate() if thread.name.startswith("queue-runtime")]


async def test_a_drain_waits_for_what_runs_and_starts_nothing_more() -> None:
    """Within its deadline a handler finishes, and its message is settled before the end."""
    bench = Bench(QueueKind.FIFO, lock_s=5.0)
    router, gate, seen = _gated()
    await bench.send(*(Message(b"%d" % n, session_id="s") for n in range(3)))
    async with bench.engine(router) as engine:
        await bench.until(lambda: len(seen) == 1)
        draining = asyncio.create_task(engine.drain(5.0))
        await bench.until(lambda: not engine.status().ready)
        gate.set()
        await draining

    assert seen == [(b"0", 1)]
    assert bench.count(Completed) == bench.count(Settled) - 2 == 1
    assert bench.count(AttemptReleased) == 0
    assert bench.broker.counts(QUEUE).active == 2


async def test_an_attempt_that_is_just_being_journaled_is_part_of_the_drain() -> None:
    """It is run, or released if the deadline has passed; never left running behind a journaled stop."""
    for deadline_s, runs in ((5.0, 1), (0.0, 0)):
        bench = Bench(lock_s=5.0)
        router, gate, seen = _gated()
        gate.set()
        await bench.send(Message(b"x"))
        async with bench.engine(router) as engine:
            bench.journal.hold()
            await bench.until(lambda: engine.status().running == 1)
            draining = asyncio.create_task(engine.drain(deadline_s))
            await bench.until(lambda: not engine.status().ready)
            bench.journal.release()
            await draining

        assert len(seen) == runs
        assert bench.count(AttemptStarted) == 1
        assert bench.count(Completed) + bench.count(AttemptReleased) == 1
        assert isinstance(bench.journal.events[-1], RunStopped)


async def test_a_failed_attempt_is_not_retried_by_a_drain() -> None:
    """Its back-off is the next run's: the message goes back, with one attempt charged."""
    bench, router = Bench(lock_s=5.0), Router()
    started, ends = asyncio.Event(), asyncio.Event()
    attempts: list[int] = []

    @router.on("*")
    async def handle(event: bytes, ctx: Context) -> None:
        del event
        attempts.append(ctx.attempt)
        started.set()
        await ends.wait()
        if ctx.attempt == 1:
            raise ConnectionError

    await bench.send(Message(b"x"))
    async with bench.engine(router) as engine:
        await started.wait()
        draining = asyncio.create_task(engine.drain(5.0))
        await bench.until(lambda: not engine.status().ready)
        ends.set()
        await draining
    assert attempts == [1]
    assert bench.broker.counts(QUEUE).active == 1
    async with bench.engine(router):
        await bench.until_empty()

    assert attempts == [1, 2]
    assert bench.count(AttemptFailed) == 1


async def test_a_drain_gives_sessions_back() -> None:
    """Another consumer can have them at once."""
    bench = Bench(QueueKind.SESSIONS, lock_s=30.0)
    router, gate, seen = _gated()
    gate.set()
    await bench.send(*(Message(b"x", session_id=f"s{n}") for n in range(4)))
    async with bench.engine(router, session_idle_s=60.0, receive_wait_s=60.0):
        await bench.until(lambda: len(seen) == 4)
        await bench.until_empty()
    assert bench.count(SessionAcquired) == bench.count(SessionReleased) == 4

    provider = MemoryProvider(bench.broker)
    await provider.open()
    for n in range(4):
        await bench.send(Message(b"y", session_id=f"s{n}"))
        assert await provider.accept_session(QUEUE, None, 0.0) is not None
    await provider.close()


@pytest.mark.parametrize("operation", [Operation.RECEIVE, Operation.SETTLE, Operation.RENEW, Operation.SEND])
async def test_a_broker_that_does_not_answer_holds_no_stop_up(operation: Operation) -> None:
    """A stop waits for no call; what it could not tell the broker is owed by the next run."""
    bench = Bench(lock_s=0.5)
    router, gate, seen = _gated()
    await bench.send(Message(b"x"))
    settings = EngineSettings(queues=(QUEUE,), receive_wait_s=0.05)
    async with asyncio.timeout(5):
        async with Engine(settings, MemoryProvider(bench.broker), bench.journal, [router]) as engine:
            running = asyncio.create_task(engine.run(handle_signals=False))
            await bench.until(lambda: bool(seen))
            bench.broker.faults.delay(operation, 3_600.0, times=1_000)
            gate.set()
            await bench.until(lambda: bench.count(Completed) == 1)
            await engine.stop()
            await running

        assert _leftovers() == []


async def test_a_drain_does_not_wait_for_ever_for_a_settlement(monkeypatch: pytest.MonkeyPatch) -> None:
    """After its last calls have had their time, the stop is journaled; the next run settles without running."""
    monkeypatch.setattr("queue_runtime.engine.parts._LAST_CALLS_S", 0.2)
    bench = Bench(lock_s=30.0)
    router, gate, seen = _gated()
    gate.set()
    bench.broker.faults.delay(Operation.SETTLE, 3_600.0)
    await bench.send(Message(b"x"))
    async with asyncio.timeout(9), bench.engine(router):
        await bench.until(lambda: bench.count(Completed) == 1)
    assert isinstance(bench.journal.events[-1], RunStopped)
    assert bench.count(Settled) == 0
    async with bench.engine(router):
        await bench.until_empty()

    assert len(seen) == 1


async def test_a_run_that_is_cancelled_stops_at_once() -> None:
    """As the second signal does: nothing runs any more, and nothing is lost."""
    bench = Bench(lock_s=0.3)
    router, _, seen = _gated()
    await bench.send(Message(b"x"))
    settings = EngineSettings(queues=(QUEUE,), receive_wait_s=0.05)
    async with Engine(settings, MemoryProvider(bench.broker), bench.journal, [router]) as engine:
        running = asyncio.create_task(engine.run(handle_signals=False))
        await bench.until(lambda: bool(seen))
        running.cancel()
        await asyncio.wait((running,))
        assert running.cancelled()
        assert _leftovers() == []
    bench.crash()
    router, gate, seen = _gated()
    gate.set()
    async with bench.engine(router):
        await bench.until_empty()

    assert seen == [(b"x", 2)]


async def test_an_engine_that_was_drained_before_it_ran_receives_nothing() -> None:
    """`run` returns at once."""
    bench = Bench()
    router, _, seen = _gated()
    await bench.send(Message(b"x"))
    settings = EngineSettings(queues=(QUEUE,))
    async with Engine(settings, MemoryProvider(bench.broker), bench.journal, [router]) as engine:
        await engine.drain()
        await engine.run(handle_signals=False)

    assert seen == []
    assert bench.broker.counts(QUEUE).active == 1


async def test_plugins_are_told_of_start_and_stop_and_of_a_crash_before() -> None:
    """A run without a journaled stop was a crash; a drained one was not."""
    told: list[str] = []

    class Watching:
        @hookimpl
        def queue_runtime_engine_started(self, info: EngineStartedInfo) -> None:
            told.append("after a crash" if info.after_crash else "started")

        @hookimpl
        def queue_runtime_engine_stopped(self, info: EngineStoppedInfo) -> None:
            told.append(info.why)

    bench = Bench()
    settings = EngineSettings(queues=(QUEUE,))
    async with bench.engine(Router(), Watching()):
        pass
    async with Engine(settings, MemoryProvider(bench.broker), bench.journal, [Router(), Watching()]) as engine:
        await engine.stop()
    bench.crash()
    async with bench.engine(Router(), Watching()):
        pass

    assert told == ["started", "drained", "started", "after a crash", "drained"]
    assert bench.count(RunStarted) == bench.count(RunStopped) + 1 == 3


async def test_the_socket_of_an_engine_is_gone_with_it_and_cuts_its_clients_off(tmp_path: Path) -> None:
    """A stale socket, as a kill leaves it, is replaced; a client that stays connected holds nothing up."""
    bench, folder = Bench(), tmp_path / "j"
    journal = await SqliteJournal.open(folder)
    await asyncio.to_thread((folder / SOCKET_NAME).write_bytes, b"left by a kill")
    settings = EngineSettings(journal=folder, queues=(QUEUE,), receive_wait_s=0.05)
    async with Engine(settings, MemoryProvider(bench.broker), journal, [Router()]) as engine:
        reader, writer = await asyncio.open_unix_connection(folder / SOCKET_NAME)
        writer.write(b"not json\n")
        assert json.loads(await reader.readline())["ok"] is False
        writer.write(b'{"op": "status", "extra": 1}\n')
        assert json.loads(await reader.readline())["ok"] is False
        writer.write(b'{"op": "status"}\n')
        assert json.loads(await reader.readline())["status"]["ready"] is True
        await engine.drain()
    assert await reader.read() == b""
    writer.close()
    await journal.close()
    with pytest.raises((ConnectionError, FileNotFoundError)):
        await ask(folder, {"op": "status"})
    await asyncio.sleep(0)

    assert [name for name in _leftovers() if "queue-runtime" in name] == []


async def test_a_stopped_engine_runs_no_more() -> None:
    """Running it again, or asking how it is, says that it stopped and not that it was never started."""
    bench = Bench()
    async with bench.engine(Router()) as engine:
        await engine.stop()
        with pytest.raises(ShutdownInProgress, match="does not run"):
            await engine.run(handle_signals=False)
        with pytest.raises(ShutdownInProgress):
            engine.status()


async def test_a_step_that_ends_after_the_stop_is_not_taken_for_recorded() -> None:
    """A handler that outlives its engine hears that nothing was journaled, and so does not build on it."""
    bench, router = Bench(), Router()
    stopped, outcome = asyncio.Event(), asyncio.get_running_loop().create_future()

    @router.on("*")
    async def handle(event: bytes, ctx: Context) -> None:
        del event
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await stopped.wait()
        try:
            outcome.set_result(await ctx.step("late", lambda: "done"))
        except ShutdownInProgress as error:
            outcome.set_exception(error)

    await bench.send(Message(b"x"))
    async with bench.crashing_engine(router) as engine:
        await bench.until(lambda: engine.status().running == 1)
    stopped.set()

    with pytest.raises(ShutdownInProgress):
        await outcome
    assert bench.count(StepRecorded) == 0
