"""Locks: kept as long as the broker lets us, and given up only when they have really ended."""

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import ClassVar

import pytest

from queue_runtime.engine import Context
from queue_runtime.engine.leases import Leases
from queue_runtime.engine.testing import FakeClock
from queue_runtime.journal.events import (
    AttemptFailed,
    AttemptReleased,
    AttemptStarted,
    Completed,
    Event,
    LapseReason,
    LeaseLapsed,
    LeasesRenewed,
    Received,
    Settled,
)
from queue_runtime.journal.state import EngineState
from queue_runtime.plugins import LockLostInfo, Router, hookimpl
from queue_runtime.providers.clock import SystemClock, Timestamp
from queue_runtime.providers.errors import ConnectionFailed, InvalidReceipt, QueueError
from queue_runtime.providers.memory import MemoryBroker, MemoryProvider, Operation, QueueKind, QueueSettings
from queue_runtime.providers.message import Delivery, Message, Receipt
from queue_runtime.providers.port import Address, SettleKind, Settlement
from tests.engine.bench import OUT, QUEUE, Bench


def _gated() -> tuple[Router, asyncio.Event, list[tuple[bytes, int]], list[bool]]:
    router, gate, seen, lost = Router(), asyncio.Event(), list[tuple[bytes, int]](), list[bool]()

    @router.on("*")
    async def handle(event: bytes, ctx: Context) -> None:
        seen.append((event, ctx.attempt))
        await gate.wait()
        lost.append(ctx.lock_lost)

    return router, gate, seen, lost


@pytest.mark.parametrize("fault", ["throttled", "unreachable", "slow"])
async def test_a_renewal_is_tried_until_the_lock_has_ended(fault: str) -> None:
    """A broker that throttles, cannot be reached or does not answer for a while costs no lock."""
    bench = Bench(lock_s=0.8)
    router, gate, seen, lost = _gated()
    await bench.send(Message(b"x"))
    async with bench.engine(router):
        await bench.until(lambda: bool(seen))
        faults = bench.broker.faults
        if fault == "throttled":
            faults.throttle(Operation.RENEW, 30.0, times=2)
        elif fault == "unreachable":
            faults.refuse(Operation.RENEW, ConnectionFailed("the link broke"), times=2)
        else:
            faults.delay(Operation.RENEW, 60.0, times=1)
        await bench.until(lambda: not faults.are_planned)
        await bench.until(lambda: bench.count(LeasesRenewed) >= 2)
        gate.set()
        await bench.until_empty()

    assert seen == [(b"x", 1)]
    assert lost == [False]
    assert bench.count(LeaseLapsed) == 0


async def test_a_renewal_that_hangs_costs_no_other_queue_its_locks() -> None:
    """Each queue is asked on its own, and none waits for the answer of another."""
    bench = Bench(lock_s=0.8)
    router, gate, seen, _ = _gated()
    other = bench.broker.create_queue("other", QueueSettings(lock_s=0.8, max_deliveries=100))
    await bench.send(Message(b"x"))
    bench.broker.faults.delay(Operation.RENEW, 60.0, times=1_000, queue=other)
    async with bench.engine(router, queues=(other, QUEUE)):
        await bench.send_to(other, Message(b"y"))
        await bench.until(lambda: len(seen) == 2)
        await bench.until(lambda: bench.count(LeasesRenewed) >= 4)
        assert bench.broker.counts(QUEUE).in_flight == 1
        gate.set()
        await bench.until_empty()


