"""The command line beside live engines: sending, running, draining, following, and the operators' commands."""

import asyncio
import json
import signal
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from queue_runtime.journal import JournalReader
from queue_runtime.providers.memory import MemoryBroker, QueueSettings
from queue_runtime.providers.memory.server import MemoryBrokerServer
from tests.tools.site import PATIENCE_S, QUEUE, Site

pytestmark = [pytest.mark.blocks_loop, pytest.mark.timeout(300)]  # these tests read files and start processes

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
        assert await asyncio.wait_for(engine.wait(), PATIENCE_S) == 0
    ids = [json.loads(line)["message_id"] for line in out.splitlines()]
    shown = await site.call("journal", "show", ids[1], "--json")

    assert code == 0
    assert len(set(ids)) == 2  # the same line twice is two webhooks
    assert json.loads(shown[1].splitlines()[-1])["event"] == "Settled"


async def test_a_signal_during_the_start_drains_when_that_is_done(site: Site) -> None:
    """SIGTERM that comes while the plugins are loaded: start and stop are journaled, and nothing else."""
    (site.folder / "bot.py").write_text(f"{BOT}\nimport os, signal\nos.kill(os.getpid(), signal.SIGTERM)\n")
    await site.call("send", "-", text=PUSH)

    async with site.engine() as engine:
        assert await asyncio.wait_for(engine.wait(), PATIENCE_S) == 0
    with JournalReader(site.folder / "journal") as reader:
        names = [entry.name for entry in reader.entries()]

    assert names == ["RunStarted", "RunStopped"]
    assert site.broker.counts(QUEUE).active == 1


async def test_a_second_signal_during_the_start_ends_the_process(tmp_path: Path) -> None:
    """A start that waits for a broker which never answers can be ended: the second SIGTERM kills."""
    (tmp_path / "bot.py").write_text(BOT)
    reached = asyncio.Event()

    async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.set()
        await reader.read()
        writer.close()

    broker = await asyncio.start_server(never_answer, "127.0.0.1", 0)
    site = Site(tmp_path, MemoryBroker({QUEUE: QueueSettings()}), f"127.0.0.1:{broker.sockets[0].getsockname()[1]}")
    async with broker, site.engine() as engine, asyncio.timeout(PATIENCE_S):
        await reached.wait()
        engine.send_signal(signal.SIGTERM)
        assert engine.stderr is not None
        while b"signal during the start" not in await engine.stderr.readline():
            pass
        engine.send_signal(signal.SIGTERM)
        assert await engine.wait() == -signal.SIGTERM


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
        async with asyncio.timeout(PATIENCE_S):
            while json.loads(await tail.stdout.readline())["event"] != "Completed":
                pass
        tail.send_signal(signal.SIGINT)
        await asyncio.wait_for(tail.communicate(), PATIENCE_S)

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
