"""Encrypted bodies in an engine: the journal and the broker hold what travels, and a handler sees what was sent."""

import asyncio
import base64
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from queue_runtime.engine import Context, Engine
from queue_runtime.journal.events import (
    AttemptFailed,
    AttemptStarted,
    Completed,
    DeadLettered,
    Duplicate,
    OutgoingSent,
    Received,
    Settled,
)
from queue_runtime.plugins import DeliveryInfo, PermanentError, Router, TransientError, hookimpl
from queue_runtime.plugins.encryption import Encryption, EncryptionPolicy, Key, MemoryKeys
from queue_runtime.providers.client import QueueClient
from queue_runtime.providers.clock import SystemClock, Timestamp
from queue_runtime.providers.memory import MemoryBrokerServer, MemoryProvider
from queue_runtime.providers.message import Message
from queue_runtime.providers.redrive import redriven
from tests.engine.bench import OUT, QUEUE, Bench

MATERIAL = bytes(range(1, 33))
PLAIN = b"the plaintext that only the handler sees"
ANSWER = b"the answer that only its receiver sees"


def _cipher(*ids: str, **policy: object) -> Encryption:
    keys = MemoryKeys(Key(name, MATERIAL, Timestamp(place)) for place, name in enumerate(ids or ("k1",)))
    return Encryption(keys, EncryptionPolicy(**policy))  # pyright: ignore[reportArgumentType]


def _client(bench: Bench, cipher: Encryption | None = None) -> QueueClient:
    return QueueClient(MemoryProvider(bench.broker), timeout_s=10.0, cipher=cipher or _cipher())


def _plain_client(bench: Bench) -> QueueClient:
    return QueueClient(MemoryProvider(bench.broker), timeout_s=10.0)


class Bot:
    """Notes what its handler is given, answers, and fails as often as it is told."""

    def __init__(self, *failures: Exception) -> None:
        self.seen: list[tuple[bytes, str | None]] = []
        self.answers = False
        self.router = Router()
        self.failures = list(failures)
        self.router.on("*")(self._handle)

    async def _handle(self, ctx: Context) -> None:
        self.seen.append((ctx.body, ctx.delivery.message.session_id))
        if self.failures:
            raise self.failures.pop(0)
        if self.answers:
            await ctx.send(OUT, ANSWER, session_id="out")


def _encrypted(**policy: object) -> Bench:
    bench = Bench(lock_s=30.0)
    bench.cipher = lambda: _cipher(**policy)
    return bench


async def test_L24_handlers_see_plaintext_and_the_journal_holds_ciphertext() -> None:
    """What is received and what is sent: in the journal, and on the broker, it is as it travels."""
    bench, bot = _encrypted(plain="reject"), Bot()
    bot.answers = True
    async with _client(bench) as client, bench.engine(bot.router):
        await client.send(QUEUE, Message(PLAIN, session_id="s1"))
        await bench.until(lambda: bench.count(OutgoingSent) == 1)
        answer = await client.receive(OUT)

    async with _plain_client(bench) as looking:
        (travels,) = await looking.peek(OUT)
    assert bot.seen == [(PLAIN, "s1")]
    assert answer is not None
    assert answer.message.body == ANSWER
    assert travels.message.body.startswith(b"QRE1\x01")
    (received,) = bench.of(Received)
    assert isinstance(received, Received)
    assert received.body.startswith(b"QRE1\x01")
    for event in bench.journal.events:
        bodies = [getattr(event, "body", b""), *(sent.body for sent in getattr(event, "outgoing", ()))]
        assert not [body for body in bodies if PLAIN in body or ANSWER in body]
        assert PLAIN.decode() not in repr(event)


async def test_a_plain_handler_in_a_thread_gets_the_same() -> None:
    """And sends encrypted through `ctx.run`."""
    bench, router = _encrypted(), Router()
    seen: list[bytes] = []

    @router.on("*")
    def handle(event: bytes, ctx: Context) -> None:
        seen.append(event)
        ctx.run(ctx.send(OUT, ANSWER))

    async with _client(bench) as client, bench.engine(router):
        await client.send(QUEUE, Message(PLAIN))
        answer = await client.receive(OUT)

    assert seen == [PLAIN]
    assert answer is not None
    assert (answer.message.body, answer.sealed is None) == (ANSWER, False)


