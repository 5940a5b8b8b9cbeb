"""What an engine does with messages: order, retries, duplicates, steps, sends, time-outs."""

import asyncio
import threading

import pytest

from queue_runtime.engine import Context
from queue_runtime.journal.events import (
    AttemptFailed,
    AttemptStarted,
    BreakerClosed,
    BreakerOpened,
    Completed,
    DeadLettered,
    Duplicate,
    OutgoingFailed,
    OutgoingSent,
    SessionAcquired,
    SessionReleased,
    Settled,
    StepRecorded,
)
from queue_runtime.plugins import DeliveryInfo, InvalidMessage, Router, hookimpl
from queue_runtime.providers.memory import QueueKind
from queue_runtime.providers.message import Message
from tests.engine.bench import OUT, QUEUE, Bench


class Recorder:
    """A router whose handler notes what it is given, and fails as the body says."""

    def __init__(self, **options: object) -> None:
        self.seen: list[tuple[bytes, int]] = []
        self.router = Router()

        @self.router.on("*", **options)  # type: ignore[arg-type]
        async def handle(event: bytes, ctx: Context) -> None:
            self.seen.append((event, ctx.attempt))
            await asyncio.sleep(0)
            if event == b"bad" or (event == b"once" and ctx.attempt == 1):
                msg = "the service is down"
                raise ConnectionError(msg)
            if event == b"broken":
                msg = "not what I take"
                raise InvalidMessage(msg)

    @property
    def bodies(self) -> list[bytes]:
        return [body for body, _ in self.seen]


KINDS = [QueueKind.STANDARD, QueueKind.FIFO, QueueKind.SESSIONS]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_session_is_handled_in_order_whatever_fails(kind: QueueKind) -> None:
    """A message that fails once holds back those behind it; other sessions go on."""
    bench, recorder = Bench(kind), Recorder()
    await bench.send(*(Message(body, session_id="s") for body in (b"1", b"once", b"3")), Message(b"x", session_id="t"))
    async with bench.engine(recorder.router):
        await bench.until_empty()

    ours = [body for body in recorder.bodies if body != b"x"]
    assert ours == [b"1", b"once", b"once", b"3"]
    assert b"x" in recorder.bodies


async def test_sessions_of_the_broker_are_acquired_and_given_back() -> None:
    """Each session's lock is journaled, and released when nothing comes any more."""
    bench, recorder = Bench(QueueKind.SESSIONS), Recorder()
    await bench.send(*(Message(b"%d" % n, session_id=f"s{n % 3}") for n in range(9)))
    async with bench.engine(recorder.router):
        await bench.until_empty()
        await bench.until(lambda: bench.count(SessionReleased) == 3)

    assert bench.count(SessionAcquired) == 3
    assert len(recorder.seen) == 9


async def test_attempts_are_spent_and_the_message_dead_lettered() -> None:
    """The last of the attempts ends in the dead letters, and the session goes on."""
    bench, recorder = Bench(QueueKind.FIFO), Recorder()
    await bench.send(Message(b"bad", session_id="s"), Message(b"2", session_id="s"))
    async with bench.engine(recorder.router, max_attempts=3):
        await bench.until_empty()

    assert recorder.seen == [(b"bad", 1), (b"bad", 2), (b"bad", 3), (b"2", 1)]
    assert bench.dead_letters == 1


async def test_a_permanent_error_is_not_retried() -> None:
    """An invalid message is dead-lettered after one attempt."""
    bench, recorder = Bench(), Recorder()
    await bench.send(Message(b"broken"))
    async with bench.engine(recorder.router):
        await bench.until_empty()

    assert recorder.seen == [(b"broken", 1)]
    assert bench.dead_letters == 1


async def test_a_blocked_session_waits_and_others_go_on() -> None:
    """Under `block` the head is retried beyond its attempts, and nothing behind it starts."""
    bench, recorder = Bench(QueueKind.FIFO), Recorder(session_failure="block", max_attempts=2)
    await bench.send(Message(b"bad", session_id="s"), Message(b"2", session_id="s"), Message(b"x", session_id="t"))
    async with bench.engine(recorder.router, breaker_failures=100):
        await bench.until(lambda: len(recorder.seen) >= 6)

    assert b"2" not in recorder.bodies
    assert b"x" in recorder.bodies
    assert bench.dead_letters == 0


