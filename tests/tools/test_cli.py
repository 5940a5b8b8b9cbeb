"""The command line: what it prints, and how it fails."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from queue_runtime.journal import JournalError, Rule
from queue_runtime.journal.events import AttemptStarted
from queue_runtime.tools.demo import generated
from queue_runtime.tools.demo.show import run_demo
from tests.journal.examples import life, write
from tests.tools.calls import Call, caller

pytestmark = pytest.mark.blocks_loop  # the command line has no loop of its own to block


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Call the command line in this process, as its entry point does; without settings in the environment."""
    return caller(monkeypatch, capsys)


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal that a demo left."""
    folder = tmp_path_factory.mktemp("demo")
    with (folder / "out").open("w") as out:
        report = asyncio.run(run_demo(generated(30), folder, Console(file=out), crash=False))
    assert report.problems == []
    return Path(report.journal)


def test_version_is_printed(call: Call) -> None:
    """`version` prints the installed version, for people and for programs."""
    plain, for_programs = call("version"), call("version", "--json")

    assert plain.returncode == for_programs.returncode == 0
    assert json.loads(for_programs.stdout) == {"version": plain.stdout.strip()}


def test_the_demo_exits_0_if_every_event_is_accounted_for(call: Call, tmp_path: Path) -> None:
    """`demo --json` prints figures that add up."""
    done = call("demo", "--events", "50", "--json", "--journal", str(tmp_path / "demo"))

    figures = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert figures["completed"] + figures["dead_lettered"] + figures["duplicates_suppressed"] == figures["sent"]


def test_stat_counts_what_the_journal_holds(call: Call, journal: Path) -> None:
    """`journal stat` says how many events of each kind there are."""
    done = call("journal", "stat", str(journal), "--json")

    assert done.returncode == 0
    figures = json.loads(done.stdout)
    assert figures["events"]["Completed"] == 28
    assert figures["messages"] == {"received": 30, "completed": 28, "dead-lettered": 2, "duplicates": 1}
    assert "30 received, 28 completed" in call("journal", "stat", str(journal)).stdout


def test_tail_prints_the_last_events(call: Call, journal: Path) -> None:
    """`journal tail --lines` prints so many, the stop of the run last."""
    lines = call("journal", "tail", str(journal), "--lines", "3", "--json").stdout.splitlines()

    assert len(lines) == 3
    assert json.loads(lines[-1])["event"] == "RunStopped"


def test_show_prints_a_whole_life_without_receipt_or_body(call: Call, journal: Path) -> None:
    """`journal show` of a dead letter has every attempt and the reason; what is secret stays out unless asked for."""
    entries = [
        json.loads(line)
        for line in call("journal", "tail", str(journal), "--lines", "1000", "--json").stdout.splitlines()
    ]
    key = next(entry["key"] for entry in entries if entry["event"] == "DeadLettered")

    shown = call("journal", "show", key, str(journal), "--json")
    with_body = call("journal", "show", key, str(journal), "--json", "--show-body")

    kinds = [json.loads(line)["event"] for line in shown.stdout.splitlines()]
    assert kinds[0] == "Received"
    assert "DeadLettered" in kinds
    assert '"body"' not in shown.stdout
    assert '"receipt"' not in shown.stdout + with_body.stdout
    assert '"body"' in with_body.stdout


def test_show_tells_a_life_to_people(call: Call, journal: Path) -> None:
    """`journal show` by message id has what it was, its outcome, each attempt and its error; the body when asked."""
    shown = call("journal", "show", "demo-000002", str(journal)).stdout
    with_body = call("journal", "show", "demo-000002", str(journal), "--show-body").stdout

    assert "key         webhooks/demo-000002" in shown
    assert "session     octo/demo/pull/" in shown
    assert "outcome     completed in attempt 1" in shown
    assert [word for word in ("Received", "AttemptStarted", "Completed", "Settled") if word not in shown] == []
    assert '"repository"' not in shown
    assert '"repository"' in with_body


def test_verify_names_the_first_altered_place(call: Call, journal: Path, tmp_path: Path) -> None:
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

    assert call("journal", "verify", str(journal)).returncode == 0
    altered = call("journal", "verify", str(copy))
    assert altered.returncode == 1
    assert "ALTERED at position" in altered.stdout
    assert json.loads(call("journal", "verify", str(copy), "--json").stdout)["altered_at"] > 1


def test_verify_names_the_first_event_that_cannot_be(call: Call, tmp_path: Path) -> None:
    """A journal with a perfect chain and an impossible event exits with 1, and says where and which rule it breaks."""
    folder = tmp_path / "journal"
    twice = (*life(1), AttemptStarted("pulls/1", 1, 2, "run", "route", alone=False))
    asyncio.run(write(folder, life(0), twice, twice))

    found = call("journal", "verify", str(folder))
    for_programs = json.loads(call("journal", "verify", str(folder), "--json").stdout)
    chain_only = call("journal", "verify", str(folder), "--chain-only")

    assert found.returncode == 1
    assert "IMPOSSIBLE at position 7" in found.stdout
    assert "attempt 2 of message pulls/1 starts after its outcome" in found.stdout
    assert for_programs["is_good"] is False
    assert for_programs["altered_at"] is None
    assert for_programs["violation"]["position"] == 7
    assert for_programs["violation"]["rule"] == Rule.ONE_OUTCOME
    assert (chain_only.returncode, chain_only.stdout) == (0, "good: every row up to 11 is what was written\n")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("journal", "stat", "nowhere"), "nowhere"),
        (("run", "--provider", "carrier-pigeon", "--queue", "q", "--plugin", "queue_runtime.tools.demo.bot"), "pigeon"),
        (("run", "--provider", "memory", "--queue", "q"), "--plugin"),
        (("run", "--queue", "q"), "QUEUE_PROVIDER"),
        (("run", "--provider", "memory", "--queue", "q", "--plugin", "no.such.module"), "no.such.module"),
        (("run", "--provider", "memory"), "queue"),
        (("send", "nowhere.jsonl", "--provider", "memory", "--queue", "q"), "nowhere.jsonl"),
        (("send", "pyproject.toml", "--provider", "memory", "--queue", "q"), "line 1 of pyproject.toml"),
        (("send", "pyproject.toml", "--provider", "memory", "--queue", "q", "--event", "x"), "QUEUE_MEMORY_ADDRESS"),
        (("demo", "--webhooks", "nowhere.jsonl"), "nowhere.jsonl"),
        (("demo", "--journal", "tests"), "tests is not an empty folder"),
        (("control", "status", "--journal", "nowhere"), "nowhere"),
    ],
)
def test_an_error_is_one_line_that_names_the_value(
    call: Call, arguments: tuple[str, ...], word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is wrong, the last word is one line without a traceback, and the exit code is not 0."""
    monkeypatch.setenv("QUEUE_ENGINE_JOURNAL", str(tmp_path / "journal"))

    done = call(*arguments)

    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 1
    assert len(errors) == 1
    assert word in errors[0]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments", [("frobnicate",), ("demo", "--events", "9"), ("journal", "tail", "--lines", "0"), ("send",)]
)
def test_wrong_use_exits_with_2(call: Call, arguments: tuple[str, ...]) -> None:
    """What the command line does not understand is told from what failed."""
    done = call(*arguments)

    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_an_unknown_message_is_an_error(call: Call, journal: Path) -> None:
    """`journal show` of what is not there names it, and prints nothing."""
    done = call("journal", "show", "no-such-message", str(journal))

    assert done.returncode == 1
    assert done.stdout == ""
    assert "'no-such-message'" in done.stderr


