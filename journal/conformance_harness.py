"""What the suite of journals asks of each kind of journal, and the events that its tests are made of."""

# ruff: noqa: S101 - a suite asserts

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from queue_runtime.journal.message_events import AttemptStarted
from queue_runtime.journal.port import Journal

__all__ = ["JournalHarness", "loaded", "numbers", "started"]


class JournalHarness(Protocol):
    """One journal, through restarts and faults."""

    async def open(self) -> Journal:
        """Open the journal; again, with what is durable in it, once the one opened before is closed or crashed."""
        ...

    async def crash(self) -> None:
        """Have the process that holds the journal die without a word."""
        ...

    def break_disk(self) -> None:
        """Let every write fail from now on."""
        ...

    def mend_disk(self) -> None:
        """Let writes succeed again."""
        ...


def started(number: int) -> AttemptStarted:
    """Return an event that can be told from others by its number."""
    return AttemptStarted(f"pulls/{number}", number, 1, "run", "", alone=False)


def numbers(events: Sequence[object]) -> list[int]:
    """Return the numbers of events that `started` made."""
    return [event.at for event in events if isinstance(event, AttemptStarted)]


async def loaded(journal: Journal) -> list[object]:
    """Return all that `load` yields, and check that positions have no gaps."""
    entries = [entry async for entry in journal.load()]
    assert [position for position, _ in entries] == list(range(1, len(entries) + 1))
    return [event for _, event in entries]
