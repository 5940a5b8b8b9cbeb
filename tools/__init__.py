"""Looking back and driving: the command line and the demo."""

from queue_runtime.tools.cli import main

__all__ = ["main"]
