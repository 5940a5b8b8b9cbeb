"""Edge cases between one engine and the rest of the world: its host's clock, other hosts, refusals, logs."""

import asyncio
import logging
import re
import time

import pytest

from queue_runtime.engine import Context
from queue_runtime.journal.events import AttemptFailed, Completed, DeadLettered, LeasesRenewed
from queue_runtime.plugins import Router
from queue_runtime.providers.clock import SystemClock
from queue_runtime.providers.errors import ConnectionFailed, InvalidReceipt, QueueFull
from queue_runtime.providers.memory import MemoryProvider, Operation, QueueKind
from queue_runtime.providers.message import Message
from queue_runtime.providers.port import Address, SettleKind, Settlement
from tests.engine.bench import POLL_S, QUEUE, Bench

HOUR_NS = 3_600 * 1_000_000_000


def _failing_once() -> tuple[Router, asyncio.Event, list[tuple[bytes, int]]]:
    """Each message fails at its first attempt; the attempts after it wait for the gate."""
    router, gate, seen = Router(), asyncio.Event(), list[tuple[bytes, int]]()

    @router.on("*")
    async def handle(event: bytes, ctx: Context) -> None:
        seen.append((event, ctx.attempt))
        if ctx.attempt == 1:
            msg = "not yet"
            raise ConnectionError(msg)
        await gate.wait()

    return router, gate, seen


async def test_K36_a_clock_that_is_set_back_costs_neither_locks_nor_order() -> None:
    """An hour back, in a back-off and then in an attempt: locks are renewed, waits end, and order is kept."""
    set_back_ns = 0
    bench = Bench(QueueKind.FIFO, lock_s=0.6)
    bench.clock = SystemClock(lambda: time.time_ns() - set_back_ns)
    router, gate, seen = _failing_once()
    await bench.send(*(Message(body, session_id="s") for body in (b"1", b"2")))
    async with bench.engine(router, retry_initial_s=0.3, retry_max_s=0.3):
        await bench.until(lambda: bench.count(AttemptFailed) == 1)
        set_back_ns = HOUR_NS
        await bench.until(lambda: seen[-1:] == [(b"1", 2)])
        set_back_ns = 2 * HOUR_NS
        renewals = bench.count(LeasesRenewed)
        await bench.until(lambda: bench.count(LeasesRenewed) >= renewals + 3)
        gate.set()
        await bench.until_empty()

    assert seen == [(b"1", 1), (b"1", 2), (b"2", 1), (b"2", 2)]


async def test_K38_two_hosts_with_a_journal_each_share_a_queue() -> None:
    """Each message is handled by one of them; what one completed the other may run, if it is sent a second time."""
    here, there = Bench(lock_s=5.0), Bench(lock_s=5.0)
    there.broker = here.broker
    seen = list[tuple[str, bytes]]()

    def noting(host: str) -> Router:
        router = Router()

        @router.on("*")
        async def handle(event: bytes, ctx: Context) -> None:
            del ctx
            seen.append((host, event))

        return router

    bodies = [b"%d" % number for number in range(60)]
    async with here.engine(noting("here"), receive_batch=2), there.engine(noting("there"), receive_batch=2):
        await here.send(*(Message(body, message_id=body.decode()) for body in bodies))
        await here.until_empty()
    assert sorted(body for _, body in seen) == sorted(bodies)
    assert here.count(Completed) + there.count(Completed) == len(bodies)

    first, body = seen[0]
    other = there if first == "here" else here
    again = Message(body, message_id=body.decode())
    await other.send(again)
    async with other.engine(noting("other")):
        await other.until_empty()
    assert seen[len(bodies) :] == [("other", body)]


async def test_K37_an_engine_without_history_goes_by_the_brokers_count() -> None:
    """A new journal knows nothing: what others were handed too often runs alone, with all its attempts before it."""
    bench = Bench(lock_s=5.0)
    provider = MemoryProvider(bench.broker)
    await provider.open()
    await bench.send(Message(b"worn"))
    for _ in range(12):
        (delivery,) = await provider.receive(Address(QUEUE), 1, 0)
        await provider.settle(Address(QUEUE), [Settlement(SettleKind.ABANDON, delivery.receipt)])
    router, gate, seen = _failing_once()
    await bench.send(*(Message(b"fresh %d" % number) for number in range(3)))
    async with bench.engine(router):
        await bench.until(lambda: (b"worn", 2) in seen)
        assert bench.count(AttemptFailed) <= 4
        gate.set()
        await bench.until_empty()

    assert bench.dead_letters == 0
    assert sorted(seen) == sorted((body, attempt) for body in {body for body, _ in seen} for attempt in (1, 2))