async def test_L25_what_does_not_authenticate_is_dead_lettered_as_it_came() -> None:
    """At once, with the reason, and its handler never hears of it."""
    bench, bot = _encrypted(), Bot()
    good = await _cipher().seal(QUEUE, Message(PLAIN, message_id="m1"))
    forged = replace(good, body=good.body[:-1] + bytes((good.body[-1] ^ 1,)))
    await bench.send(forged)
    async with bench.engine(bot.router):
        await bench.until(lambda: bench.dead_letters == 1)

    (dead,) = bench.of(DeadLettered)
    assert isinstance(dead, DeadLettered)
    assert dead.error_kind == "DecryptionFailed"
    assert bot.seen == []
    assert bench.count(AttemptStarted) == 1
    async with _client(bench) as client:
        buried = await client.dead_letters(QUEUE).receive()
    assert buried is not None
    assert buried.message.body == forged.body
    assert buried.dead_letter is not None
    assert "k1" in buried.dead_letter.description


async def test_L28_a_message_whose_key_comes_later_is_handled_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing key is waited for."""
    monkeypatch.setattr("queue_runtime.providers.errors.KeyNotFound.retry_after_s", 0.05)
    keys = MemoryKeys((Key("old", MATERIAL),))
    bench, bot = Bench(lock_s=30.0), Bot()
    bench.cipher = lambda: Encryption(keys)
    await bench.send(await _cipher("new").seal(QUEUE, Message(PLAIN)))
    async with bench.engine(bot.router, max_attempts=50, breaker_failures=1_000):
        await bench.until(lambda: bench.count(AttemptFailed) > 0)
        keys.add(Key("new", MATERIAL, Timestamp(2)))
        await bench.until_empty()

    (failed, *_) = bench.of(AttemptFailed)
    assert isinstance(failed, AttemptFailed)
    assert (failed.error_kind, failed.transient) == ("KeyNotFound", True)
    assert "'new'" in failed.error_text
    assert bot.seen == [(PLAIN, None)]


async def test_an_engine_without_keys_gives_no_ciphertext_to_a_handler() -> None:
    """It says which key it has not, and tries again; what is marked and no envelope is dead-lettered."""
    bench, bot = Bench(lock_s=30.0), Bot()
    await bench.send(await _cipher().seal(QUEUE, Message(PLAIN)), Message(b"QRE1 a text"), Message(b"plain"))
    async with bench.engine(bot.router):
        await bench.until(lambda: bench.count(AttemptFailed) == 2 and bench.count(Completed) == 1)

    failed = {event.error_kind: event for event in bench.of(AttemptFailed) if isinstance(event, AttemptFailed)}
    assert failed["KeyNotFound"].retry_at is not None
    assert failed["UnsupportedVersion"].retry_at is None
    assert bot.seen == [(b"plain", None)]


async def test_L37_a_plain_message_is_refused_where_the_policy_says_so() -> None:
    """Its handler does not see it."""
    bench, bot = _encrypted(plain="reject"), Bot()
    await bench.send(Message(PLAIN))
    async with bench.engine(bot.router):
        await bench.until(lambda: bench.dead_letters == 1)

    (dead,) = bench.of(DeadLettered)
    assert isinstance(dead, DeadLettered)
    assert dead.error_kind == "UnencryptedMessage"
    assert bot.seen == []


class _HoursAgo(SystemClock):
    def now(self) -> Timestamp:
        return Timestamp(super().now() - 2 * 3_600_000_000)


async def test_L26_a_replayed_message_is_dead_lettered_and_a_retried_one_is_not() -> None:
    """Age is judged when the broker takes a message; how long it stays here afterwards does not count."""
    bench, bot = _encrypted(max_age_s=3_600.0), Bot(TransientError(retry_after_s=0.3))
    keys = MemoryKeys((Key("k1", MATERIAL),))
    await bench.send(await Encryption(keys, clock=_HoursAgo()).seal(QUEUE, Message(b"recorded")))
    async with _client(bench) as client, bench.engine(bot.router):
        await client.send(QUEUE, Message(PLAIN))
        await bench.until(lambda: bench.count(Completed) == 1 and bench.dead_letters == 1)

    (dead,) = bench.of(DeadLettered)
    assert isinstance(dead, DeadLettered)
    assert dead.error_kind == "MessageExpired"
    assert "3600 s" in dead.description
    assert bot.seen == [(PLAIN, None)] * 2


class _Renames:
    """Puts every message into a session of its own choice."""

    @hookimpl
    def queue_runtime_session_id(self, info: DeliveryInfo) -> str | None:
        return f"plugin/{info.message.message_id}"


@pytest.mark.parametrize("session_id", [None, "sender"])
async def test_a_message_opens_after_a_restart_whatever_session_it_was_put_into(session_id: str | None) -> None:
    """The journal keeps the session that it was sent with, for the body is bound to that; a dead letter carries it."""
    bench = _encrypted()
    hanging = Router()
    begun = asyncio.Event()

    @hanging.on("*")
    async def hang(ctx: Context) -> None:
        assert ctx.body == PLAIN
        begun.set()
        await asyncio.Event().wait()

    async with _client(bench) as client, bench.crashing_engine(hanging, _Renames()):
        await client.send(QUEUE, Message(PLAIN, session_id=session_id))
        await asyncio.wait_for(begun.wait(), 30)
    bot = Bot(PermanentError("no"))
    async with bench.engine(bot.router, _Renames()):
        await bench.until(lambda: bench.dead_letters == 1)
    async with _client(bench) as client:
        buried = await client.dead_letters(QUEUE).receive()
        assert buried is not None
        await client.dead_letters(QUEUE).redrive(buried)
    async with bench.engine(bot.router, _Renames()):
        await bench.until_empty()

    assert bot.seen == [(PLAIN, session_id)] * 2


@pytest.mark.parametrize("has_keys", [True, False], ids=["encrypted anew", "as it travelled"])
async def test_a_dead_letter_is_redriven_and_handled(*, has_keys: bool) -> None:
    """By a tool with keys or without; it arrives under a new id, and opens."""
    bench, bot = _encrypted(max_age_s=3_600.0), Bot(PermanentError("not yet"))
    async with _client(bench) as client, bench.engine(bot.router):
        await client.send(QUEUE, Message(PLAIN))
        await bench.until(lambda: bench.dead_letters == 1)
        async with _client(bench) if has_keys else _plain_client(bench) as tool:
            dead = await tool.dead_letters(QUEUE).receive()
            assert dead is not None
            assert PLAIN not in dead.message.body
            await tool.dead_letters(QUEUE).redrive(dead)
        await bench.until(lambda: bench.count(Completed) == 1)

    first, second = (event for event in bench.of(Received) if isinstance(event, Received))
    assert second.message_id == redriven(Message(b"", message_id=first.message_id)).message_id
    assert (first.body == second.body) is not has_keys
    assert bot.seen == [(PLAIN, None)] * 2


async def test_a_message_that_another_process_sends_again_is_not_run_again(caplog: pytest.LogCaptureFixture) -> None:
    """Its bytes are others, for no encryption gives the same twice; that its id was completed is enough."""
    bench, bot = _encrypted(), Bot()
    async with _client(bench) as first, _client(bench) as second, bench.engine(bot.router):
        await first.send(QUEUE, Message(PLAIN, message_id="m1"))
        await bench.until(lambda: bench.count(Settled) == 1)
        await second.send(QUEUE, Message(PLAIN, message_id="m1"))
        await bench.until(lambda: bench.count(Settled) == 2)

    assert bot.seen == [(PLAIN, None)]
    assert bench.count(Duplicate) == 1
    assert "another body" not in caplog.text


async def test_a_forged_message_does_not_stand_in_for_the_real_one() -> None:
    """It comes first under the same id, and is dead-lettered; the real one is run."""
    bench, bot = _encrypted(), Bot()
    real = await _cipher().seal(QUEUE, Message(PLAIN, message_id="m1"))
    await bench.send(replace(real, body=real.body[:-1] + bytes((real.body[-1] ^ 1,))), real)
    async with bench.engine(bot.router):
        await bench.until(lambda: bench.count(Completed) == 1 and bench.dead_letters == 1)

    assert bot.seen == [(PLAIN, None)]


async def test_without_a_key_to_encrypt_with_an_attempt_fails_and_sends_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its answer would else go plain, or be lost."""
    monkeypatch.setattr("queue_runtime.providers.errors.KeyNotFound.retry_after_s", 0.05)
    keys = MemoryKeys()
    bench, bot = Bench(lock_s=30.0), Bot()
    bot.answers = True
    bench.cipher = lambda: Encryption(keys)
    await bench.send(Message(PLAIN))
    async with bench.engine(bot.router, max_attempts=50, breaker_failures=1_000):
        await bench.until(lambda: bench.count(AttemptFailed) > 0)
        assert bench.count(Completed) == 0
        keys.add(Key("k1", MATERIAL))
        await bench.until(lambda: bench.count(OutgoingSent) == 1)
    async with _client(bench) as client:
        answer = await client.receive(OUT)

    assert answer is not None
    assert answer.message.body == ANSWER


