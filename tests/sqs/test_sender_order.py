"""A standard queue that shuffles: the order of each sender holds all the same, and what breaks it is told."""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import pytest

from queue_runtime.engine import Context, Engine, EngineSettings
from queue_runtime.journal import MemoryJournal
from queue_runtime.journal.events import AttemptStarted, Overtaken, Received
from queue_runtime.journal.invariants import violations
from queue_runtime.plugins import Router
from queue_runtime.providers.errors import QueueError
from queue_runtime.providers.message import Message, QueueName
from queue_runtime.providers.port import Address, SettleKind, Settlement
from queue_runtime.providers.sqs import SqsProvider
from tests.sqs.servers import SqsHarness
from tests.sqs.strict import Fault, StrictServer
from tests.sqs.strict_rules import StrictQueue

POLL_S = 0.005
SEEDS = range(3)


class Site:
    """A standard queue, senders, and engines that come and go over one journal."""

    def __init__(self, server: StrictServer, queue: QueueName) -> None:
        self.server = server
        self.queue = queue
        self.harness = SqsHarness(server, is_fifo=False)
        self.journal = MemoryJournal()
        self.done: list[str] = []
        self.may_end = asyncio.Event()
        self.may_end.set()

    @property
    def stored(self) -> StrictQueue:
        return self.server.queues[self.queue]

    async def send(self, provider: SqsProvider, *names: str, session: str = "s") -> None:
        for name in names:
            (answer,) = await provider.send(self.queue, [Message(b"", message_id=name, session_id=session)])
            assert not isinstance(answer, QueueError), answer

    def router(self) -> Router:
        router = Router()

        @router.on("*")
        async def handle(ctx: Context) -> None:
            await self.may_end.wait()
            self.done.append(ctx.delivery.message.message_id)

        return router

    @asynccontextmanager
    async def engine(self, *, is_killed: bool = False, **settings: object) -> AsyncGenerator[Engine]:
        """A running engine; `is_killed`: it is gone at once, and the journal keeps what was durable."""
        quick = {"receive_wait_s": 0.05, "reorder_wait_s": 30.0, "debug_fold": not is_killed}
        chosen = EngineSettings.model_validate({"queues": (self.queue,), **quick, **settings})
        provider = SqsProvider(self.harness.settings(), self.server.clock)
        async with Engine(chosen, provider, self.journal, [self.router()], self.server.clock) as engine:
            running = asyncio.create_task(engine.run(handle_signals=False))
            yield engine
            if is_killed:
                durable = self.journal.events
                await engine.stop()
                self.journal = MemoryJournal(events=durable, keys=self.journal.keys)
            else:
                await engine.drain(0.2)
            await running
        assert violations(enumerate(self.journal.events, 1)) == []

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not is_so():  # noqa: ASYNC110 - any state of any part may be waited for
                await asyncio.sleep(POLL_S)

    def of(self, sender: str) -> list[str]:
        return [name for name in self.done if name.startswith(sender)]

    def overtaken(self) -> list[Overtaken]:
        return [event for event in self.journal.events if isinstance(event, Overtaken)]


@pytest.fixture
async def site(strict: StrictServer) -> Site:
    queue = await SqsHarness(strict, is_fifo=False).make(max_deliveries=100)
    return Site(strict, queue)


@pytest.mark.parametrize("seed", SEEDS)
async def test_the_order_of_each_sender_holds_on_a_queue_that_shuffles(site: Site, seed: int) -> None:
    """Two senders, three sessions, and a queue that hands out at random: every sender's messages run in its order."""
    one, two = await site.harness.open(), await site.harness.open()
    site.stored.shuffle = random.Random(seed)
    for number in range(12):
        for session in "abc":
            await site.send(one, f"one-{session}{number:02}", session=session)
            await site.send(two, f"two-{session}{number:02}", session=session)

    async with site.engine():
        await site.until(lambda: not site.stored.held)

    for sender in ("one", "two"):
        for session in "abc":
            names = site.of(f"{sender}-{session}")
            assert names == [f"{sender}-{session}{number:02}" for number in range(12)]
    assert site.overtaken() == []
    await one.close()
    await two.close()


