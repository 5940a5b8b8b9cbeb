"""Settlements and sends at brokers that refuse, throttle, lose the answer, or take a part of a batch."""

import asyncio
import math

import pytest

from queue_runtime.engine import Context
from queue_runtime.journal.events import (
    AttemptFailed,
    AttemptStarted,
    Completed,
    DeadLettered,
    OutgoingFailed,
    OutgoingSent,
    Redelivered,
    Settled,
    SettleRefused,
    StepRecorded,
)
from queue_runtime.plugins import PermanentError, Router, StepError
from queue_runtime.providers.errors import ConnectionFailed, InvalidReceipt, ServiceThrottled
from queue_runtime.providers.memory import MemoryProvider, Operation
from queue_runtime.providers.message import Message
from queue_runtime.providers.port import Address
from tests.engine.bench import OUT, QUEUE, Bench


def _sending(*queues: str) -> Router:
    router = Router()

    @router.on("*")
    async def handle(event: bytes, ctx: Context) -> None:
        for queue in queues:
            await ctx.send(queue, event)

    return router


async def test_L12_a_throttled_settlement_is_tried_again_when_the_broker_says() -> None:
    """And only that one: the rest of its batch is settled."""
    bench = Bench(lock_s=5.0)
    bench.broker.faults.refuse(Operation.SETTLE, ServiceThrottled(0.05), times=2)
    await bench.send(*(Message(b"%d" % n) for n in range(6)))
    async with bench.engine(_sending()):
        await bench.until_empty()
        await bench.until(lambda: bench.count(Settled) == 6)

    assert bench.count(Completed) == bench.count(AttemptStarted) == 6
    assert bench.count(SettleRefused) == 0


