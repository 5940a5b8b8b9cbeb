"""What the commands of `replay` print: tables and sentences for people, lines of JSON for programs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from queue_runtime.tools.journal_text import safe
from queue_runtime.tools.replay.recording import Recording

__all__ = ["DEFAULT", "lines", "played", "put", "put_json"]

DEFAULT = Path("journal")

_QUIET_S = 1.0  # what takes longer shows how far it is
_WIDTH = 120  # of a pipe or a file, which has none of its own


@contextmanager
def played(folders: Sequence[Path] | None) -> Generator[Recording]:
    """Open journals to be played; on a terminal a bar shows the progress of what takes longer than a second."""
    recording = Recording(folders or [DEFAULT])
    console = Console(stderr=True)
    if not console.is_terminal:
        yield recording
        return
    columns = (TextColumn("events"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    progress = Progress(*columns, console=console, transient=True)
    task, begun = progress.add_task("events"), time.monotonic()

    def watch(done: int, total: int) -> None:
        if time.monotonic() - begun > _QUIET_S:
            progress.start()  # twice is harmless
            progress.update(task, completed=done, total=total)

    recording.watch = watch
    try:
        yield recording
    finally:
        progress.stop()


def put(text: str = "", style: str = "") -> None:
    """Print a line for people; what a terminal would obey is escaped."""
    _console().print(Text(safe(text), style=style), soft_wrap=True)


def lines(title: str, texts: Iterable[str]) -> None:
    """Print a heading and lines below it; nothing if there are no lines."""
    listed = list(texts)
    if listed:
        put()
        put(title, style="bold")
        for text in listed:
            put(f"  {text}")


def put_json(value: object) -> None:
    """Print a line of JSON, at once: whoever reads it through a pipe waits for it."""
    print(json.dumps(value), flush=True)


def _console() -> Console:
    """Made for each output: what is the standard output may have changed."""
    return Console() if sys.stdout.isatty() else Console(width=_WIDTH)
