"""What the page on forensics shows is what its commands print on a demo's journal."""

import asyncio
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from queue_runtime.tools.demo import generated
from queue_runtime.tools.demo.show import run_demo
from queue_runtime.tools.replay.commands import replay_app
from tests.docs.pages import ROOT, blocks
from tests.tools.calls import Call, caller

pytestmark = pytest.mark.blocks_loop  # the command line has no loop of its own to block
PAGE = ROOT / "docs" / "forensics.md"
ELIDED = "..."


def _shown() -> Iterator[tuple[str, list[str]]]:
    """Yield each command of the page with the lines that are shown below it."""
    for block in blocks(PAGE, "console"):
        first, *lines = block.splitlines()
        assert first.startswith("$ queue-runtime "), first
        yield first.removeprefix("$ queue-runtime "), lines


SHOWN = [(command, lines) for command, lines in _shown() if not command.startswith("demo ")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which a reader has run the demo."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "demo").mkdir()
    with (folder / "out").open("w") as out:
        report = asyncio.run(run_demo(generated(100), folder / "demo", Console(file=out), crash=False))
    assert report.problems == []
    return folder


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Call the command line in this process."""
    return caller(monkeypatch, capsys)


@pytest.mark.parametrize(("command", "lines"), SHOWN, ids=[command for command, _ in SHOWN])
def test_a_command_prints_what_the_page_shows(
    command: str, lines: list[str], folder: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every line below a command is printed by it, in this order; numbers and instants are others in each demo."""
    monkeypatch.chdir(folder)

    done = call(*shlex.split(command))

    assert done.returncode in (0, 1), done.stderr
    assert done.stderr == ""
    printed = iter([_plain(line) for line in done.stdout.splitlines()])
    for line in lines:
        assert line == ELIDED or _plain(line) in printed, f"{line!r} is not printed, or not here:\n{done.stdout}"


def test_every_command_of_replay_is_on_the_page() -> None:
    """A command that is added is shown, too."""
    shown = {" ".join(command.split()[:2]) for command, _ in SHOWN}

    names = {
        command.name or command.callback.__name__ for command in replay_app.registered_commands if command.callback
    }
    assert {f"replay {name}" for name in names} <= shown


def _plain(line: str) -> str:
    """Leave out what differs from demo to demo: numbers, units of spans, the widths of columns."""
    line = re.sub(r"\b[0-9a-f]{12}\b", "#", line)
    line = re.sub(r"\d[\d,.:-]*( (ms|s|min|h|d)\b)?", "#", line)
    return re.sub(r"\s+", " ", line).strip()
