"""Strings planted where secrets are: no log, repr, error, journal field or command shows one."""

import asyncio
import base64
import dataclasses
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from queue_runtime.engine import Context, Engine, EngineSettings
from queue_runtime.journal import JournalReader, MemoryJournal, SqliteJournal
from queue_runtime.journal.events import AttemptFailed, DeadLettered, Event, Received
from queue_runtime.plugins import PermanentError, Router
from queue_runtime.providers import QueueClient
from queue_runtime.providers.errors import InvalidSettings
from queue_runtime.providers.memory import MemoryBroker, MemoryProvider, QueueSettings
from queue_runtime.providers.message import Message, QueueName
from queue_runtime.providers.registry import cipher_from_settings
from queue_runtime.providers.settings import LayeredSettings, ProviderSettings
from queue_runtime.providers.sqs import SqsProvider
from queue_runtime.tools.cli import main
from tests.sqs.servers import CREDENTIALS, SqsHarness
from tests.sqs.strict import strict_server

pytestmark = pytest.mark.blocks_loop  # the command line has no loop of its own to block

QUEUE = QueueName("q")
BODY = "planted-body-5d1f"
MATERIAL = b"planted-encryption-key-of-32-by!"
KEY = base64.b64encode(MATERIAL).decode()
HEAD_KEY = "planted-head-key-93c2"
AWS_SECRET, AWS_TOKEN = "planted-aws-secret-77aa", "planted-aws-token-18bd"
SECRETS = (BODY, KEY, MATERIAL.decode(), MATERIAL.hex(), HEAD_KEY, AWS_SECRET, AWS_TOKEN)
CREDENTIAL = re.compile(r"(?:^|_)(?:keys?|secrets?|tokens?|passwords?|connection_string|sas|credentials?)(?:_|$)")
NO_SECRETS = {"recent_keys", "encryption_key_file", "encryption_key_ttl_s"}
CLASSES: tuple[type[LayeredSettings], ...] = (EngineSettings, ProviderSettings)
SECRET_FIELDS = [
    (settings, name) for settings in CLASSES for name, field in settings.model_fields.items()
    if "SecretStr" in str(field.annotation)
]  # fmt: skip


def _shown(texts: Iterator[str] | list[str], *others: str) -> list[tuple[str, str]]:
    return [(secret, text[:300]) for text in texts for secret in (*SECRETS, *others) if secret in text]


def _logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What our loggers said, with every field. The SDK's own debug log has bodies, and is its operator's choice."""
    records = [record for record in caplog.records if record.name.startswith("queue_runtime")]
    return [f"{record.getMessage()} {record.__dict__} {record.exc_info}" for record in records]


def _outside_of_bodies(event: Event) -> str:
    """An event without the columns that are for bodies and receipts."""
    fields = {name: getattr(event, name) for name in event.__dataclass_fields__}
    for name in ("body", "receipt", "result", "state"):
        fields.pop(name, None)
    if "outgoing" in fields:
        fields["outgoing"] = [{**dataclasses.asdict(sent), "body": b""} for sent in fields["outgoing"]]
    return f"{fields} {event!r}"


def _receipts(events: Iterator[Event] | list[Event]) -> list[str]:
    return [receipt for event in events if (receipt := getattr(event, "receipt", ""))]


def test_every_field_for_a_credential_is_a_secret() -> None:
    """A setting whose name says that it holds one cannot be printed; a new one is found by its name."""
    named = {
        (settings, name) for settings in CLASSES for name in settings.model_fields
        if CREDENTIAL.search(name) and name not in NO_SECRETS
    }  # fmt: skip

    assert named == set(SECRET_FIELDS)
    assert len(named) >= 2


@pytest.mark.parametrize(("settings", "name"), SECRET_FIELDS, ids=lambda value: getattr(value, "__name__", value))
def test_N13_a_credential_in_the_settings_is_not_shown(settings: type[LayeredSettings], name: str) -> None:
    """Neither by the settings, nor by what is wrong with them or with another of them."""
    planted = "planted-credential-4e6d"
    given: dict[str, object] = {"provider": "memory"} if settings is ProviderSettings else {}
    read = settings.model_validate({**given, name: planted})
    texts = [repr(read), str(read), str(read.model_dump()), read.model_dump_json()]
    for wrong in ({name: [planted]}, {name: planted, "misspelt": planted}):
        with pytest.raises(ValidationError) as caught:
            settings.model_validate({**given, **wrong})
        with pytest.raises(InvalidSettings) as told:
            settings.load(**{**given, **wrong})
        texts += [str(caught.value), str(told.value)]

    secret: object = getattr(read, name)
    assert isinstance(secret, SecretStr)
    assert secret.get_secret_value() == planted
    assert [text for text in texts if planted in text] == []


def _router() -> Router:
    """Handlers that fail in ways of their own, none of which shows the body."""
    router = Router()

    @router.on("typed")
    async def typed(event: dict[str, object]) -> None:
        del event

    @router.on("*")
    async def handle(ctx: Context) -> None:
        await ctx.step("step", lambda: len(ctx.body))
        if ctx.delivery.message.attributes.get("event") == "fail":
            msg = "the handler's own words"
            raise PermanentError(msg)
        await ctx.send(QueueName("out"), BODY.encode())

    return router


def _messages() -> list[Message]:
    return [Message(BODY.encode(), attributes={"event": event}) for event in ("fail", "typed", "pass")]


async def _until(journal: MemoryJournal, dead: int) -> None:
    async with asyncio.timeout(30):
        while sum(isinstance(event, DeadLettered) for event in journal.events) < dead or not journal.events:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_N13_nothing_planted_is_shown_over_sqs(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With plain bodies: log at level debug, reprs, and every field of the journal but bodies and receipts."""
    for name, value in {**CREDENTIALS, "AWS_SECRET_ACCESS_KEY": AWS_SECRET, "AWS_SESSION_TOKEN": AWS_TOKEN}.items():
        monkeypatch.setenv(name, value)
    journal = MemoryJournal()
    async with strict_server() as server:
        harness = SqsHarness(server, is_fifo=False)
        queue = await harness.make(max_deliveries=20)
        settings = EngineSettings.model_validate({"queues": (queue,), "receive_wait_s": 0.05})
        provider = SqsProvider(harness.settings(), server.clock)
        with caplog.at_level(logging.DEBUG):
            async with (
                QueueClient(SqsProvider(harness.settings(), server.clock)) as client,
                Engine(settings, provider, journal, [_router()], server.clock) as engine,
            ):
                running = asyncio.create_task(engine.run(handle_signals=False))
                await client.send_batch(queue, _messages())
                await _until(journal, 2)
                await engine.drain(5)
                await running
                dead = await client.dead_letters(queue).receive(timeout_s=10)
    receipts = _receipts(list(journal.events))
    texts = [*map(_outside_of_bodies, journal.events), *_logged(caplog), repr(dead), repr(provider), repr(settings)]

    assert dead is not None
    assert BODY.encode() in dead.message.body
    assert len(receipts) >= 3
    assert _shown(texts, *receipts, dead.receipt.handle) == []
    assert {event.error_kind for event in journal.events if isinstance(event, AttemptFailed)} >= {"PermanentError"}