async def test_a_parked_session_goes_on_when_its_time_is_up() -> None:
    """Under `park` nothing of the session starts; after the time-out its head is dead-lettered and the rest goes on."""
    bench, recorder = Bench(QueueKind.FIFO), Recorder(session_failure="park", max_attempts=1)
    await bench.send(Message(b"bad", session_id="s"), Message(b"2", session_id="s"))
    async with bench.engine(recorder.router, park_s=0.2) as engine:
        await bench.until(lambda: engine.status().parked == ("q/s",))
        assert recorder.bodies == [b"bad"]
        await bench.until_empty()

    assert recorder.bodies == [b"bad", b"2"]
    assert bench.dead_letters == 1


async def test_K04_a_message_sent_twice_is_run_once() -> None:
    """A second broker message under one id is settled unrun; the same id with another body is run."""
    bench, recorder = Bench(), Recorder()
    await bench.send(*(Message(body, message_id="id") for body in (b"a", b"a", b"b")))
    async with bench.engine(recorder.router):
        await bench.until_empty()
        await bench.send(Message(b"a", message_id="id"))
        await bench.until_empty()

    assert sorted(recorder.bodies) == [b"a", b"b"]
    assert bench.count(Duplicate) == 2


@pytest.mark.parametrize(("action", "completed", "dead"), [("dead-letter", 0, 1), ("complete", 1, 0)])
async def test_K40_a_message_that_nobody_handles_ends_as_the_setting_says(
    action: str, completed: int, dead: int
) -> None:
    """`on_unhandled` decides."""
    bench = Bench()
    await bench.send(Message(b"x"))
    async with bench.engine(Router(), on_unhandled=action):
        await bench.until_empty()

    assert bench.count(Completed) == completed
    assert bench.dead_letters == dead


async def test_K41_a_step_is_run_once_and_its_result_kept_over_retries() -> None:
    """A later attempt gets what the first one journaled."""
    bench, router = Bench(), Router()
    calls: list[int] = []
    results: list[object] = []

    @router.on("*")
    async def handle(event: bytes, ctx: Context) -> None:
        del event
        results.append(await ctx.step("classify", lambda: calls.append(ctx.attempt) or {"labels": ["bug"]}))
        if ctx.attempt < 3:
            msg = "again"
            raise ConnectionError(msg)

    await bench.send(Message(b"x"))
    async with bench.engine(router):
        await bench.until_empty()

    assert calls == [1]
    assert results == [{"labels": ["bug"]}] * 3
    assert bench.count(StepRecorded) == 1


async def test_what_a_handler_sends_goes_out_if_it_completes_and_before_the_settlement() -> None:
    """A failed attempt sends nothing; the ids of what is sent are the same every time."""
    bench, router = Bench(), Router()
    ids: list[str] = []

    @router.on("*")
    async def handle(event: bytes, ctx: Context) -> None:
        del event
        ids.append(await ctx.send(OUT, {"n": ctx.attempt}))
        if ctx.attempt == 1:
            msg = "again"
            raise ConnectionError(msg)

    await bench.send(Message(b"x"))
    async with bench.engine(router):
        await bench.until_empty()

    assert bench.broker.counts(OUT).active == 1
    assert len(set(ids)) == 1
    kinds = [type(event) for event in bench.of(Completed, OutgoingSent, Settled)]
    assert kinds == [Completed, OutgoingSent, Settled]


async def test_a_send_that_can_never_succeed_is_journaled_and_the_message_completed() -> None:
    """An unknown queue does not hold the message up, and is not forgotten either."""
    bench, router = Bench(), Router()

    @router.on("*")
    async def handle(event: bytes, ctx: Context) -> None:
        await ctx.send("nowhere", event)

    await bench.send(Message(b"x"))
    async with bench.engine(router):
        await bench.until_empty()

    assert bench.count(OutgoingFailed) == 1
    assert bench.count(Settled) == 1


