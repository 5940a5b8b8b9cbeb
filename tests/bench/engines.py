"""The whole engine over the in-memory broker and a journal on disk, with a handler that does nothing."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from queue_runtime.engine import Context, Engine, EngineSettings
from queue_runtime.journal import JournalSettings, SqliteJournal
from queue_runtime.plugins import Router
from queue_runtime.providers.errors import QueueError
from queue_runtime.providers.memory import MemoryBroker, MemoryProvider, QueueSettings
from queue_runtime.providers.message import Delivery, Message, QueueName
from queue_runtime.providers.port import Address, Provider, Settlement
from tests.bench.bodies import QUEUE
from tests.bench.figures import Round, measured

OUT = QueueName("out")
PREFETCH = 3  # messages held for each handler that may run: 300 for 100, as by default
WAIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Shape:
    """How an engine is set up: handlers at a time, messages held, what the handler does, and the writer's guard."""

    concurrency: int
    prefetch: int = PREFETCH
    handler_s: float = 0.0
    sends: bool = False
    yield_to_writer: bool = False


class StampedProvider(MemoryProvider):
    """Notes when each message was handed over, and when its settlement was confirmed."""

    def __init__(self, broker: MemoryBroker, expected: int) -> None:
        super().__init__(broker)
        self._expected = expected
        self.delivered: dict[str, float] = {}
        self.settled: dict[str, float] = {}
        self.all_settled = asyncio.Event()

    async def receive(self, source: Address, max_messages: int, wait_s: float) -> list[Delivery]:
        """As the port says; the instant is that of the answer."""
        deliveries = await super().receive(source, max_messages, wait_s)
        now = time.perf_counter()
        self.delivered.update((delivery.receipt.provider_id, now) for delivery in deliveries)
        return deliveries

    async def settle(self, source: Address, settlements: Sequence[Settlement]) -> list[QueueError | None]:
        """As the port says; the instant is that of the answer."""
        answers = await super().settle(source, settlements)
        now = time.perf_counter()
        self.settled.update((one.receipt.provider_id, now) for one in settlements)
        if len(self.settled) >= self._expected:
            self.all_settled.set()
        return answers

    def took_ms(self, since: float = 0.0) -> list[float]:
        """Return times from delivery to settlement, of what was delivered after `since`; what is open still ages."""
        now = time.perf_counter()
        return [
            (self.settled.get(provider_id, now) - at) * 1e3 for provider_id, at in self.delivered.items() if at >= since
        ]


def new_broker() -> MemoryBroker:
    """Make a broker with a queue to take from and one to send to."""
    return MemoryBroker({QUEUE: QueueSettings(max_deliveries=100), OUT: QueueSettings()})


def router(shape: Shape) -> Router:
    """Make the bot: it does nothing, waits, or sends a message on."""
    bot = Router()

    @bot.on("*")
    async def handle(event: bytes, ctx: Context) -> None:
        if shape.handler_s:
            await asyncio.sleep(shape.handler_s)
        if shape.sends:
            await ctx.send(OUT, event)

    return bot


@asynccontextmanager
async def running_engine(
    shape: Shape, provider: Provider, folder: Path, bot: Router | None = None
) -> AsyncGenerator[Engine]:
    """An engine that receives; it drains at the end of the block."""
    journal = await SqliteJournal.open(folder / "journal", JournalSettings(yield_to_writer=shape.yield_to_writer))
    settings = EngineSettings(
        queues=(QUEUE,), concurrency=shape.concurrency, max_in_flight=shape.concurrency * shape.prefetch
    )
    try:
        async with Engine(settings, provider, journal, [bot or router(shape)]) as engine:
            task = asyncio.create_task(engine.run(handle_signals=False))
            yield engine
            await engine.drain(WAIT_S)
            await task
    finally:
        await journal.close()


async def engine_round(work: Sequence[Message], shape: Shape, folder: Path) -> Round:
    """Take messages that wait at the broker through the engine, until the broker confirmed the last settlement."""
    result, provider = Round(len(work)), StampedProvider(new_broker(), len(work))
    await provider.open()
    for answer in await provider.send(QUEUE, work):
        assert not isinstance(answer, QueueError), answer
    # The receiver starts at the next turn of the loop, so nothing is taken before the clock runs.
    async with running_engine(shape, provider, folder):
        with measured(result):
            await provider.all_settled.wait()
    result.took_ms = provider.took_ms()
    return result
