"""Calls of the command line in the test's own process."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from queue_runtime.tools.cli import main


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


Call = Callable[..., Done]


def caller(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Return what calls the command line as its entry point does; without settings in the environment."""
    for name in [name for name in os.environ if name.startswith("QUEUE_")]:
        monkeypatch.delenv(name)

    def _call(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["queue-runtime", *arguments])
        code = 0
        try:
            main()
        except SystemExit as exited:
            code = exited.code
        assert isinstance(code, int)
        printed = capsys.readouterr()
        return Done(code, printed.out, printed.err)

    return _call