async def test_a_handler_over_its_time_is_cancelled_and_retried() -> None:
    """The time-out is an error like others; a handler that swallows it and returns is done."""
    bench, router = Bench(), Router()

    @router.on("*", timeout_s=0.05, max_attempts=2)
    async def handle(event: bytes, ctx: Context) -> None:
        del ctx
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if event != b"swallows":
                raise

    await bench.send(Message(b"x"), Message(b"swallows"))
    async with bench.engine(router):
        await bench.until_empty()

    failures = bench.of(AttemptFailed)
    assert len(failures) == 2
    assert bench.count(Completed) == 1
    assert bench.dead_letters == 1


async def test_a_thread_over_its_time_keeps_its_session_waiting() -> None:
    """A thread cannot be stopped: no second attempt and no later message of its session starts beside it."""
    bench, router = Bench(QueueKind.FIFO), Router()
    running: list[int] = []
    most: list[int] = []

    @router.on("*", timeout_s=0.05)
    def handle(event: bytes, ctx: Context) -> None:
        del event, ctx
        running.append(1)
        most.append(len(running))
        threading.Event().wait(0.3)  # far beyond its time-out
        running.pop()

    await bench.send(Message(b"1", session_id="s"), Message(b"2", session_id="s"))
    async with bench.engine(router):
        await bench.until_empty()

    assert most == [1, 1]
    assert bench.count(Completed) == 2


@pytest.mark.parametrize("error", [asyncio.CancelledError, SystemExit])
async def test_nothing_that_a_handler_raises_ends_the_engine(error: type[BaseException]) -> None:
    """A handler that cancels itself or exits has failed an attempt, and that is all."""
    bench, router = Bench(), Router()

    @router.on("*", max_attempts=2)
    async def handle(event: bytes, ctx: Context) -> None:
        del ctx
        if event == b"bad":
            raise error

    await bench.send(Message(b"bad"), Message(b"good"))
    async with bench.engine(router):
        await bench.until_empty()

    assert bench.count(Completed) == 1
    assert bench.dead_letters == 1


async def test_K15_a_breaker_opens_spends_no_attempts_and_closes() -> None:
    """While a route's service is down its messages wait untouched; once it is back they are all handled."""
    bench, router = Bench(lock_s=5.0), Router()
    is_down = True

    @router.on("*")
    async def handle(event: bytes, ctx: Context) -> None:
        del event, ctx
        await asyncio.sleep(0)
        if is_down:
            msg = "down"
            raise ConnectionError(msg)

    await bench.send(*(Message(b"%d" % n) for n in range(10)))
    async with bench.engine(router, breaker_failures=3, breaker_open_s=0.2, breaker_successes=2, concurrency=1):
        await bench.until(lambda: bench.count(BreakerOpened) == 1)
        tried = bench.count(AttemptStarted)
        is_down = False
        await bench.until_empty()

    assert tried == 3
    assert bench.count(BreakerClosed) == 1
    assert bench.dead_letters == 0


async def test_K39_a_hook_that_raises_fails_the_attempt_and_loses_nothing() -> None:
    """An error in a session or key hook is the attempt's; the message ends in the dead letters with it."""

    class Broken:
        @hookimpl
        def queue_runtime_idempotency_key(self, info: DeliveryInfo) -> str | None:
            del info
            msg = "no key"
            raise ValueError(msg)

    bench, recorder = Bench(), Recorder()
    await bench.send(Message(b"x"))
    async with bench.engine(recorder.router, Broken(), max_attempts=2):
        await bench.until_empty()

    (dead,) = bench.of(DeadLettered)
    assert isinstance(dead, DeadLettered)
    assert dead.error_kind == "ValueError"
    assert recorder.seen == []


async def test_messages_in_flight_are_bounded() -> None:
    """However long the queue, no more is held than the setting allows."""
    bench, router = Bench(lock_s=5.0), Router()
    gate = asyncio.Event()

    @router.on("*")
    async def handle(event: bytes, ctx: Context) -> None:
        del event, ctx
        await gate.wait()

    await bench.send(*(Message(b"%d" % n) for n in range(40)))
    async with bench.engine(router, max_in_flight=10, concurrency=4) as engine:
        await bench.until(lambda: engine.status().in_flight == 10)
        assert engine.status().running == 4
        assert bench.broker.counts(QUEUE).in_flight == 10
        gate.set()
        await bench.until_empty()
