"""Journals played again: every event with the state of its message before and after it, merged by time.

Read-only, and without the journals' locks: an engine may write meanwhile, or a journal may be a copy.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, cast

from queue_runtime.journal import EngineState, Entry, Event, JournalReader
from queue_runtime.journal.audit import state_before
from queue_runtime.journal.events import MessageEvent
from queue_runtime.journal.evolve import MESSAGE_EVENTS
from queue_runtime.journal.message_state import MessageState
from queue_runtime.tools.replay.errors import ReplayError

__all__ = ["Moment", "Recording", "Story", "applied"]

_WATCHED = 500


class Moment(NamedTuple):
    """One event, of which journal, and what it made of its message; both states are None if it is about no message."""

    journal: str
    entry: Entry
    event: Event
    before: MessageState | None
    after: MessageState | None


class Story(Protocol):
    """What can be played once: journals on a disk, or events that somebody has."""

    states: dict[str, EngineState]

    @property
    def is_whole(self) -> bool:
        """True if no event has been dropped from the beginning of a journal."""
        ...

    def moments(self) -> Iterator[Moment]:
        """Play every event."""
        ...


class Recording:
    """One or more journals, to be played once.

    Attributes:
        states: what each journal means up to the event that was played last, by the journal's name.
        unknown: how many events were passed over because a newer version wrote them.
        watch: called now and then with the number of events played so far, and of all there are.

    Raises:
        JournalError: there is no journal, or its oldest segment has lost its snapshot.
        ReplayError: two of the folders are one.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        if len({folder.resolve() for folder in folders}) < len(folders):
            msg = f"the journals {', '.join(map(str, folders))} are not all different; name each folder once"
            raise ReplayError(msg)
        self._folders = dict(zip(_names(folders), folders, strict=True))
        for folder in folders:
            JournalReader(folder).close()  # says so if there is none
        self.states = {name: state_before(folder) or EngineState() for name, folder in self._folders.items()}
        self.unknown = 0
        self.watch: Callable[[int, int], None] | None = None

    @property
    def is_whole(self) -> bool:
        """True if no event has been dropped from the beginning of a journal."""
        return all(state.position == 0 for state in self.states.values())

    def moments(self) -> Iterator[Moment]:
        """Play every event: of each journal in its own order, of several merged by time.

        Raises:
            JournalCorrupt: names the first position that cannot be read.
        """
        streams = [self._timed(name, folder) for name, folder in self._folders.items()]
        total = self._total() if self.watch is not None else 0
        for number, (_, _, name, entry) in enumerate(heapq.merge(*streams, key=lambda timed: timed[:2])):
            if self.watch is not None and number % _WATCHED == 0:
                self.watch(number, total)
            if entry.event is None:
                self.unknown += 1
                continue
            yield applied(self.states[name], name, entry, entry.event)

    def _total(self) -> int:
        total = 0
        for name, folder in self._folders.items():
            with JournalReader(folder) as reader:
                total += reader.last_position() - self.states[name].position
        return total

    def _timed(self, name: str, folder: Path) -> Iterator[tuple[int, str, str, Entry]]:
        """A clock that was set back must not bring a journal out of its order: its time stands still until then."""
        latest = 0
        with JournalReader(folder) as reader:
            for entry in reader.entries():
                latest = max(latest, entry.at)
                yield latest, name, name, entry


def applied(state: EngineState, journal: str, entry: Entry, event: Event) -> Moment:
    """Apply an event to the state of its journal. Positions may have gaps: events that this version does not know."""
    state.position = entry.position - 1
    if type(event) in MESSAGE_EVENTS:
        return Moment(journal, entry, event, *state.apply_to_message(cast("MessageEvent", event)))
    state.apply(event)
    return Moment(journal, entry, event, None, None)


def _names(folders: Sequence[Path]) -> list[str]:
    """Call journals by their folders' names, or by their whole paths where those are not enough to tell them apart."""
    names = [folder.resolve().name for folder in folders]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]
