"""The commands of `replay`: what they print, on journals alone, together and beside their engine."""

import asyncio
import json
from pathlib import Path

import pytest

from queue_runtime.journal import SqliteJournal
from tests.journal.examples import life, write, write_foreign
from tests.tools.calls import Call, caller
from tests.unit import builders as b

pytestmark = pytest.mark.blocks_loop  # the command line has no loop of its own to block


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Call the command line in this process."""
    return caller(monkeypatch, capsys)


def test_explain_is_json_for_programs_without_body_or_receipt(call: Call, tmp_path: Path) -> None:
    """`--json` prints one document for a message, whether it is named by id or by key; no secret is in it."""
    folder = tmp_path / "journal"
    asyncio.run(write(folder, life(1), life(2)))

    by_id, by_key = (call("replay", "explain", name, str(folder), "--json") for name in ("m1", "pulls/1"))

    found = json.loads(by_id.stdout)
    assert by_id == by_key
    assert (found["key"], found["state"], found["attempts"]) == ("pulls/1", "completed", ["attempt 1 returned"])
    assert [link["position"] for link in found["links"]] == [1, 2, 3]
    assert "that nobody may see" not in by_id.stdout
    assert '"receipt"' not in by_id.stdout


def test_a_message_in_two_journals_is_explained_by_both(call: Call, tmp_path: Path) -> None:
    """What one engine lost and another completed is told by each of their journals."""
    one, two = tmp_path / "one", tmp_path / "two"
    asyncio.run(write(one, [b.received(), b.started(), b.lapsed(at=b.S)]))
    asyncio.run(write(two, [b.received(at=2 * b.S), b.started(at=2 * b.S), b.completed(at=3 * b.S)]))

    lines = call("replay", "explain", "m1", str(one), str(two), "--json").stdout.splitlines()

    assert [(found["journal"], found["state"]) for found in map(json.loads, lines)] == [
        ("one", "orphaned"),
        ("two", "completed"),
    ]


async def test_a_journal_is_explained_beside_its_engine(call: Call, tmp_path: Path) -> None:
    """The journal is open for writing, and its lock taken, while it is read; it goes on after that."""
    journal = await SqliteJournal.open(tmp_path / "journal")
    try:
        await journal.wait(journal.append([b.received(), b.started()]))
        found = json.loads(call("replay", "explain", "m1", str(tmp_path / "journal"), "--json").stdout)
        await journal.wait(journal.append([b.completed()]))
    finally:
        await journal.close()

    assert found["state"] == "running"


def test_events_of_a_newer_version_are_passed_over_and_counted(call: Call, tmp_path: Path) -> None:
    """What this version does not know stops nothing, and is not passed over in silence."""
    asyncio.run(write_foreign(tmp_path / "journal", 99))

    done = call("replay", "explain", "m1", str(tmp_path / "journal"))

    assert "passed over: 1 events that a newer version wrote" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("replay", "explain", "m9", "journal"), "'m9'"),
        (("replay", "explain", "m1", "nowhere"), "nowhere"),
        (("replay", "explain", "m1", "journal", "./journal"), "name each folder once"),
    ],
)
def test_an_error_names_what_was_asked_for(
    call: Call, arguments: tuple[str, ...], word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unknown message or journal is one line that names it, and exit code 1."""
    monkeypatch.chdir(tmp_path)
    asyncio.run(write(tmp_path / "journal", life(1)))

    done = call(*arguments)

    assert (done.returncode, done.stdout) == (1, "")
    assert word in done.stderr
    assert "Traceback" not in done.stderr


def test_what_a_terminal_would_obey_is_escaped(call: Call, tmp_path: Path) -> None:
    """Ids and error texts come from strangers."""
    red = "\x1b[31m"
    asyncio.run(write(tmp_path / "journal", [b.received(session=f"s{red}"), b.started()]))

    shown = call("replay", "explain", "m1", str(tmp_path / "journal")).stdout

    assert "s\\x1b[31m" in shown
    assert red not in shown
