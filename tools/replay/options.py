"""Options that several commands of `replay` take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["AsJson", "Folders"]

AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
Folders = Annotated[list[Path] | None, typer.Argument(help="The journals' folders; several are merged by time.")]
