"""The command line: what it prints, and how it fails."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from queue_runtime.providers.memory import MemoryBroker, MemoryProvider, QueueSettings
from queue_runtime.providers.memory.server import MemoryBrokerServer
from queue_runtime.providers.message import Message, QueueName
from queue_runtime.tools.demo import generated
from queue_runtime.tools.demo.show import run_demo

pytestmark = pytest.mark.blocks_loop  # these tests wait for processes


def _run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "queue_runtime.tools.cli", *arguments]
    return subprocess.run(
        command, env={**_clean(), **environment}, capture_output=True, text=True, timeout=50, check=False
    )


def _clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("QUEUE_")}


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal that a demo left."""
    folder = tmp_path_factory.mktemp("demo")
    with (folder / "out").open("w") as out:
        report = asyncio.run(run_demo(generated(30), folder, Console(file=out), crash=False))
    assert report.problems == []
    return Path(report.journal)


def test_version_is_printed() -> None:
    """`version` prints the installed version, for people and for programs."""
    plain, for_programs = _run("version"), _run("version", "--json")

    assert plain.returncode == for_programs.returncode == 0
    assert json.loads(for_programs.stdout) == {"version": plain.stdout.strip()}


def test_the_demo_exits_0_if_every_event_is_accounted_for(tmp_path: Path) -> None:
    """`demo --json` prints figures that add up."""
    done = _run("demo", "--events", "50", "--json", "--journal", str(tmp_path / "demo"))

    figures = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert figures["completed"] + figures["dead_lettered"] + figures["duplicates_suppressed"] == figures["sent"]


def test_stat_counts_what_the_journal_holds(journal: Path) -> None:
    """`journal stat` says how many events of each kind there are."""
    done = _run("journal", "stat", str(journal), "--json")

    assert done.returncode == 0
    assert json.loads(done.stdout)["events"]["Completed"] == 28


def test_tail_prints_the_last_events(journal: Path) -> None:
    """`journal tail --lines` prints so many, the stop of the run last."""
    lines = _run("journal", "tail", str(journal), "--lines", "3", "--json").stdout.splitlines()

    assert len(lines) == 3
    assert json.loads(lines[-1])["event"] == "RunStopped"


def test_show_prints_a_whole_life_without_receipt_or_body(journal: Path) -> None:
    """`journal show` of a dead letter has every attempt and the reason; what is secret stays out unless asked for."""
    dead = json.loads(_run("journal", "tail", str(journal), "--lines", "1000", "--json").stdout.splitlines()[0])
    assert dead["event"] == "RunStarted"
    entries = [
        json.loads(line)
        for line in _run("journal", "tail", str(journal), "--lines", "1000", "--json").stdout.splitlines()
    ]
    key = next(entry["key"] for entry in entries if entry["event"] == "DeadLettered")

    shown = _run("journal", "show", key, str(journal), "--json")
    with_body = _run("journal", "show", key, str(journal), "--json", "--show-body")

    kinds = [json.loads(line)["event"] for line in shown.stdout.splitlines()]
    assert kinds[0] == "Received"
    assert "DeadLettered" in kinds
    assert '"body"' not in shown.stdout
    assert '"receipt"' not in shown.stdout + with_body.stdout
    assert '"body"' in with_body.stdout


def test_verify_names_the_first_altered_place(journal: Path, tmp_path: Path) -> None:
    """`journal verify` exits with 0 on a sound journal, with 1 on one in which a byte was changed."""
    copy = tmp_path / "copy"
    copy.mkdir(mode=0o700)
    for path in journal.iterdir():
        if path.is_file():
            (copy / path.name).write_bytes(path.read_bytes())
    segment = next(copy.glob("*.sqlite"))
    data = bytearray(segment.read_bytes())
    place = data.find(b"demo-000010")
    data[place] ^= 1
    segment.write_bytes(data)

    assert _run("journal", "verify", str(journal)).returncode == 0
    altered = _run("journal", "verify", str(copy))
    assert altered.returncode == 1
    assert "ALTERED" in altered.stdout


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("journal", "stat", "nowhere"), "nowhere"),
        (("run", "--provider", "carrier-pigeon", "--queue", "q"), "carrier-pigeon"),
        (("run", "--provider", "memory", "--queue", "q", "--plugin", "no.such.module"), "no.such.module"),
        (("run", "--provider", "memory"), "queue"),
        (("send", "nowhere.jsonl", "--provider", "memory", "--queue", "q"), "nowhere.jsonl"),
        (("demo", "--webhooks", "nowhere.jsonl"), "nowhere.jsonl"),
    ],
)
def test_an_error_is_one_line_that_names_the_value(arguments: tuple[str, ...], word: str, tmp_path: Path) -> None:
    """Whatever is wrong, the last word is one line without a traceback, and the exit code is not 0."""
    done = _run(*arguments, QUEUE_ENGINE_JOURNAL=str(tmp_path / "journal"))

    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 1
    assert len(errors) == 1
    assert word in errors[0]
    assert "Traceback" not in done.stderr


def test_debug_shows_where_an_error_comes_from() -> None:
    """`--debug` adds the traceback."""
    assert "Traceback" in _run("--debug", "journal", "stat", "nowhere").stderr


async def test_run_and_send_over_a_served_broker_until_sigterm(tmp_path: Path) -> None:
    """`send` puts webhooks in a queue, `run` handles them, SIGTERM drains it and it exits with 0."""
    queue = QueueName("webhooks")
    broker = MemoryBroker({queue: QueueSettings(max_deliveries=20)})
    provider = MemoryProvider(broker)
    await provider.open()
    webhooks = tmp_path / "webhooks.jsonl"
    webhooks.write_text('{"event": "push", "payload": {"ref": "refs/heads/main"}}\n')
    async with MemoryBrokerServer(broker, 0) as server:
        environment = {"QUEUE_PROVIDER": "memory", "QUEUE_MEMORY_ADDRESS": server.address, "QUEUE_NAME": queue}
        sent = await asyncio.to_thread(_run, "send", str(webhooks), "--json", **environment)
        await provider.send(queue, [Message(b"{}", message_id="another")])
        options = ("run", "--plugin", "queue_runtime.tools.demo.bot", "--journal", str(tmp_path / "journal"))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "queue_runtime.tools.cli", *options, env={**_clean(), **environment}
        )
        async with asyncio.timeout(30):
            while broker.counts(queue).active or broker.counts(queue).in_flight:  # noqa: ASYNC110 - another process works
                await asyncio.sleep(0.02)
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
    assert sent.returncode == 0
    shown = await asyncio.to_thread(_run, "journal", "show", "webhook-000001", str(tmp_path / "journal"), "--json")
    assert [json.loads(line)["event"] for line in shown.stdout.splitlines()][-1] == "Settled"