@pytest.mark.parametrize("seed", SEEDS)
async def test_the_order_holds_over_a_crash_of_the_engine_and_a_restart_of_the_sender(site: Site, seed: int) -> None:
    """What was journaled goes on in order; a sender that begins anew counts anew, and waits for nothing."""
    before, after = await site.harness.open(), await site.harness.open()
    site.stored.shuffle = random.Random(seed)
    await site.send(before, *(f"before-{number:02}" for number in range(12)))
    site.may_end.clear()
    async with site.engine(is_killed=True):
        await site.until(lambda: sum(isinstance(event, AttemptStarted) for event in site.journal.events) == 1)
    site.may_end.set()
    await before.close()
    await site.send(after, *(f"after-{number:02}" for number in range(12)))

    async with site.engine():
        await site.until(lambda: not site.stored.held)

    assert site.of("before") == [f"before-{number:02}" for number in range(12)]
    assert site.of("after") == [f"after-{number:02}" for number in range(12)]
    await after.close()


async def test_what_never_comes_costs_one_wait_and_what_comes_late_is_told(site: Site) -> None:
    """A gap holds its session up for one wait; the message that comes after all is run, and journaled as overtaken."""
    sender = await site.harness.open()
    await site.send(sender, "1", "2", "3", "4")
    missing = site.stored.held.pop(1)

    async with site.engine(reorder_wait_s=0.3):
        await site.until(lambda: site.done == ["1", "3", "4"])
        assert site.overtaken() == []
        site.stored.held.append(missing)
        await site.until(lambda: not site.stored.held)

    assert site.done == ["1", "3", "4", "2"]
    (event,) = site.overtaken()
    assert (event.key, event.number) == (f"{site.queue}/2", 4)
    (came, started) = (
        next(event.at for event in site.journal.events if isinstance(event, kind) and event.key.endswith("/3"))
        for kind in (Received, AttemptStarted)
    )
    assert started - came >= 300_000
    await sender.close()


async def test_a_message_that_waits_keeps_its_lock_and_is_given_back_by_a_drain(site: Site) -> None:
    """Early messages are held like any other: renewed while they wait, returned when the engine stops."""
    sender = await site.harness.open()
    await site.send(sender, "1", "2")
    del site.stored.held[0]

    async with site.engine():
        await site.until(lambda: site.stored.held[0].count == 1)
        (held,) = site.stored.held
        ends = held.visible_at
        site.server.advance(6)  # more than half of its lock
        await site.until(lambda: held.visible_at > ends)
        assert site.done == []

    assert held.visible_at <= site.stored.now
    assert site.done == []
    await sender.close()


async def test_a_send_that_is_repeated_keeps_its_place(site: Site) -> None:
    """A message whose first send failed is before those that were sent meanwhile; a refused one leaves one gap."""
    sender = await site.harness.open()
    first = Message(b"", message_id="1", session_id="s")
    await sender.capabilities(site.queue)
    site.server.fail("SendMessageBatch", *[Fault(status=500)] * 3)
    (failed,) = await sender.send(site.queue, [first])
    assert isinstance(failed, QueueError)
    await site.send(sender, "2")
    await sender.send(site.queue, [first])

    async with site.engine():
        await site.until(lambda: not site.stored.held)

    assert site.done == ["1", "2"]
    await sender.close()


async def test_somebody_else_on_the_queue_is_seen_and_told_once(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """A message that was delivered elsewhere first says that this engine is not alone: one log line, and in status."""
    sender = await site.harness.open()
    async with site.engine() as engine:
        assert engine.status().shared == ()
        site.stored.taken_elsewhere = 1
        for name in ("1", "2"):
            await site.send(sender, name, session=name)
        await site.until(lambda: len(site.done) == 2)
        assert engine.status().shared == (str(site.queue),)

    warned = [record for record in caplog.records if "somebody else" in record.message]
    assert len(warned) == 1
    assert warned[0].levelno == logging.WARNING
    await sender.close()


async def test_what_this_engine_gave_back_itself_is_not_foreign(site: Site) -> None:
    """Our own deliveries are known, those that were given back too."""
    provider = await site.harness.open()
    await site.send(provider, "1")
    for count in (1, 2, 3):
        (delivery,) = await provider.receive(Address(site.queue), 1, 1)
        assert (delivery.delivery_count, delivery.foreign_deliveries) == (count, 0)
        await provider.settle(Address(site.queue), [Settlement(SettleKind.ABANDON, delivery.receipt)])
    site.stored.held[0].count += 2

    (delivery,) = await provider.receive(Address(site.queue), 1, 1)

    assert delivery.foreign_deliveries == 2
    await provider.close()