async def test_K03_a_refused_renewal_tells_the_handler_and_settles_nothing() -> None:
    """What finished after its lock was lost is journaled, and settled when it is handed over again."""
    bench = Bench(lock_s=0.6)
    router, gate, seen, lost = _gated()
    told: list[str] = []

    class Watching:
        @hookimpl
        def queue_runtime_lock_lost(self, info: LockLostInfo) -> None:
            told.append(f"{info.attempt} {info.why}")

    await bench.send(Message(b"x"))
    async with bench.engine(router, Watching()):
        await bench.until(lambda: bool(seen))
        bench.broker.faults.refuse(Operation.RENEW, InvalidReceipt("x", "digest"))
        await bench.until(lambda: bench.count(LeaseLapsed) == 1)
        assert bench.count(Settled) == 0
        gate.set()
        await bench.until(lambda: bench.count(Completed) == 1)
        await bench.until_empty()

    assert seen == [(b"x", 1)]
    assert lost == [True]
    assert told == [f"1 {LapseReason.LOCK_LOST}"]


async def test_a_failure_after_the_lock_was_lost_is_not_charged() -> None:
    """Somebody else may be at it: the attempt is released, and the message starts afresh when it comes again."""
    bench, router = Bench(lock_s=0.5), Router()
    gate = asyncio.Event()
    attempts: list[int] = []

    @router.on("*", max_attempts=1)
    async def handle(event: bytes, ctx: Context) -> None:
        del event
        attempts.append(ctx.attempt)
        if ctx.attempt == 1:
            await gate.wait()
            msg = "too late"
            raise ConnectionError(msg)

    await bench.send(Message(b"x", message_id="id"))
    async with bench.engine(router):
        await bench.until(lambda: attempts == [1])
        bench.broker.faults.refuse(Operation.RENEW, InvalidReceipt("x", "digest"))
        await bench.until(lambda: bench.count(LeaseLapsed) == 1)
        gate.set()
        await bench.until_empty()

    assert attempts == [1, 2]
    assert bench.count(AttemptReleased) == 1
    assert bench.count(AttemptFailed) == 0
    assert bench.dead_letters == 0


async def test_a_lapse_hands_back_what_waits_behind_it() -> None:
    """In a session nothing overtakes: the later messages go back, tail first, and all come again in order."""
    bench, router = Bench(QueueKind.STANDARD, lock_s=0.6), Router()
    gate = asyncio.Event()
    seen: list[bytes] = []

    @router.on("*")
    async def handle(event: bytes, ctx: Context) -> None:
        seen.append(event)
        if ctx.attempt == 1 and event == b"0":
            await gate.wait()

    await bench.send(*(Message(b"%d" % n, session_id="s") for n in range(4)))
    async with bench.engine(router) as engine:
        await bench.until(lambda: engine.status().in_flight == 4 and seen == [b"0"])
        bench.broker.faults.refuse(Operation.RENEW, InvalidReceipt("x", "digest"), times=1)
        await bench.until(lambda: bench.count(LeaseLapsed) >= 1)
        gate.set()
        await bench.until_empty()

    lapsed = [event for event in bench.of(LeaseLapsed) if isinstance(event, LeaseLapsed)]
    assert lapsed
    assert sorted(set(seen)) == [b"0", b"1", b"2", b"3"]
    assert bench.count(Completed) == 4


@pytest.mark.blocks_loop
async def test_sessions_are_renewed_too_while_the_loop_is_blocked() -> None:
    """A session's lock outlives a handler that blocks the loop for longer than the lock lasts."""
    bench, router = Bench(QueueKind.SESSIONS, lock_s=0.4), Router()
    seen: list[bytes] = []

    @router.on("*")
    async def handle(event: bytes, ctx: Context) -> None:
        seen.append(event)
        if event == b"0":
            time.sleep(1.0)  # noqa: ASYNC251 - the fault that this test is about
        await asyncio.sleep(0.05)
        assert not ctx.lock_lost

    await bench.send(*(Message(b"%d" % n, session_id="s") for n in range(3)))
    async with bench.engine(router):
        await bench.until_empty()

    assert seen == [b"0", b"1", b"2"]
    assert bench.count(AttemptStarted) == 3