async def test_a_client_puts_aside_what_does_not_open(caplog: pytest.LogCaptureFixture) -> None:
    """The rest of the batch is received; what can never be opened is a dead letter as it came."""
    bench = Bench(lock_s=30.0)
    good = await _cipher().seal(QUEUE, Message(PLAIN))
    forged = replace(good, body=good.body[:-1] + bytes((good.body[-1] ^ 1,)))
    async with _client(bench) as client:
        await bench.send(forged, await _cipher("unknown").seal(QUEUE, Message(b"later")), good)
        received = await client.receive_batch(QUEUE, 10)
        buried = await client.dead_letters(QUEUE).receive()
        for delivery in received:
            await client.complete(delivery)

    assert [delivery.message.body for delivery in received] == [PLAIN]
    assert buried is not None
    assert buried.message.body == forged.body
    assert buried.dead_letter is not None
    assert buried.dead_letter.reason == "DecryptionFailed"
    assert bench.left == 1  # its key may come
    assert [record.levelno for record in caplog.records if "put aside" in record.message] == [logging.ERROR] * 2


async def test_a_client_that_dead_letters_what_it_opened_buries_ciphertext() -> None:
    """A dead letter is no way around the encryption."""
    bench = Bench(lock_s=30.0)
    async with _client(bench) as client:
        await client.send(QUEUE, Message(PLAIN))
        delivery = await client.receive(QUEUE)
        assert delivery is not None
        assert delivery.message.body == PLAIN
        await client.dead_letter(delivery, "odd")
        buried = await client.dead_letters(QUEUE).receive()

    assert buried is not None
    assert buried.message == delivery.sealed


