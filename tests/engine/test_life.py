"""An engine's life: locks, drain, recovery, a journal that cannot be written, operators, embedding."""

import asyncio
import json
import stat
import time
from pathlib import Path

import pytest

from queue_runtime.engine import Context, Engine, EngineSettings
from queue_runtime.engine.control import ask
from queue_runtime.journal import JournalOwned, JournalReader, SqliteJournal
from queue_runtime.journal.events import (
    AttemptCrashed,
    AttemptReleased,
    AttemptStarted,
    Completed,
    DeadLettered,
    LeasesRenewed,
    OperatorActed,
    Redelivered,
    RunStopped,
    SessionResumed,
    Settled,
)
from queue_runtime.plugins import CompletedInfo, Router, github_message, hookimpl
from queue_runtime.providers.memory import MemoryProvider, Operation, QueueKind
from queue_runtime.providers.message import Message
from tests.engine.bench import QUEUE, Bench


def _stored(folder: Path) -> list[object]:
    with JournalReader(folder) as reader:
        return [entry.event for entry in reader.entries()]


def _gated() -> tuple[Router, asyncio.Event, list[tuple[bytes, int]]]:
    router, gate, seen = Router(), asyncio.Event(), list[tuple[bytes, int]]()

    @router.on("*")
    async def handle(event: bytes, ctx: Context) -> None:
        seen.append((event, ctx.attempt))
        await gate.wait()

    return router, gate, seen


async def test_K20_a_lock_is_renewed_while_its_handler_runs() -> None:
    """A handler that takes longer than the lock keeps it, and is run once."""
    bench = Bench(lock_s=0.4)
    router, gate, seen = _gated()
    await bench.send(Message(b"x"))
    async with bench.engine(router):
        await bench.until(lambda: bench.count(LeasesRenewed) >= 3)
        gate.set()
        await bench.until_empty()

    assert seen == [(b"x", 1)]


@pytest.mark.blocks_loop
async def test_a_handler_that_blocks_the_loop_costs_nobody_a_lock() -> None:
    """Locks are renewed on a thread of their own."""
    bench, router = Bench(lock_s=0.4), Router()
    seen: list[bytes] = []

    @router.on("*")
    async def handle(event: bytes, ctx: Context) -> None:
        seen.append(event)
        if event == b"blocks":
            time.sleep(1.2)  # noqa: ASYNC251 - the fault that this test is about
        await asyncio.sleep(0.1)
        assert not ctx.lock_lost

    await bench.send(Message(b"blocks"), Message(b"beside"))
    async with bench.engine(router):
        await bench.until_empty()

    assert sorted(seen) == [b"beside", b"blocks"]


async def test_K31_work_finished_after_its_lock_was_lost_is_not_done_again() -> None:
    """The same message handed over again starts no second attempt; the success is settled with the newer receipt."""
    bench = Bench(lock_s=0.4)
    router, gate, seen = _gated()
    await bench.send(Message(b"x", message_id="id"))
    async with bench.engine(router):
        await bench.until(lambda: bool(seen))
        bench.broker.lose_lock(QUEUE, "id")
        await bench.until(lambda: bench.count(Redelivered) >= 1)
        gate.set()
        await bench.until_empty()

    assert seen == [(b"x", 1)]
    assert bench.count(Completed) == 1


async def test_K42_a_drain_finishes_what_runs_and_hands_back_the_rest_uncharged() -> None:
    """What runs past the deadline is released; nothing counts as a failed attempt; the next engine does it all."""
    bench = Bench(QueueKind.FIFO)
    router, _, _ = _gated()
    await bench.send(*(Message(b"%d" % n, session_id="s") for n in range(3)))
    async with bench.engine(router):
        await bench.until(lambda: bench.count(AttemptStarted) == 1)
    assert bench.count(AttemptReleased) == 1
    assert isinstance(bench.journal.events[-1], RunStopped)
    assert bench.broker.counts(QUEUE).active == 3

    router, gate, seen = _gated()
    gate.set()
    async with bench.engine(router):
        await bench.until_empty()
    assert [body for body, _ in seen] == [b"0", b"1", b"2"]