async def test_a_message_that_waits_for_its_turn_is_kept_locked() -> None:
    """Waiting, in a back-off or behind others, costs no lock either."""
    bench, router = Bench(lock_s=0.4), Router()
    seen: list[tuple[bytes, int]] = []

    @router.on("*")
    async def handle(event: bytes, ctx: Context) -> None:
        seen.append((event, ctx.attempt))
        await asyncio.sleep(0.3)
        if event == b"0" and ctx.attempt == 1:
            raise ConnectionError

    await bench.send(*(Message(b"%d" % n) for n in range(3)))
    async with bench.engine(router, concurrency=1, retry_initial_s=0.9, retry_max_s=1.0, retry_jitter=0.0):
        await bench.until_empty()

    assert seen == [(b"0", 1), (b"1", 1), (b"2", 1), (b"0", 2)]
    assert bench.count(LeaseLapsed) == 0


class Noting(MemoryProvider):
    """Notes for how long each renewal asked."""

    asked: ClassVar[list[float | None]] = []

    async def renew(
        self, source: Address, receipts: Sequence[Receipt], for_s: float | None = None
    ) -> list[Timestamp | QueueError]:
        self.asked.append(for_s)
        return await super().renew(source, receipts, for_s)


async def _renewed_after(advance_s: float, *, follows_late: bool) -> list[float | None]:
    """Follow a message whose lock lasts 10 s, and return for how long a pass after `advance_s` asks to renew it."""
    clock = FakeClock()
    broker = MemoryBroker({QUEUE: QueueSettings(lock_s=10.0)}, clock=clock)
    provider = Noting(broker)
    provider.asked.clear()
    await provider.open()
    await provider.send(QUEUE, [Message(b"x", message_id="id")])
    (delivery,) = await provider.receive(Address(QUEUE), 1, 0.0)
    state = EngineState()
    state.apply(_received(delivery))
    leases = Leases(provider, clock, provider.name, lambda _report: None)
    if not follows_late:
        leases.follow_all(state, ())
    await clock.advance(advance_s)
    leases.follow_all(state, ())
    await clock.advance(0.001)
    await leases.renew_due()
    await provider.close()
    return provider.asked


def _received(delivery: Delivery) -> Received:
    return Received(
        key="q/id",
        at=int(delivery.delivered_at),
        queue=QUEUE,
        message_id="id",
        provider_id=delivery.receipt.provider_id,
        session_id=None,
        sequence=delivery.sequence,
        delivery_count=1,
        enqueued_at=None,
        expires_at=None,
        correlation_id=None,
        content_type=None,
        attributes={},
        locked_until=int(delivery.receipt.expires_at),
        suspect_until=0,
        body_digest=b"",
        receipt=delivery.receipt.handle,
        body=b"x",
    )


async def test_a_renewal_on_time_asks_for_the_queues_own_length() -> None:
    """A lock is renewed at half of what is left of it, and not before."""
    assert await _renewed_after(4.9, follows_late=False) == []
    assert await _renewed_after(5.0, follows_late=False) == [None]


async def test_a_late_renewal_asks_for_more_and_never_for_no_time_at_all() -> None:
    """What is followed anew after its lock's journaled end, as after an outage, is not given away by asking for 0 s."""
    assert await _renewed_after(8.0, follows_late=False) == [20.0]
    assert await _renewed_after(10.0, follows_late=True) == [None]


async def test_an_attempt_whose_lock_is_lost_before_it_is_durable_is_released_unrun() -> None:
    """The handler does not run without a lease: another consumer may have the message by then. Nothing is charged."""
    bench = Bench(lock_s=0.4)
    router, gate, seen, _ = _gated()
    gate.set()
    async with bench.engine(router, max_in_flight=1) as engine:  # full with it, so it is not handed over again here
        bench.journal.hold()
        await bench.send(Message(b"x", message_id="id"))
        await bench.until(lambda: engine.status().running == 1)
        bench.broker.lose_lock(QUEUE, "id")
        await bench.until(lambda: "orphaned" in engine.status().phases)
        other = MemoryProvider(bench.broker)
        await other.open()
        (taken,) = await other.receive(Address(QUEUE), 1, 1.0)
        bench.journal.release()
        await bench.until(lambda: bench.count(AttemptReleased) == 1)
        (answer,) = await other.settle(Address(QUEUE), [Settlement(SettleKind.COMPLETE, taken.receipt)])
        await other.close()

    assert answer is None
    assert seen == []
    assert bench.count(AttemptFailed) == 0


