"""Encrypted bodies over SQS: through envelope, groups, dead letters and redrives, with the SDK on recorded rules."""

import asyncio
from dataclasses import replace

from queue_runtime.engine import Context, Engine, EngineSettings
from queue_runtime.journal import MemoryJournal
from queue_runtime.journal.events import Completed, DeadLettered, OutgoingSent, Received
from queue_runtime.plugins import PermanentError, Router
from queue_runtime.plugins.encryption import Encryption, EncryptionPolicy, Key, MemoryKeys
from queue_runtime.providers import QueueClient
from queue_runtime.providers.message import Message
from queue_runtime.providers.sqs import SqsProvider
from tests.sqs.servers import SqsHarness
from tests.sqs.strict import StrictServer
from tests.sqs.test_engine_over_sqs import kinds, until

MATERIAL = bytes(range(1, 33))
PLAIN, ANSWER = b"what only the handler sees", b"what only its receiver sees"


def _cipher() -> Encryption:
    return Encryption(MemoryKeys((Key("k1", MATERIAL),)), EncryptionPolicy(plain="reject", max_age_s=3_600.0))


@kinds
async def test_L24_encrypted_messages_pass_through_sqs(strict: StrictServer, *, is_fifo: bool) -> None:
    """Opened for the handler, answered encrypted, a forged one dead-lettered as it came, and a dead one redriven."""
    harness = SqsHarness(strict, is_fifo=is_fifo)
    queue, out = await harness.make(max_deliveries=20), await harness.make()
    journal, router, seen = MemoryJournal(), Router(), list[tuple[bytes, str | None]]()

    @router.on("*")
    async def handle(ctx: Context) -> None:
        seen.append((ctx.body, ctx.delivery.message.session_id))
        if ctx.body == b"fail" and len(seen) < 3:
            msg = "not yet"
            raise PermanentError(msg)
        await ctx.send(out, ANSWER, session_id="out")

    def provider() -> SqsProvider:
        return SqsProvider(harness.settings(), strict.clock)

    def count(*kinds: type[object]) -> int:
        return sum(isinstance(event, kinds) for event in journal.events)

    settings = EngineSettings.model_validate({"queues": (queue,), "receive_wait_s": 0.05})
    raw = QueueClient(provider())
    async with raw, QueueClient(provider(), cipher=_cipher()) as client:
        async with Engine(settings, provider(), journal, [router], strict.clock, _cipher()) as engine:
            engine_run = _running(engine)
            await client.send(queue, Message(PLAIN, session_id="s"))
            await until(lambda: count(OutgoingSent) == 1)
            good = await _cipher().seal(queue, Message(b"real", message_id="m", session_id="f"))
            forged = replace(good, body=good.body[:-1] + bytes((good.body[-1] ^ 1,)))
            await raw.send(queue, forged)
            await client.send(queue, Message(b"fail", session_id="s"))
            await until(lambda: count(DeadLettered) == 2)
            buried = [await client.dead_letters(queue).receive(timeout_s=10) for _ in range(2)]
            bodies = [dead.message.body for dead in buried if dead is not None]
            for dead in buried:
                assert dead is not None
                if dead.message.message_id != "m":
                    await client.dead_letters(queue).redrive(dead)
            await until(lambda: count(OutgoingSent) == 2)
            await engine.drain(5)
            await engine_run
        answer = await client.receive(out, timeout_s=10)

    assert seen == [(PLAIN, "s"), (b"fail", "s"), (b"fail", "s")]
    assert answer is not None
    assert (answer.message.body, answer.message.session_id) == (ANSWER, "out")
    assert answer.as_sent.body.startswith(b"QRE1\x01")
    assert forged.body in bodies
    assert all(body.startswith(b"QRE1\x01") for body in bodies)
    received = [event for event in journal.events if isinstance(event, Received)]
    assert all(event.body.startswith(b"QRE1\x01") for event in received)
    assert count(Completed) == 2
    reasons = {event.error_kind for event in journal.events if isinstance(event, DeadLettered)}
    assert reasons == {"DecryptionFailed", "PermanentError"}


def _running(engine: Engine) -> "asyncio.Task[None]":
    return asyncio.create_task(engine.run(handle_signals=False))
