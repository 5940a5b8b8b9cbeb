"""A journal with the live state that follows it, as an engine has them, and what is found in its files afterwards."""

import asyncio
from pathlib import Path

from queue_runtime.journal.events import Event
from queue_runtime.journal.log import SqliteJournal
from queue_runtime.journal.reader import JournalReader
from queue_runtime.journal.settings import JournalSettings
from queue_runtime.journal.state import EngineState, fold
from tests.journal.examples import files

EVERY_TIME = JournalSettings(segment_age_s=0)


class Running:
    """A journal and the live state that follows it, as an engine has them."""

    def __init__(self, journal: SqliteJournal, state: EngineState) -> None:
        self.journal = journal
        self.state = state

    def append(self, *events: Event) -> int:
        position = self.journal.append(events)
        fold(events, self.state)
        return position

    async def snapshot(self) -> None:
        await self.journal.snapshot(self.state)


async def run(folder: Path, settings: JournalSettings = EVERY_TIME) -> Running:
    journal = await SqliteJournal.open(folder, settings)
    state = EngineState()
    try:
        async for _, item in journal.load():
            if isinstance(item, EngineState):
                state = item
            else:
                state.apply(item)
    except BaseException:
        await journal.close()  # SQLite's thread would keep the process from its end
        raise
    return Running(journal, state)


async def loaded(folder: Path) -> tuple[int, EngineState]:
    """Open a journal as an engine does; return how many events it read, and the state."""
    running = await run(folder)
    positions = [position async for position, item in running.journal.load() if not isinstance(item, EngineState)]
    await running.journal.close()
    return len(positions), running.state


async def events_of(folder: Path) -> list[Event | None]:
    def read() -> list[Event | None]:
        with JournalReader(folder) as reader:
            entries = list(reader.entries())
            assert [entry.position for entry in entries] == list(range(1, len(entries) + 1))
            return [entry.event for entry in entries]

    return await asyncio.to_thread(read)


def segments(folder: Path) -> list[str]:
    return [name for name in files(folder) if name.endswith(".sqlite")]
