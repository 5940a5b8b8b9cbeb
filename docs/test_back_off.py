"""A test that moves the time."""

import asyncio

from queue_runtime.engine import Engine, EngineSettings
from queue_runtime.engine.testing import FakeClock
from queue_runtime.journal import MemoryJournal
from queue_runtime.plugins import Context, Router, TransientError
from queue_runtime.providers.memory import MemoryBroker, MemoryProvider, QueueSettings
from queue_runtime.providers.message import Message, QueueName

router = Router()
attempts: list[int] = []


@router.on("*")
async def handle(ctx: Context) -> None:
    attempts.append(ctx.attempt)
    await asyncio.sleep(0)
    if ctx.attempt == 1:
        msg = "the service is down"
        raise TransientError(msg, retry_after_s=60.0)


async def test_a_failed_attempt_is_made_again_after_the_time_that_it_asks_for() -> None:
    clock = FakeClock()
    broker = MemoryBroker({"q": QueueSettings(lock_s=3_600.0)}, clock=clock)
    provider = MemoryProvider(broker)
    settings = EngineSettings(queues=("q",), max_attempts=2)
    async with Engine(settings, provider, MemoryJournal(), [router], clock) as engine:
        running = asyncio.create_task(engine.run(handle_signals=False))
        await provider.send(QueueName("q"), [Message(b"x")])
        await clock.advance(59.0)
        assert attempts == [1]

        await clock.advance(2.0)
        assert attempts == [1, 2]

        await engine.drain()
        await running
