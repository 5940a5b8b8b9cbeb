"""What waits: sends held by the journal, time to live, session state, messages that nobody here handles."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from queue_runtime.engine import Context
from queue_runtime.journal.events import (
    Completed,
    DeadLettered,
    LeaseLapsed,
    SendCancelled,
    SendScheduled,
    Settled,
)
from queue_runtime.plugins import Router
from queue_runtime.providers.memory import MemoryProvider, QueueKind
from queue_runtime.providers.message import Message, QueueName
from queue_runtime.providers.port import Capabilities
from tests.engine.bench import OUT, Bench


class WithoutDelays(MemoryProvider):
    """A broker that cannot hold a message back, as SQS FIFO queues cannot."""

    async def capabilities(self, queue: QueueName) -> Capabilities:
        able = await super().capabilities(queue)
        return replace(able, scheduled_send=False, max_delay_s=0.0)


def _sends_later(after: timedelta) -> Router:
    router = Router()

    @router.on("*")
    async def handle(event: bytes, ctx: Context) -> None:
        await ctx.send(OUT, event, after=after)

    return router


async def test_a_send_that_the_broker_cannot_hold_is_held_by_the_journal() -> None:
    """The incoming message is settled at once, the outgoing one goes when it is due and not before."""
    bench = Bench()
    bench.provider = WithoutDelays
    await bench.send(Message(b"x"))
    async with bench.engine(_sends_later(timedelta(seconds=0.3))):
        await bench.until_empty()
        assert bench.count(SendScheduled) == 1
        assert bench.broker.counts(OUT).active == 0
        await bench.until(lambda: bench.broker.counts(OUT).active == 1)
        await bench.until(lambda: bench.count(SendCancelled) == 1)


async def test_a_send_held_by_the_journal_survives_a_crash() -> None:
    """The next engine on the journal sends it."""
    bench = Bench()
    bench.provider = WithoutDelays
    await bench.send(Message(b"x"))
    async with bench.engine(_sends_later(timedelta(seconds=0.5))):
        await bench.until_empty()
    assert bench.broker.counts(OUT).active == 0
    bench.crash()

    async with bench.engine(Router()):
        await bench.until(lambda: bench.broker.counts(OUT).active == 1)


async def test_a_broker_that_can_holds_a_delayed_send_itself() -> None:
    """Where the broker schedules, the journal holds nothing."""
    bench = Bench()
    await bench.send(Message(b"x"))
    async with bench.engine(_sends_later(timedelta(minutes=5))):
        await bench.until_empty()

    assert bench.count(SendScheduled) == 0
    assert bench.broker.counts(OUT).scheduled == 1


async def test_a_message_whose_life_ends_while_it_waits_here_is_dead_lettered_unrun() -> None:
    """Behind a slow head of its session it expires, and its handler never sees it."""
    bench, router = Bench(QueueKind.FIFO), Router()
    gate, seen = asyncio.Event(), list[bytes]()

    @router.on("*")
    async def handle(event: bytes, ctx: Context) -> None:
        del ctx
        seen.append(event)
        await gate.wait()

    short = Message(b"2", session_id="s", time_to_live=timedelta(seconds=0.3))
    await bench.send(Message(b"1", session_id="s"), short)
    async with bench.engine(router):
        await bench.until(lambda: bench.count(DeadLettered) == 1)
        gate.set()
        await bench.until_empty()

    assert seen == [b"1"]
    assert bench.dead_letters == 1


async def test_session_state_is_kept_from_message_to_message_and_over_a_restart() -> None:
    """What one handler stores, the next of the session reads; another session has its own."""
    bench, router = Bench(QueueKind.FIFO), Router()
    read: list[bytes | None] = []

    @router.on("*")
    async def handle(event: bytes, ctx: Context) -> None:
        read.append(ctx.session_state)
        await ctx.set_session_state((ctx.session_state or b"") + event)

    await bench.send(Message(b"a", session_id="s"), Message(b"b", session_id="s"))
    async with bench.engine(router):
        await bench.until_empty()
    bench.crash()
    await bench.send(Message(b"c", session_id="s"))
    async with bench.engine(router):
        await bench.until_empty()
    await bench.send(Message(b"x", session_id="t"))
    async with bench.engine(router):
        await bench.until_empty()

    assert read == [None, b"a", b"ab", None]


async def test_a_message_for_another_version_of_the_bot_goes_back_untried() -> None:
    """`on_unhandled=release` hands it back, and an engine that knows it handles it."""
    bench, router = Bench(), Router()
    await bench.send(Message(b"x"))
    async with bench.engine(Router(), on_unhandled="release", lane_release_delay_s=0.1):
        await bench.until(lambda: bench.count(LeaseLapsed) >= 2)
    assert bench.count(Settled) >= 2
    assert bench.left == 1

    @router.on("*")
    async def handle(event: bytes, ctx: Context) -> None:
        del event, ctx
        await asyncio.sleep(0)

    async with bench.engine(router):
        await bench.until_empty()
    assert bench.count(Completed) == 1


async def test_one_hot_session_does_not_stop_the_others() -> None:
    """Past its bound a session's tail is handed back, so that there is room for other sessions; order is kept."""
    bench, router = Bench(QueueKind.FIFO, lock_s=5.0), Router()
    gate, seen = asyncio.Event(), list[bytes]()

    @router.on("*")
    async def handle(event: bytes, ctx: Context) -> None:
        if ctx.delivery.message.session_id == "hot":
            await gate.wait()
        seen.append(event)

    await bench.send(*(Message(b"%02d" % n, session_id="hot") for n in range(30)))
    await bench.send(Message(b"cold", session_id="cold"))
    async with bench.engine(router, max_in_flight=10, max_lane=4):
        await bench.until(lambda: b"cold" in seen)
        gate.set()
        await bench.until_empty()

    assert [body for body in seen if body != b"cold"] == [b"%02d" % n for n in range(30)]