async def test_a_settlement_whose_answer_was_lost_is_repeated_and_harmless(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was carried out; asking again answers that it is settled, and nothing runs twice."""
    monkeypatch.setattr(ConnectionFailed, "retry_after_s", 0.05)
    bench = Bench(lock_s=5.0)
    bench.broker.faults.lose_answer(Operation.SETTLE)
    await bench.send(Message(b"x"))
    async with bench.engine(_sending(), queues=(QUEUE,)):
        await bench.until_empty()
        await bench.until(lambda: bench.count(Settled) + bench.count(SettleRefused) == 1)

    assert bench.count(AttemptStarted) == 1


async def test_a_refused_settlement_waits_for_the_redelivery() -> None:
    """The broker will not have this receipt: the message is settled with the next one, and not run again."""
    bench = Bench(lock_s=0.3)
    bench.broker.faults.refuse(Operation.SETTLE, InvalidReceipt("x", "digest"))
    await bench.send(Message(b"x"))
    async with bench.engine(_sending()):
        await bench.until_empty()

    assert bench.count(AttemptStarted) == bench.count(Completed) == 1
    assert bench.count(SettleRefused) == 1
    assert bench.count(Redelivered) == 1


async def test_L12_a_throttled_send_goes_later_and_the_settlement_waits_for_it() -> None:
    """All sends of a message are confirmed, in their order, before its own settlement."""
    bench = Bench(lock_s=5.0)
    bench.broker.faults.refuse(Operation.SEND, ServiceThrottled(0.05), times=2, queue=OUT)
    await bench.send(Message(b"x"))
    async with bench.engine(_sending(OUT, OUT, OUT)):
        await bench.until_empty()

    kinds = [type(event) for event in bench.of(Completed, OutgoingSent, Settled)]
    assert kinds == [Completed, OutgoingSent, OutgoingSent, OutgoingSent, Settled]
    assert bench.broker.counts(OUT).active == 3


async def test_K10_a_send_whose_answer_was_lost_goes_again_under_the_same_id() -> None:
    """Twice at most and never lost: whoever receives it can tell by the id."""
    bench = Bench(lock_s=30.0)
    bench.broker.faults.lose_answer(Operation.SEND, queue=OUT)
    await bench.send(Message(b"x"))
    async with bench.engine(_sending(OUT)):
        await bench.until(lambda: bench.broker.counts(OUT).active == 1)
    async with bench.engine(_sending(OUT)):
        await bench.until_empty()

    assert len({message.message_id for message in bench.broker.messages(OUT)}) == 1
    assert bench.count(Completed) == 1
    assert bench.count(OutgoingSent) == 1


async def test_one_send_that_can_never_succeed_does_not_stop_the_others() -> None:
    """It is journaled as failed in its place; the sends before and after it go out."""
    bench = Bench(lock_s=5.0)
    await bench.send(Message(b"x"))
    async with bench.engine(_sending(OUT, "nowhere", OUT)):
        await bench.until_empty()

    kinds = [type(event) for event in bench.of(OutgoingSent, OutgoingFailed, Settled)]
    assert kinds == [OutgoingSent, OutgoingFailed, OutgoingSent, Settled]


async def test_a_dead_letter_says_what_happened_to_the_message() -> None:
    """Reason, description, error kind, every attempt with its times, and the journal's position go with it."""
    bench, router = Bench(lock_s=5.0), Router()

    @router.on("*", max_attempts=2)
    async def handle(event: bytes, ctx: Context) -> None:
        del event, ctx
        await asyncio.sleep(0)
        msg = "the service is down"
        raise ConnectionError(msg)

    await bench.send(Message(b"body", message_id="id"))
    async with bench.engine(router):
        await bench.until_empty()
    provider = MemoryProvider(bench.broker)
    await provider.open()
    (buried,) = await provider.receive(Address(QUEUE, dead_letters=True), 10, 0.0)
    await provider.close()

    assert buried.message.body == b"body"
    assert buried.dead_letter is not None
    assert buried.dead_letter.reason == "MaxAttemptsExceeded"
    said = dict(buried.dead_letter.properties)
    assert said["queue_runtime.key"] == "q/id"
    assert said["queue_runtime.error_kind"] == "ConnectionError"
    assert said["queue_runtime.attempts"].count('"attempt"') == 2
    assert int(said["queue_runtime.journal_position"]) > 0


@pytest.mark.parametrize("result", [object(), {1, 2}, (1, 2), "x" * 70_000, 2**70])
async def test_a_step_whose_result_cannot_be_kept_is_a_permanent_error(result: object) -> None:
    """It would fail each time: the message is given up with the reason, after one attempt."""
    bench, router = Bench(lock_s=5.0), Router()

    @router.on("*")
    async def handle(event: bytes, ctx: Context) -> None:
        del event
        await ctx.step("one", lambda: result)

    await bench.send(Message(b"x"))
    async with bench.engine(router):
        await bench.until_empty()

    (dead,) = bench.of(DeadLettered)
    assert isinstance(dead, DeadLettered)
    assert dead.error_kind == StepError.__name__
    assert "'one'" in dead.description
    assert bench.count(AttemptStarted) == 1


async def test_a_step_name_serves_once_in_an_attempt() -> None:
    """A second step of the same name is a mistake in the handler, and said to be one."""
    bench, router = Bench(lock_s=5.0), Router()

    @router.on("*")
    async def handle(event: bytes, ctx: Context) -> None:
        del event
        await ctx.step("one", lambda: 1)
        await ctx.step("one", lambda: 2)

    await bench.send(Message(b"x"))
    async with bench.engine(router):
        await bench.until_empty()

    (dead,) = bench.of(DeadLettered)
    assert isinstance(dead, DeadLettered)
    assert dead.error_kind == StepError.__name__


@pytest.mark.parametrize("result", [None, True, 7, -1.5, math.inf, "ä\0", b"\xff", [1, [2]], {"a": {"b": []}, 1: 2}])
async def test_a_step_gives_back_what_it_was_given(result: object) -> None:
    """What msgpack carries comes back equal, and of the same type, from the journal."""
    bench, router = Bench(lock_s=5.0), Router()
    results: list[object] = []

    @router.on("*")
    async def handle(event: bytes, ctx: Context) -> None:
        del event
        results.append(await ctx.step("one", lambda: result))
        if ctx.attempt == 1:
            raise ConnectionError

    await bench.send(Message(b"x"))
    async with bench.engine(router):
        await bench.until_empty()

    assert results == [result, result]
    assert type(results[1]) is type(result)


async def test_a_step_survives_a_crash() -> None:
    """The next engine hands out what the one before it journaled; an asynchronous step is awaited."""
    bench, router = Bench(lock_s=30.0), Router()
    gate, calls = asyncio.Event(), list[int]()

    async def work() -> str:
        calls.append(1)
        await asyncio.sleep(0)
        return "done"

    @router.on("*")
    async def handle(event: bytes, ctx: Context) -> None:
        del event
        assert await ctx.step("work", work) == "done"
        await gate.wait()

    await bench.send(Message(b"x"))
    async with bench.crashing_engine(router):
        await bench.until(lambda: bench.count(StepRecorded) == 1)
    gate.set()
    async with bench.engine(router):
        await bench.until_empty()

    assert calls == [1]


async def test_a_plain_function_uses_steps_and_sends_through_run() -> None:
    """`ctx.run` brings a thread's steps and sends to the loop, and their errors back."""
    bench, router = Bench(lock_s=5.0), Router()
    errors: list[str] = []

    @router.on("*")
    def handle(event: bytes, ctx: Context) -> None:
        assert ctx.run(ctx.step("one", lambda: 41)) == 41
        ctx.run(ctx.send(OUT, event))
        try:
            ctx.run(ctx.step("one", lambda: 42))
        except StepError as error:
            errors.append(str(error))

    await bench.send(Message(b"x"))
    async with bench.engine(router):
        await bench.until_empty()

    assert len(errors) == 1
    assert bench.broker.counts(OUT).active == 1


@pytest.mark.parametrize("mistake", ["queue", "json", "too many", "session"])
async def test_a_send_that_makes_no_sense_fails_the_attempt(mistake: str) -> None:
    """It is the handler's mistake, found before anything is journaled; nothing of the attempt is sent."""
    bench, router = Bench(lock_s=5.0), Router()

    @router.on("*", max_attempts=1)
    async def handle(event: bytes, ctx: Context) -> None:
        await ctx.send(OUT, event)
        if mistake == "queue":
            await ctx.send("no such name!", event)
        elif mistake == "json":
            await ctx.send(OUT, {"x": object()})
        elif mistake == "session":
            await ctx.send(OUT, Message(event), session_id="x" * 1_000)
        else:
            for _ in range(2_000):
                await ctx.send(OUT, event)

    await bench.send(Message(b"x"))
    async with bench.engine(router):
        await bench.until_empty()

    assert bench.count(AttemptFailed) == 1
    assert bench.broker.counts(OUT).active == 0
    assert bench.dead_letters == 1


async def test_the_permanent_error_of_a_handler_is_told_in_the_dead_letter() -> None:
    """Its kind and its text, and that no further attempt was made."""
    bench, router = Bench(lock_s=5.0), Router()

    @router.on("*")
    async def handle(event: bytes, ctx: Context) -> None:
        del event, ctx
        await asyncio.sleep(0)
        msg = "the repository is gone"
        raise PermanentError(msg)

    await bench.send(Message(b"x"))
    async with bench.engine(router):
        await bench.until_empty()

    (dead,) = bench.of(DeadLettered)
    assert isinstance(dead, DeadLettered)
    assert (dead.reason, dead.error_kind) == ("PermanentError", "PermanentError")
    assert "the repository is gone" in dead.description