class Stalling(MemoryProvider):
    """Holds the thread of the leases up in its first renewal of `QUEUE`, as a machine does that was put to sleep."""

    begun: ClassVar[threading.Event] = threading.Event()
    ended: ClassVar[threading.Event] = threading.Event()
    asked: ClassVar[list[tuple[str, float | None]]] = []

    def sibling(self) -> MemoryProvider:
        return Stalling(self._broker)

    async def renew(
        self, source: Address, receipts: Sequence[Receipt], for_s: float | None = None
    ) -> list[Timestamp | QueueError]:
        self.asked.append((source.queue, for_s))
        if source.queue == QUEUE and not self.begun.is_set():
            self.begun.set()
            assert self.ended.wait(10.0)
        return await super().renew(source, receipts, for_s)


@pytest.mark.blocks_loop
async def test_after_a_stall_an_engine_asks_for_longer_locks_and_keeps_them() -> None:
    """A lock that was renewed too late is asked for twice its length; its handler is neither told nor run again."""
    broker = MemoryBroker({QUEUE: QueueSettings(lock_s=4.0), OUT: QueueSettings(lock_s=2.0)})
    bench = Bench()
    bench.broker, bench.provider = broker, Stalling
    router, gate, seen, lost = _gated()
    await bench.send(Message(b"first"))
    async with bench.engine(router, queues=(QUEUE, OUT)):
        await bench.until(Stalling.begun.is_set)
        await bench.send_to(OUT, Message(b"late", message_id="late"))
        await bench.until(lambda: (b"late", 1) in seen)
        until = bench.of(Received)[-1]
        assert isinstance(until, Received)
        late_at = until.locked_until - 800_000  # its renewal was due a second before the end, and is late 0.2 s after
        await bench.until(lambda: SystemClock().now() >= late_at + 50_000)
        Stalling.ended.set()
        await bench.until(lambda: any(queue == OUT and (for_s or 0.0) > 3.5 for queue, for_s in Stalling.asked))
        await bench.until(lambda: any(_renews(event, "out/late", until.locked_until) for event in bench.journal.events))
        gate.set()
        await bench.until(lambda: bench.count(Settled) == 2)

    assert sorted(seen) == [(b"first", 1), (b"late", 1)]
    assert lost == [False, False]


def _renews(event: Event, key: str, beyond_us: int) -> bool:
    return isinstance(event, LeasesRenewed) and any(
        renewed == key and until > beyond_us for renewed, _, until in event.leases
    )


@pytest.mark.blocks_loop
async def test_what_lost_its_lock_before_its_turn_is_not_run() -> None:
    """A handler kept the loop while the lock of the next one ran out: that one is started when it comes again."""
    bench, router = Bench(lock_s=0.4), Router()
    seen: list[tuple[bytes, int]] = []

    @router.on("*")
    async def handle(event: bytes, ctx: Context) -> None:
        seen.append((event, ctx.attempt))
        if len(seen) == 1:
            bench.broker.faults.delay(Operation.RENEW, 60.0, times=1_000)
            time.sleep(1.0)  # noqa: ASYNC251 - the fault that this test is about
            bench.broker.faults.clear()

    await bench.send(Message(b"x"), Message(b"y"))
    async with bench.engine(router):
        await bench.until_empty()

    (first, _), (second, attempt) = seen[0], next(run for run in seen if run[0] != seen[0][0])
    assert {first, second} == {b"x", b"y"}
    assert attempt == 2
    assert [event.why for event in bench.of(AttemptReleased) if isinstance(event, AttemptReleased)] == [
        "its lock was lost before the handler ran"
    ]
