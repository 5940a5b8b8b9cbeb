"""Keeps commits fast beside an event loop that never rests.

The writer's thread needs the interpreter's lock after every call that let go of it. A loop that is always busy takes
it back at every turn and restarts the waiter's interval of 5 ms: one fsync of 0.1 ms was seen to take seconds. Two
cures, both needed: a shorter interval, and a loop that pauses while a commit is late. The interval belongs to the whole
process, so this is asked for (`JournalSettings.yield_to_writer`) and undone at the end.
"""

from __future__ import annotations

import asyncio
import sys
import time

__all__ = ["WriterGuard"]

_SWITCH_INTERVAL_S = 1e-4
_LATE_S = 0.002  # commits take a tenth of it on a disk that syncs fast
_PAUSE_S = 2e-4

_before: list[float] = []  # the interval to go back to; there while any guard is on duty
_on_duty: set[WriterGuard] = set()


class WriterGuard:
    """Watches over the commits of one journal: `with guard:` around each. Used on the journal's loop alone."""

    def __init__(self) -> None:
        """Watch over nothing yet."""
        self._timer: asyncio.Handle | None = None

    def begin(self) -> None:
        """Shorten the switch interval of the process, until the last guard is dismissed. Twice is harmless."""
        if not _on_duty:
            _before.append(sys.getswitchinterval())
            sys.setswitchinterval(min(_SWITCH_INTERVAL_S, _before[0]))
        _on_duty.add(self)

    def __enter__(self) -> None:
        """A commit begins."""
        self._timer = asyncio.get_running_loop().call_later(_LATE_S, self._pause)

    def __exit__(self, *_: object) -> None:
        """The commit ended."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def dismiss(self) -> None:
        """Give the process its switch interval back. Twice is harmless."""
        if self in _on_duty:
            _on_duty.discard(self)
            if not _on_duty:
                sys.setswitchinterval(_before.pop())

    def _pause(self) -> None:
        """Let the writer's thread have the interpreter for a moment; once in every turn until the commit ends."""
        time.sleep(_PAUSE_S)
        self._timer = asyncio.get_running_loop().call_soon(self._pause)