def test_debug_shows_where_an_error_comes_from(call: Call) -> None:
    """`--debug` lets the error through, for Python to print its traceback."""
    with pytest.raises(JournalError, match="nowhere"):
        call("--debug", "journal", "stat", "nowhere")


def test_version_does_not_wait_for_the_engine() -> None:
    """What a command does not need is not imported: the command line answers at once."""
    code = "import sys, queue_runtime.tools.cli; print(*sys.modules)"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    floors = ("engine", "journal", "plugins", "providers")
    assert [name for name in loaded if name.startswith(tuple(f"queue_runtime.{floor}" for floor in floors))] == []
    assert "pydantic" not in loaded


def test_config_tells_each_value_and_its_source_and_no_secret(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`config` has every setting, with the layer that it comes from; secrets and passwords in URLs are masked."""
    file = tmp_path / "bot.toml"
    file.write_text("[engine]\nconcurrency = 3\njournal_head_key = 'planted-secret-1'\n")
    monkeypatch.setenv("QUEUE_PROVIDER", "memory")
    monkeypatch.setenv("QUEUE_NAME", "pulls")
    monkeypatch.setenv("QUEUE_SQS_ENDPOINT_URL", "http://user:planted-secret-2@localhost:1")

    shown = call("config", "--config", str(file), "--json")
    for_people = call("config", "--config", str(file))

    told = json.loads(shown.stdout)
    assert told["provider"]["provider"] == {"value": "memory", "from": "QUEUE_PROVIDER"}
    assert told["provider"]["sqs_endpoint_url"]["value"] == "http://***@localhost:1"
    assert told["engine"]["concurrency"] == {"value": 3, "from": f"engine in {file}"}
    assert told["engine"]["queues"] == {"value": ["pulls"], "from": "the provider's own queue"}
    assert told["engine"]["threads"] == {"value": 16, "from": "default"}
    assert told["engine"]["journal_head_key"]["value"] == "***"
    assert "planted-secret" not in shown.stdout + for_people.stdout
    assert [name for table in told.values() for name in table if name not in for_people.stdout] == []
