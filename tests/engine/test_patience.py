"""Breakers, parked sessions and suspects: who waits for whom, and for how long."""

import asyncio

import pytest

from queue_runtime.engine import Context
from queue_runtime.journal.events import (
    AttemptCrashed,
    AttemptStarted,
    BreakerClosed,
    BreakerHalfOpened,
    BreakerOpened,
    Completed,
    DeadLettered,
    SessionParked,
    SessionResumed,
)
from queue_runtime.plugins import Router, TransientError
from queue_runtime.providers.memory import QueueKind
from queue_runtime.providers.message import Message
from tests.engine.bench import QUEUE, Bench


class Service:
    """What a handler calls; it is down or up, and counts its callers."""

    def __init__(self) -> None:
        self.is_down = True
        self.calls = 0
        self.inside = 0
        self.most_inside = 0

    async def call(self) -> None:
        self.calls += 1
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        await asyncio.sleep(0)
        self.inside -= 1
        if self.is_down:
            msg = "the service is down"
            raise ConnectionError(msg)


def _calling(service: Service) -> Router:
    router = Router()

    @router.on("flaky")
    async def flaky(event: bytes, ctx: Context) -> None:
        del event, ctx
        await service.call()

    @router.on("sound")
    async def sound(event: bytes, ctx: Context) -> None:
        del event, ctx
        await asyncio.sleep(0)

    return router


def _flaky(count: int) -> list[Message]:
    return [Message(b"%d" % n, attributes={"event": "flaky"}) for n in range(count)]


async def test_an_open_breaker_holds_its_own_route_only() -> None:
    """Messages of other routes go on, and no attempt of the held ones is spent."""
    bench, service = Bench(lock_s=5.0), Service()
    await bench.send(*_flaky(5))
    async with bench.engine(_calling(service), breaker_failures=2, breaker_open_s=60.0, concurrency=1) as engine:
        await bench.until(lambda: bool(engine.status().breakers))
        calls = service.calls
        await bench.send(*(Message(b"s%d" % n, attributes={"event": "sound"}) for n in range(5)))
        await bench.until(lambda: bench.count(Completed) == 5)
        await bench.until(lambda: bench.left == 5)
        assert service.calls == calls == 2

    assert bench.dead_letters == 0


async def test_a_half_open_breaker_lets_one_probe_through_at_a_time() -> None:
    """A failed probe opens it again; enough good ones close it, and then everything flows."""
    bench, service = Bench(lock_s=5.0), Service()
    await bench.send(*_flaky(12))
    settings = {"breaker_failures": 2, "breaker_open_s": 0.1, "breaker_successes": 3, "concurrency": 10}
    async with bench.engine(_calling(service), **settings, max_attempts=50):
        await bench.until(lambda: bench.count(BreakerOpened) == 1)
        await bench.until(lambda: service.inside == 0)
        service.most_inside = 0
        await bench.until(lambda: bench.count(BreakerOpened) >= 3)
        assert service.most_inside == 1
        service.is_down = False
        await bench.until_empty()

    assert bench.count(BreakerHalfOpened) >= 3
    assert bench.count(BreakerClosed) == 1
    assert bench.count(Completed) == 12
    assert bench.dead_letters == 0


async def test_an_open_breaker_survives_a_crash() -> None:
    """The next engine waits out what is left of it before it tries."""
    bench, service = Bench(lock_s=30.0), Service()
    await bench.send(*_flaky(3))
    settings = {"breaker_failures": 2, "breaker_open_s": 0.4, "concurrency": 1}
    async with bench.crashing_engine(_calling(service), **settings):
        await bench.until(lambda: bench.count(BreakerOpened) == 1)
    service.is_down = False
    calls = service.calls
    async with bench.engine(_calling(service), **settings) as engine:
        assert list(engine.status().breakers.values()) == ["open"]
        assert service.calls == calls
        await bench.until_empty()

    assert bench.count(Completed) == 3


