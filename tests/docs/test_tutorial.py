"""The tutorial shows what is in its files, and what its files do is what it says."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.docs.pages import ROOT, blocks

EXAMPLES = ROOT / "docs" / "examples"
BOT = EXAMPLES / "pr_assigner.py"
TRY = EXAMPLES / "try_pr_assigner.py"


def _try(folder: Path) -> str:
    """Run the tutorial's program in a folder, as its reader does, and return what it prints."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("QUEUE_")}
    done = subprocess.run(
        [sys.executable, str(TRY)], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_every_excerpt_is_taken_from_the_bot() -> None:
    """A block of the tutorial is an include, or stands in the bot's file as it is shown."""
    bot = BOT.read_text(encoding="utf-8")
    excerpts = [block for block in blocks(ROOT / "docs" / "tutorial.md", "python") if "--8<--" not in block]

    assert excerpts
    assert [block for block in excerpts if block not in bot] == []


def test_the_program_prints_what_the_tutorial_says(tmp_path: Path) -> None:
    """The first run sends one assignment for a webhook that comes twice; the second over its journal sends none."""
    shown = re.findall(r"^sent: .*\n", (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8"), re.MULTILINE)

    assert [_try(tmp_path), _try(tmp_path)] == shown