async def test_K30_a_completed_message_whose_settlement_was_lost_to_a_crash_is_settled_and_not_run() -> None:
    """The journal knows that it is done: the next engine only tells the broker."""
    bench = Bench(lock_s=30.0)
    router, gate, seen = _gated()
    gate.set()
    bench.broker.faults.delay(Operation.SETTLE, 30.0)  # the crash comes before it is carried out
    await bench.send(Message(b"x"))
    settings = EngineSettings(queues=(QUEUE,), receive_wait_s=0.1)
    async with Engine(settings, MemoryProvider(bench.broker), bench.journal, [router]) as engine:
        running = asyncio.create_task(engine.run(handle_signals=False))
        await bench.until(lambda: bench.count(Completed) == 1)
        await engine.stop()
        running.cancel()
    bench.crash()
    bench.broker.faults.clear()
    async with bench.engine(router):
        await bench.until_empty()

    assert seen == [(b"x", 1)]
    assert bench.count(Settled) >= 1


async def test_K28_what_was_running_at_a_crash_runs_alone_and_resumes_from_the_journal() -> None:
    """The lock still holds, so the next engine goes on at once, body included, with one suspect at a time."""
    bench = Bench(lock_s=30.0)
    router, _, _ = _gated()
    await bench.send(Message(b"a"), Message(b"b"))
    settings = EngineSettings(queues=(QUEUE,), receive_wait_s=0.1)
    async with Engine(settings, MemoryProvider(bench.broker), bench.journal, [router]) as engine:
        running = asyncio.create_task(engine.run(handle_signals=False))
        await bench.until(lambda: bench.count(AttemptStarted) == 2)
        await engine.stop()
        running.cancel()
    bench.crash()

    router, gate, seen = _gated()
    gate.set()
    async with bench.engine(router):
        await bench.until_empty()
    assert sorted(seen) == [(b"a", 2), (b"b", 2)]
    assert bench.count(AttemptCrashed) == 2
    assert all(event.alone for event in bench.of(AttemptStarted)[2:] if isinstance(event, AttemptStarted))


async def test_K28_a_message_that_kills_its_process_alone_three_times_is_dead_lettered() -> None:
    """The first crash is in company or alone; only those alone are charged, and three of them are enough."""
    bench = Bench(lock_s=30.0)
    await bench.send(Message(b"killer"))
    for _ in range(4):
        router, _, _ = _gated()
        started = bench.count(AttemptStarted)
        settings = EngineSettings(queues=(QUEUE,), receive_wait_s=0.1)
        async with Engine(settings, MemoryProvider(bench.broker), bench.journal, [router]) as engine:
            running = asyncio.create_task(engine.run(handle_signals=False))
            await bench.until(lambda before=started: bench.count(AttemptStarted) > before)
            await engine.stop()
            running.cancel()
        bench.crash()
    router, _, seen = _gated()
    async with bench.engine(router):
        await bench.until_empty()

    assert seen == []
    (dead,) = bench.of(DeadLettered)
    assert isinstance(dead, DeadLettered)
    assert dead.reason == "PoisonMessage"
    assert bench.dead_letters == 1


async def test_K33_nothing_starts_or_settles_while_the_journal_cannot_be_written() -> None:
    """Outcomes are held and journaled later; what arrives meanwhile is handed over again; readiness says why."""
    bench = Bench(lock_s=0.6)
    router, gate, seen = _gated()
    await bench.send(Message(b"x"))
    async with bench.engine(router) as engine:
        await bench.until(lambda: bool(seen))
        bench.journal.is_writable = False
        gate.set()
        await bench.until(lambda: not engine.status().ready)
        await bench.send(Message(b"y"))
        assert "journal" in engine.status().reason
        assert bench.broker.counts(QUEUE).in_flight >= 1
        assert len(seen) == 1
        bench.journal.is_writable = True
        await bench.until_empty()

    assert sorted(body for body, _ in seen) == [b"x", b"y"]
    assert bench.count(Completed) == 2