async def _run_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run an engine with every secret that there is, and return how many events it left."""
    for name, value in {
        "QUEUE_PROVIDER": "memory",
        "QUEUE_ENCRYPTION_ENABLED": "true",
        "QUEUE_ENCRYPTION_KEYS": f"k1:{KEY}",
        "QUEUE_ENGINE_JOURNAL_HEAD_KEY": HEAD_KEY,
        "QUEUE_ENGINE_JOURNAL": str(folder),
    }.items():
        monkeypatch.setenv(name, value)
    settings, chosen = EngineSettings.model_validate({"queues": (QUEUE,)}), ProviderSettings.load()
    broker = MemoryBroker({QUEUE: QueueSettings(max_deliveries=100), QueueName("out"): QueueSettings()})
    journal = await SqliteJournal.open(folder, settings.journal_settings())
    cipher = cipher_from_settings(chosen)
    async with (
        QueueClient(MemoryProvider(broker), cipher=cipher_from_settings(chosen)) as client,
        Engine(settings, MemoryProvider(broker), journal, [_router()], cipher=cipher) as engine,
    ):
        running = asyncio.create_task(engine.run(handle_signals=False))
        await client.send_batch(QUEUE, _messages())
        async with asyncio.timeout(30):
            while broker.counts(QUEUE).dead_letters < 2 or broker.counts(QUEUE).active:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await engine.drain(5)
        await running
        assert _shown([repr(client), repr(engine), repr(cipher), repr(settings), repr(chosen), repr(journal)]) == []
    await journal.close()
    with JournalReader(folder) as reader:
        events = [entry.event for entry in reader.entries()]
    for event in events:
        assert event is not None
        assert _shown([_outside_of_bodies(event)]) == []
        if isinstance(event, Received):
            assert BODY.encode() not in event.body
    return len(events)


def test_N13_nothing_planted_is_shown_by_journal_log_and_commands(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With encrypted bodies: the files of the journal hold no plaintext and no key; commands show none."""
    folder = tmp_path / "journal"
    with caplog.at_level(logging.DEBUG):
        count = asyncio.run(_run_in(folder, monkeypatch))
    for arguments in (
        ("config",),
        ("journal", "stat", str(folder)),
        ("journal", "tail", str(folder)),
        ("journal", "verify", str(folder)),
    ):
        monkeypatch.setattr(sys, "argv", ["queue-runtime", *arguments])
        with suppress(SystemExit):  # the commands that end well
            main()
    printed = capsys.readouterr()

    assert count > 10
    assert "journal_head_key" in printed.out
    assert _shown([printed.out, printed.err, *_logged(caplog)]) == []
    for path in folder.rglob("*"):
        content = path.read_bytes() if path.is_file() and not path.is_socket() else b""
        assert [secret for secret in SECRETS if secret.encode() in content] == []
