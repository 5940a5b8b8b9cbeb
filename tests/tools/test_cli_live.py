"""The command line beside live engines: sending, running, draining, following, and the operators' commands."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest

from queue_runtime.engine.control import ask
from queue_runtime.providers.memory import MemoryBroker, QueueSettings
from queue_runtime.providers.memory.server import MemoryBrokerServer
from queue_runtime.providers.message import QueueName

pytestmark = pytest.mark.blocks_loop  # these tests read files and start processes

QUEUE = QueueName("webhooks")
PUSH = '{"event": "push", "payload": {"ref": "refs/heads/main"}}\n'
BOT = """
import asyncio

from queue_runtime.plugins import Router

router = Router()
plugins = [router]

@router.on("push")
async def on_push(event: dict) -> None:
    pass

@router.on("issues")
async def on_issue(event: dict) -> None:
    await asyncio.sleep(3_600)
"""


class Site:
    """A served broker, a folder, and processes of the command line over both."""

    def __init__(self, folder: Path, broker: MemoryBroker, address: str) -> None:
        self.folder = folder
        self.broker = broker
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("QUEUE_")} | {
            "QUEUE_PROVIDER": "memory",
            "QUEUE_MEMORY_ADDRESS": address,
            "QUEUE_NAME": str(QUEUE),
            "QUEUE_ENGINE_RECEIVE_WAIT_S": "0.2",
            "QUEUE_ENGINE_DRAIN_S": "0.1",
        }

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        """Start a command; its output is read by the test."""
        pipe = asyncio.subprocess.PIPE
        command = (sys.executable, "-m", "queue_runtime.tools.cli", *arguments)
        return await asyncio.create_subprocess_exec(
            *command, env=self._environment, cwd=self.folder, stdin=pipe, stdout=pipe, stderr=pipe
        )

    async def call(self, *arguments: str, text: str = "") -> tuple[int, str, str]:
        """Run a command to its end."""
        process = await self.start(*arguments)
        out, errors = await asyncio.wait_for(process.communicate(text.encode()), 30)
        assert process.returncode is not None
        return process.returncode, out.decode(), errors.decode()

    @asynccontextmanager
    async def engine(self) -> AsyncGenerator[asyncio.subprocess.Process]:
        """Run an engine with the bot above, and end it for good whatever happens."""
        process = await self.start("run", "--plugin", "bot", "--journal", "journal")
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    async def until_empty(self) -> None:
        """Return when the queue is."""
        async with asyncio.timeout(30):
            while self.broker.counts(QUEUE).active or self.broker.counts(QUEUE).in_flight:  # noqa: ASYNC110 - another process works
                await asyncio.sleep(0.02)

    async def until(self, **figures: int) -> None:
        """Return when the engine answers, and its status has these figures."""
        async with asyncio.timeout(30):
            while not figures.items() <= (await self._status()).items():  # noqa: ASYNC110 - another process works
                await asyncio.sleep(0.02)

    async def _status(self) -> dict[str, object]:
        try:
            answer = await ask(self.folder / "journal", {"op": "status"})
        except OSError:
            return {}
        return {k: v for k, v in cast("dict[str, object]", answer["status"]).items() if isinstance(v, int)}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncGenerator[Site]:
    """A broker that serves one queue."""
    (tmp_path / "bot.py").write_text(BOT)
    broker = MemoryBroker({QUEUE: QueueSettings(max_deliveries=20)})
    async with MemoryBrokerServer(broker, 0) as server:
        yield Site(tmp_path, broker, server.address)


async def test_what_is_sent_is_handled_and_sigterm_drains(site: Site) -> None:
    """`send` puts webhooks in a queue, `run` handles them with a bot of this folder, SIGTERM ends it with 0."""
    (site.folder / "webhooks.jsonl").write_text(PUSH * 2)

    code, out, _ = await site.call("send", "webhooks.jsonl", "--json")
    async with site.engine() as engine:
        await site.until_empty()
        engine.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(engine.wait(), 30) == 0
    ids = [json.loads(line)["message_id"] for line in out.splitlines()]
    shown = await site.call("journal", "show", ids[1], "--json")

    assert code == 0
    assert len(set(ids)) == 2  # the same line twice is two webhooks
    assert json.loads(shown[1].splitlines()[-1])["event"] == "Settled"


async def test_bodies_are_sent_from_standard_input_and_files(site: Site) -> None:
    """`send --event` takes each file as one body; a JSON object gets the order of its pull request."""
    body = {"action": "opened", "number": 7, "pull_request": {"number": 7}, "repository": {"full_name": "octo/repo"}}
    (site.folder / "note.txt").write_text("no JSON\n")

    code, out, _ = await site.call("send", "-", "note.txt", "--event", "pull_request", text=json.dumps(body))
    lines_code, _, _ = await site.call("send", "-", text=PUSH)

    webhook, note, push = site.broker.messages(QUEUE)
    assert (code, lines_code) == (0, 0)
    assert out.split() == [webhook.message_id, note.message_id]
    assert webhook.session_id == "octo/repo/pull/7"
    assert webhook.attributes["event"] == "pull_request.opened"
    assert note.body == b"no JSON\n"
    assert push.attributes["event"] == "push"


async def test_a_file_that_cannot_be_read_sends_nothing(site: Site) -> None:
    """One wrong line among many files: an error, and an empty queue."""
    (site.folder / "good.jsonl").write_text(PUSH)
    (site.folder / "bad.jsonl").write_text(PUSH + "[]\n")

    code, out, errors = await site.call("send", "good.jsonl", "bad.jsonl")

    assert (code, out) == (1, "")
    assert "line 2 of bad.jsonl" in errors
    assert site.broker.messages(QUEUE) == []


async def test_K32_a_journal_has_one_engine(site: Site) -> None:
    """A second `run` on a journal that is open says who has it."""
    async with site.engine() as engine:
        await site.until(running=0)
        code, _, errors = await site.call("run", "--plugin", "bot", "--journal", "journal")

    assert code == 1
    assert f"open in process {engine.pid}" in errors


async def test_tail_follows_a_live_journal(site: Site) -> None:
    """`journal tail --follow` prints what an engine appends while it looks; Ctrl-C ends it with 0."""
    async with site.engine():
        await site.until(running=0)
        tail = await site.start("journal", "tail", "--follow", "--json")
        assert tail.stdout is not None
        await site.call("send", "-", text=PUSH)
        async with asyncio.timeout(30):
            while json.loads(await tail.stdout.readline())["event"] != "Completed":
                pass
        tail.send_signal(signal.SIGINT)
        await asyncio.wait_for(tail.communicate(), 30)

    assert tail.returncode == 0


async def test_operators_see_and_steer_a_live_engine(site: Site) -> None:
    """`control` says what runs, refuses with a reason what cannot be, and dead-letters what waits, by whom and why."""
    issue = json.dumps({"action": "opened", "issue": {"number": 1}, "repository": {"full_name": "octo/repo"}})
    async with site.engine():
        _, out, _ = await site.call("send", "-", "--event", "issues", text=issue)
        _, behind, _ = await site.call("send", "-", "--event", "issues", text=issue)
        await site.until(running=1, in_flight=2)
        buried = await site.call(
            "control", "dead-letter", f"{QUEUE}/{behind.strip()}", "--why", "stale", "--who", "ann"
        )
        code, plain, _ = await site.call("control", "status")
        _, for_programs, _ = await site.call("control", "status", "--json")
        key = f"{QUEUE}/{out.strip()}"
        running = await site.call("control", "dead-letter", key, "--why", "a test")
        parked = await site.call("control", "resume", str(QUEUE), "octo/repo/issue/1", "--why", "a test")
        idle = await site.call("control", "release", str(QUEUE), "nothing/of/this/1", "--why", "a test")
        closed = await site.call("control", "reset", "no.such.route", "--why", "a test")
        without = await site.call("control", "reset", "no.such.route")
        _, life, _ = await site.call("journal", "show", behind.strip())

    assert code == 0
    assert "running          1" in plain
    assert json.loads(for_programs)["ready"] is True
    assert buried[:2] == (0, "done\n")
    assert "asked for by ann: stale" in life
    assert running[0] == parked[0] == idle[0] == closed[0] == 1
    assert "does not wait here" in running[2]
    assert "is not parked" in parked[2]
    assert "nothing waits" in idle[2]
    assert "no open breaker" in closed[2]
    assert without[0] == 2