async def test_parked_sessions_leave_receivers_for_others() -> None:
    """However many sessions of the broker are parked, one that is not is handled."""
    bench, router = Bench(QueueKind.SESSIONS, lock_s=5.0), Router()
    seen: list[bytes] = []

    @router.on("*", max_attempts=1, session_failure="park")
    async def handle(event: bytes, ctx: Context) -> None:
        del ctx
        seen.append(event)
        await asyncio.sleep(0)
        if event == b"bad":
            raise ConnectionError

    await bench.send(*(Message(b"bad", session_id=f"s{n}") for n in range(3)))
    async with bench.engine(router, session_receivers=2, breaker_failures=100):
        await bench.until(lambda: bench.count(SessionParked) == 3)
        await bench.send(Message(b"good", session_id="other"))
        await bench.until(lambda: b"good" in seen)

    assert bench.dead_letters == 0


@pytest.mark.parametrize("kind", [QueueKind.FIFO, QueueKind.SESSIONS])
async def test_a_parked_session_survives_a_crash_and_is_resumed_in_order(kind: QueueKind) -> None:
    """Its head is tried again when its time is up, or given up; what is behind it follows."""
    bench, router = Bench(kind, lock_s=0.5), Router()
    seen: list[bytes] = []

    @router.on("*", max_attempts=1, session_failure="park")
    async def handle(event: bytes, ctx: Context) -> None:
        del ctx
        seen.append(event)
        await asyncio.sleep(0)
        if event == b"bad":
            raise ConnectionError

    await bench.send(Message(b"bad", session_id="s"), Message(b"2", session_id="s"))
    async with bench.crashing_engine(router, park_s=1.0):
        await bench.until(lambda: bench.count(SessionParked) == 1)
    assert seen == [b"bad"]
    async with bench.engine(router, park_s=1.0):
        await bench.until_empty()

    assert seen == [b"bad", b"2"]
    assert bench.count(SessionResumed) == 1
    assert bench.dead_letters == 1


async def test_a_suspect_runs_alone_and_the_others_wait_for_it() -> None:
    """While it runs nothing else does; what was innocent goes on afterwards."""
    bench, router = Bench(lock_s=30.0), Router()
    gate = asyncio.Event()
    running: set[bytes] = set()
    beside: list[set[bytes]] = []

    @router.on("*")
    async def handle(event: bytes, ctx: Context) -> None:
        running.add(event)
        if event.startswith(b"suspect") and ctx.attempt == 2:
            beside.append(set(running))
        await gate.wait()
        await asyncio.sleep(0)
        running.discard(event)

    await bench.send(Message(b"suspect 1"), Message(b"suspect 2"))
    async with bench.crashing_engine(router):
        await bench.until(lambda: bench.count(AttemptStarted) == 2)
    running.clear()
    gate.set()
    await bench.send(*(Message(b"innocent %d" % n) for n in range(10)))
    async with bench.engine(router):
        await bench.until_empty()

    assert [len(others) for others in beside] == [1, 1]
    assert bench.count(AttemptCrashed) == 2
    assert bench.count(Completed) == 12
    assert bench.count(DeadLettered) == 0


async def test_one_message_in_a_long_back_off_stops_nobody() -> None:
    """A service asks for a long wait: its message is handed back with that delay, and the others are handled."""
    bench, router = Bench(lock_s=5.0), Router()

    @router.on("*")
    async def handle(event: bytes, ctx: Context) -> None:
        del ctx
        await asyncio.sleep(0)
        if event == b"slow":
            msg = "come back later"
            raise TransientError(msg, retry_after_s=250.0)

    await bench.send(Message(b"slow"), *(Message(b"%d" % n) for n in range(5)))
    async with bench.engine(router, concurrency=1, retry_hold_s=100.0) as engine:
        await bench.until(lambda: bench.count(Completed) == 5)
        await bench.until(lambda: engine.status().in_flight == 0)
        counts = bench.broker.counts(QUEUE)
        assert counts.in_flight == 0
        assert counts.active + counts.scheduled == 1