async def test_L32_encryption_is_on_by_settings_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a client and an engine: no line of the bot knows of it."""
    bench, bot = Bench(lock_s=30.0), Bot()
    bot.answers = True
    async with MemoryBrokerServer(bench.broker, tmp_path / "b") as server:
        monkeypatch.setenv("QUEUE_PROVIDER", "memory")
        monkeypatch.setenv("QUEUE_MEMORY_ADDRESS", str(server.address))
        monkeypatch.setenv("QUEUE_ENCRYPTION_ENABLED", "true")
        monkeypatch.setenv("QUEUE_ENCRYPTION_PLAIN", "reject")
        monkeypatch.setenv("QUEUE_ENCRYPTION_KEYS", f"k1:{base64.b64encode(MATERIAL).decode()}")
        monkeypatch.setenv("QUEUE_ENGINE_JOURNAL", str(tmp_path / "journal"))
        monkeypatch.setenv("QUEUE_ENGINE_QUEUES", QUEUE)
        async with QueueClient.from_settings() as client, Engine.from_settings(plugins=[bot.router]) as engine:
            running = asyncio.create_task(engine.run(handle_signals=False))
            await client.send(QUEUE, Message(PLAIN))
            async with _plain_client(bench) as looking:
                travels = await looking.receive(OUT, timeout_s=30)
            await engine.drain()
            await running

    assert bot.seen == [(PLAIN, None)]
    assert travels is not None
    assert (await _cipher().open(travels)).message.body == ANSWER


async def test_L32_without_encryption_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What opens and seals bodies is not even called."""

    async def called(*_: object) -> None:
        msg = "nothing is encrypted here"
        raise AssertionError(msg)

    monkeypatch.setattr("queue_runtime.engine.bodies.Bodies.opened", called)
    bench, bot = Bench(lock_s=30.0), Bot()
    bot.answers = True
    await bench.send(Message(PLAIN))
    async with bench.engine(bot.router):
        await bench.until(lambda: bench.count(OutgoingSent) == 1)
    (completed,) = bench.of(Completed)

    assert isinstance(completed, Completed)
    assert [sent.body for sent in completed.outgoing] == [ANSWER]
    assert bot.seen == [(PLAIN, None)]