class Hurried(SystemClock):
    """The system's clock, but that nobody waits long by it."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(min(seconds, POLL_S))


async def test_K12_L12_a_broker_that_is_away_is_not_stormed(caplog: pytest.LogCaptureFixture) -> None:
    """Receives that fail are made again after waits that double, with jitter, up to 30 s; then everything goes on."""
    bench = Bench(lock_s=5.0)
    bench.clock = Hurried()
    router, gate, seen = _failing_once()
    gate.set()
    away = ConnectionFailed("the link broke")
    away.retry_after_s = None  # nobody says for how long
    bench.broker.faults.refuse(Operation.RECEIVE, away, times=9)
    with caplog.at_level(logging.WARNING, "queue_runtime.engine"):
        await bench.send(Message(b"x"))
        async with bench.engine(router):
            await bench.until_empty()

    waits = [float(wait) for wait in re.findall(r"tried again in ([\d.]+) s: the link broke", caplog.text)]
    for wait, expected in zip(waits, (0.5, 1, 2, 4, 8, 16, 30, 30, 30), strict=True):
        assert 0.8 * expected <= round(wait, 1) <= 1.2 * expected
    assert len(set(waits[-3:])) > 1
    assert seen == [(b"x", 1), (b"x", 2)]


async def test_K14_a_dead_letter_that_is_not_taken_is_tried_again() -> None:
    """While the dead letters are full the message is kept, and moved when there is room."""
    bench = Bench(lock_s=5.0)
    full = QueueFull("q (dead letters)", 1)
    full.retry_after_s = 0.02
    bench.broker.faults.refuse(Operation.SETTLE, full, times=3)
    router, _, _ = _failing_once()
    await bench.send(Message(b"x"))
    async with bench.engine(router, max_attempts=1):
        await bench.until(lambda: bench.count(DeadLettered) == 1)
        await bench.until(lambda: bench.dead_letters == 1)

    assert not bench.broker.faults.are_planned
    assert bench.left == 0


async def test_L23_logs_name_the_message_and_carry_no_body_and_no_receipt(caplog: pytest.LogCaptureFixture) -> None:
    """At every level, through failures, a lost lock, refused settlements and a dead letter."""
    bench = Bench(lock_s=0.4)
    router, handles = Router(), set[str]()

    @router.on("*")
    async def handle(event: bytes, ctx: Context) -> None:
        handles.add(ctx.delivery.receipt.handle)
        if ctx.attempt == 1:
            await bench.until(lambda: ctx.lock_lost)
        ctx.logger.info("giving up")
        raise ValueError(event)

    broken = ConnectionFailed("the link broke")
    broken.retry_after_s = 0.02
    bench.broker.faults.refuse(Operation.SETTLE, broken, times=2)
    bench.broker.faults.refuse(Operation.RENEW, InvalidReceipt("m1", "digest"))
    with caplog.at_level(logging.DEBUG, "queue_runtime"):
        await bench.send(Message(b"planted-body", message_id="m-1", session_id="s-1"))
        async with bench.engine(router, max_attempts=2):
            await bench.until(lambda: bench.dead_letters == 1)

    text = caplog.text
    said = [record for record in caplog.records if "giving up" in record.getMessage()]
    assert {(vars(record)["queue_name"], vars(record)["message_id"]) for record in said} == {(QUEUE, "m-1")}
    lost = [record for record in caplog.records if "is lost" in record.getMessage()]
    assert [(record.levelname, "q/m-1" in record.getMessage()) for record in lost] == [("WARNING", True)]
    assert "the link broke" in text
    assert "planted-body" not in text
    assert handles
    assert not any(f"'{handle}'" in text or f'"{handle}"' in text for handle in handles)