async def test_K32_two_engines_cannot_have_one_journal(tmp_path: Path) -> None:
    """The second is told who has it."""
    journal = await SqliteJournal.open(tmp_path / "journal")
    with pytest.raises(JournalOwned):
        await SqliteJournal.open(tmp_path / "journal")
    await journal.close()


async def test_observers_are_told_what_is_durable_and_one_that_raises_stops_nobody() -> None:
    """By the time of the call the journal has the event."""
    bench = Bench()
    router, gate, _ = _gated()
    gate.set()
    told: list[int] = []

    class Watching:
        @hookimpl
        def queue_runtime_completed(self, info: CompletedInfo) -> None:
            assert info.queue == QUEUE
            told.append(bench.count(Completed))
            msg = "an observer's own fault"
            raise ValueError(msg)

    await bench.send(Message(b"1"), Message(b"2"))
    async with bench.engine(router, Watching()):
        await bench.until_empty()
        await bench.until(lambda: len(told) == 2)

    assert all(told)


async def test_an_operator_sees_and_resumes_a_parked_session_through_the_socket(tmp_path: Path) -> None:
    """The socket is its owner's alone; every act is journaled with who and why; nonsense is refused in words."""
    bench, router = Bench(QueueKind.FIFO, lock_s=5.0), Router()
    fails = True

    @router.on("*", max_attempts=1, session_failure="park")
    async def handle(event: bytes, ctx: Context) -> None:
        del event, ctx
        await asyncio.sleep(0)
        if fails:
            msg = "down"
            raise ConnectionError(msg)

    await bench.send(Message(b"x", session_id="s"))
    folder = tmp_path / "j"
    journal = await SqliteJournal.open(folder)
    settings = EngineSettings(journal=folder, queues=(QUEUE,), receive_wait_s=0.1)
    async with Engine(settings, MemoryProvider(bench.broker), journal, [router]) as engine:
        running = asyncio.create_task(engine.run(handle_signals=False))
        await bench.until(lambda: engine.status().parked == ("q/s",))
        mode = await asyncio.to_thread((folder / "control.sock").stat)
        assert stat.S_IMODE(mode.st_mode) == 0o600
        assert json.loads(json.dumps(await ask(folder, {"op": "status"})))["status"]["parked"] == ["q/s"]
        assert (await ask(folder, {"op": "dance"}))["ok"] is False
        assert (await ask(folder, {"op": "resume", "queue": "q", "session": "s"}))["ok"] is False
        fails = False
        asked = {"op": "resume", "queue": "q", "session": "s", "who": "ann", "why": "it is back"}
        assert (await ask(folder, asked))["ok"] is True
        assert (await ask(folder, asked))["ok"] is False
        await bench.until_empty()
        await engine.drain()
        await running
    await journal.close()
    events = await asyncio.to_thread(_stored, folder)
    assert any(isinstance(event, OperatorActed) and event.who == "ann" for event in events)
    assert any(isinstance(event, SessionResumed) for event in events)


async def test_a_bot_embeds_the_engine_beside_its_own_server() -> None:
    """A webhook comes in by HTTP, goes to the queue, and is handled in the same event loop."""
    bench, router = Bench(), Router()
    handled: list[int] = []

    @router.on("pull_request.opened")
    async def review(event: dict[str, object], ctx: Context) -> None:
        del ctx
        handled.append(int(str(event["number"])))
        await asyncio.sleep(0)

    async def webhook(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(next(line for line in head.split(b"\r\n") if line.startswith(b"Content-Length")).split(b":")[1])
        payload = json.loads(await reader.readexactly(length))
        await bench.send(github_message("pull_request", payload))
        writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with bench.engine(router):
        server = await asyncio.start_server(webhook, "127.0.0.1", 0)
        body = json.dumps({"action": "opened", "number": 7}).encode()
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        writer.write(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        assert (await reader.readline()).startswith(b"HTTP/1.1 202")
        writer.close()
        await bench.until(lambda: handled == [7])
        await bench.until_empty()
        server.close()
