"""What an engine's journal adds to SQS: long delays, retries, dead letters and redrives, on the recorded rules."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from queue_runtime.engine import Context, Engine, EngineSettings
from queue_runtime.journal import MemoryJournal
from queue_runtime.journal.events import AttemptFailed, Event, LeaseLapsed, Received, SendScheduled, SettleRefused
from queue_runtime.journal.invariants import violations
from queue_runtime.plugins import PermanentError, RateLimitExceeded, Router
from queue_runtime.providers import QueueClient
from queue_runtime.providers.errors import QueueError, UnsupportedOperation
from queue_runtime.providers.message import Message, QueueName
from queue_runtime.providers.sqs import SqsProvider
from tests.sqs.servers import SqsHarness
from tests.sqs.strict import Fault, StrictServer
from tests.sqs.strict_rules import StrictQueue

POLL_S = 0.005
HOUR_S = 3_600
kinds = pytest.mark.parametrize("is_fifo", [False, True], ids=["standard", "FIFO"])


class Site:
    """A queue on the stub, and engines that come and go over one journal."""

    def __init__(self, server: StrictServer, queue: QueueName, *, is_fifo: bool) -> None:
        self.server = server
        self.queue = queue
        self.harness = SqsHarness(server, is_fifo=is_fifo)
        self.journal = MemoryJournal()

    @property
    def stored(self) -> StrictQueue:
        return self.server.queues[self.queue]

    @property
    def buried(self) -> StrictQueue:
        assert self.stored.dead_letters is not None
        return self.stored.dead_letters

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.journal.events if isinstance(event, kind)]

    async def send(self, *names: str) -> None:
        provider = await self.harness.open()
        answers = await provider.send(
            self.queue, [Message(name.encode(), message_id=name, session_id="s") for name in names]
        )
        assert not [answer for answer in answers if isinstance(answer, QueueError)]
        await provider.close()

    @asynccontextmanager
    async def engine(self, router: Router, *, is_killed: bool = False, **settings: object) -> AsyncGenerator[Engine]:
        """A running engine; `is_killed`: it is gone at once, and the journal keeps what was durable."""
        quick = {"receive_wait_s": 0.05, "retry_initial_s": 0.01, "retry_max_s": 0.02}
        chosen = EngineSettings.model_validate({"queues": (self.queue,), **quick, **settings})
        provider = SqsProvider(self.harness.settings(), self.server.clock)
        async with Engine(chosen, provider, self.journal, [router], self.server.clock) as engine:
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


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not is_so():  # noqa: ASYNC110 - any state of any part may be waited for
            await asyncio.sleep(POLL_S)


async def site_of(server: StrictServer, *, is_fifo: bool, has_dead_letters: bool = True) -> Site:
    harness = SqsHarness(server, is_fifo=is_fifo)
    return Site(server, await harness.make(max_deliveries=20 if has_dead_letters else None), is_fifo=is_fifo)


@kinds
async def test_B24_the_journal_holds_what_the_service_cannot_and_survives_a_kill(
    strict: StrictServer, *, is_fifo: bool
) -> None:
    """A send in an hour is in no queue until it is due: an engine that was killed meanwhile sends it on time, once."""
    site, router, came = await site_of(strict, is_fifo=is_fifo), Router(), list[bytes]()

    @router.on("*")
    async def handle(event: bytes, ctx: Context) -> None:
        came.append(event)
        if event == b"now":
            await ctx.send(site.queue, Message(b"later", message_id="later", session_id="s"), after=timedelta(hours=1))

    await site.send("now")
    async with site.engine(router, is_killed=True):
        await until(lambda: len(site.of(SendScheduled)) == 1 and not site.stored.held)
    strict.advance(HOUR_S / 2)
    asked = len(strict.calls("ReceiveMessage"))
    async with site.engine(router):
        await until(lambda: len(strict.calls("ReceiveMessage")) > asked + 1)
    assert len(site.of(Received)) == 1
    strict.advance(HOUR_S / 2)
    async with site.engine(router):
        await until(lambda: len(came) == 2)
        await until(lambda: not site.stored.held)

    assert came == [b"now", b"later"]
    assert [entry.get("DelaySeconds") for call in strict.calls("SendMessageBatch") for entry in call["Entries"]] == [
        None,
        None,
    ]


@kinds
async def test_B24_without_a_journal_a_long_delay_is_refused_with_the_way_out(
    strict: StrictServer, *, is_fifo: bool
) -> None:
    """A client alone cannot hold a message for an hour: it says what can, and nothing is sent."""
    site = await site_of(strict, is_fifo=is_fifo)
    async with QueueClient(SqsProvider(site.harness.settings(), strict.clock)) as client:
        at = (strict.clock.now()).to_datetime() + timedelta(hours=1)
        with pytest.raises(UnsupportedOperation, match="journal"):
            await client.send(site.queue, Message(b"x", session_id="s"), at=at)

    assert strict.calls("SendMessageBatch") == []


@kinds
async def test_a_long_back_off_is_the_visibility_of_the_message(strict: StrictServer, *, is_fifo: bool) -> None:
    """A delay for which no lock is kept hides the message in the queue for as long, and its attempts count on."""
    site, router, attempts = await site_of(strict, is_fifo=is_fifo), Router(), list[int]()

    @router.on("*")
    async def handle(ctx: Context) -> None:
        await asyncio.sleep(0)
        attempts.append(ctx.attempt)
        if ctx.attempt == 1:
            msg = "wait"
            raise RateLimitExceeded(msg, retry_after_s=120)

    await site.send("m")
    async with site.engine(router, retry_hold_s=5.0, retry_max_s=300.0):
        await until(lambda: len(site.of(LeaseLapsed)) == 1)
        await until(lambda: len(strict.calls("ChangeMessageVisibilityBatch")) > 0)
        (entry,) = strict.calls("ChangeMessageVisibilityBatch")[-1]["Entries"]
        assert entry["VisibilityTimeout"] == 120
        assert attempts == [1]
        strict.advance(121)
        await until(lambda: not site.stored.held)

    assert attempts == [1, 2]
    assert len(site.of(AttemptFailed)) == 1


@kinds
async def test_B39_without_a_queue_for_dead_letters_the_message_stays(strict: StrictServer, *, is_fifo: bool) -> None:
    """The journal says that it could not be moved, and what to set; nothing is deleted, and it is not run again."""
    site, router, runs = await site_of(strict, is_fifo=is_fifo, has_dead_letters=False), Router(), list[int]()

    @router.on("*")
    async def handle(ctx: Context) -> None:
        await asyncio.sleep(0)
        runs.append(ctx.attempt)
        msg = "never"
        raise PermanentError(msg)

    await site.send("m")
    async with site.engine(router):
        await until(lambda: len(site.of(SettleRefused)) == 1)
        strict.advance(11)
        await until(lambda: len(site.of(SettleRefused)) == 2)

    refused = site.of(SettleRefused)[0]
    assert isinstance(refused, SettleRefused)
    assert "QUEUE_SQS_DEAD_LETTER_QUEUE" in refused.why
    assert len(site.stored.held) == 1
    assert runs == [1]


@kinds
async def test_B39_a_queue_that_refuses_dead_letters_leaves_the_message_until_it_takes_it(
    strict: StrictServer, *, is_fifo: bool
) -> None:
    """After the refusal the message comes again, and is moved then without another attempt."""
    site, router, runs = await site_of(strict, is_fifo=is_fifo), Router(), list[int]()

    @router.on("*")
    async def handle(ctx: Context) -> None:
        await asyncio.sleep(0)
        runs.append(ctx.attempt)
        msg = "never"
        raise PermanentError(msg)

    await site.send("m")
    strict.fail("SendMessageBatch", Fault("AccessDenied", status=403))
    async with site.engine(router):
        await until(lambda: len(site.of(SettleRefused)) == 1)
        assert len(site.stored.held) == 1
        assert site.buried.held == []
        strict.advance(11)
        await until(lambda: not site.stored.held)

    assert [held.body for held in site.buried.held] == ["m"]
    assert runs == [1]


async def test_E15_a_fifo_queue_is_redriven_in_order(strict: StrictServer) -> None:
    """Three dead letters of one session are run again in the order in which they were sent, under new ids."""
    site, came = await site_of(strict, is_fifo=True), list[bytes]()
    is_mended = asyncio.Event()
    router = Router()

    @router.on("*")
    async def handle(event: bytes) -> None:
        await asyncio.sleep(0)
        if not is_mended.is_set():
            msg = "broken"
            raise PermanentError(msg)
        came.append(event)

    await site.send("1", "2", "3")
    async with site.engine(router):
        await until(lambda: len(site.buried.held) == 3)
        is_mended.set()
        async with QueueClient(SqsProvider(site.harness.settings(), strict.clock), timeout_s=1) as client:
            letters = client.dead_letters(site.queue)
            while (delivery := await letters.receive()) is not None:
                await letters.redrive(delivery)
        await until(lambda: len(came) == 3 and not site.stored.held)

    assert came == [b"1", b"2", b"3"]
    assert site.buried.held == []
    assert len({event.key for event in site.of(Received) if isinstance(event, Received)}) == 6
