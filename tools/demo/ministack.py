"""Runs MiniStack as its environment says, until the input ends: with whoever started it, however that ends."""

from __future__ import annotations

import os
import sys
import threading
from importlib import import_module

__all__ = ["main"]


def main() -> None:
    """Serve until the input ends."""
    threading.Thread(target=_end_with_input, daemon=True).start()
    import_module("ministack.app").main()


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
