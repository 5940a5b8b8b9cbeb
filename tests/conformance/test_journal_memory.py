"""The journal in memory keeps the promises of every journal."""

import pytest

from queue_runtime.journal.conformance import JournalConformance
from queue_runtime.journal.memory import MemoryJournal


class MemoryHarness:
    def __init__(self) -> None:
        self.journal = MemoryJournal()

    async def open(self) -> MemoryJournal:
        self.journal = MemoryJournal(events=self.journal.events, packed=self.journal.packed)
        return self.journal

    async def crash(self) -> None:
        pass  # what is durable is taken over by the next one, nothing else is

    def break_disk(self) -> None:
        self.journal.is_writable = False

    def mend_disk(self) -> None:
        self.journal.is_writable = True


class TestMemoryJournal(JournalConformance):
    @pytest.fixture
    def harness(self) -> MemoryHarness:
        return MemoryHarness()
