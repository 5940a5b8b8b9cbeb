"""Trace context over SQS: it travels as an attribute of the message, there and back again."""

import asyncio

from opentelemetry.trace import SpanContext, SpanKind

from queue_runtime.engine import Context, Engine, EngineSettings
from queue_runtime.journal import MemoryJournal
from queue_runtime.journal.events import AttemptStarted, Settled
from queue_runtime.providers import QueueClient
from queue_runtime.providers.message import Message
from queue_runtime.providers.port import Address
from queue_runtime.providers.sqs import SqsProvider
from queue_runtime.providers.telemetry import instrumented
from tests.sqs.servers import SqsHarness
from tests.sqs.strict import StrictServer
from tests.telemetry.recorded import ByQueue, recorded, until


async def test_L21_a_trace_goes_through_sqs_and_back(strict: StrictServer) -> None:
    """Other consumers find `traceparent` as a plain attribute; the attempt belongs to the sender's trace."""
    sdk, harness, journal = recorded(), SqsHarness(strict, is_fifo=False), MemoryJournal()
    queue, onward = await harness.make(), await harness.make()

    async def forwards(ctx: Context) -> None:
        await ctx.send(onward, b"on")

    async with QueueClient(instrumented(await harness.open())) as client:
        await client.send(queue, Message(b"{}", attributes={"kind": "opened"}))
    settings = EngineSettings(queues=(queue,), telemetry=True, receive_wait_s=0.05)
    provider = SqsProvider(harness.settings(), strict.clock)
    async with Engine(settings, provider, journal, [ByQueue({queue: forwards})], strict.clock) as engine:
        running = asyncio.create_task(engine.run(handle_signals=False))
        await until(lambda: any(isinstance(event, Settled) for event in journal.events))
        await engine.drain()
        await running
    plain = await harness.open()
    (raw,) = await plain.receive(Address(onward), 1, 1)
    await plain.close()

    sent, attempt, made = (sdk.span(name) for name in (f"send {queue}", f"process {queue}", f"create {onward}"))
    (started,) = (event for event in journal.events if isinstance(event, AttemptStarted))
    assert sent.kind is SpanKind.PRODUCER
    assert (attempt.attributes or {})["messaging.system"] == "aws_sqs"
    assert sent.context is not None
    assert attempt.context is not None
    assert made.context is not None
    assert attempt.context.trace_id == sent.context.trace_id == made.context.trace_id
    assert started.trace_parent == _as_w3c(attempt.context)
    assert raw.message.attributes["traceparent"] == _as_w3c(made.context)


def _as_w3c(context: SpanContext) -> str:
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
