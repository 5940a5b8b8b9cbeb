"""What else went on: runs, sessions, breakers, suspects. It is where the causes of a message's fate are. Pure.

Everything is kept for one journal, and only what the next question can be about: the latest of each kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from queue_runtime.journal.events import (
    AttemptStarted,
    BreakerClosed,
    BreakerHalfOpened,
    RunStarted,
    RunStopped,
    SessionResumed,
)
from queue_runtime.journal.message_state import MessageState
from queue_runtime.tools.replay.recording import Moment
from queue_runtime.tools.replay.words import counted, when

__all__ = ["Run", "Surroundings", "waits"]


@dataclass(slots=True)
class Run:
    """One run of an engine. `number` counts from 1; None if the journal's beginning is gone."""

    run_id: str
    number: int | None
    position: int
    at: int
    version: str
    settings: str
    after_crash: bool
    company: int = 0  # attempts that the run before it left

    @property
    def name(self) -> str:
        """What people call it."""
        return f"run {self.run_id}" if self.number is None else f"run {self.number}"


@dataclass(frozen=True, slots=True)
class _Mark:
    """Something that ended a wait, where, and in words."""

    position: int
    text: str


@dataclass(slots=True)
class Surroundings:
    """What is known of one journal beside the message in question, up to the event that was seen last."""

    is_whole: bool = True
    runs: list[Run] = field(default_factory=list[Run])
    running: set[str] = field(default_factory=set[str])
    _lanes: dict[tuple[str, str], tuple[str, _Mark]] = field(default_factory=dict[tuple[str, str], tuple[str, _Mark]])
    _resumed: dict[tuple[str, str], _Mark] = field(default_factory=dict[tuple[str, str], _Mark])
    _breakers: dict[str, _Mark] = field(default_factory=dict[str, _Mark])
    _alone: tuple[str, _Mark] | None = None
    _stopped: bool = True

    def run(self, run_id: str) -> str:
        """Name a run."""
        return next((run.name for run in reversed(self.runs) if run.run_id == run_id), f"run {run_id or '?'}")

    def see(self, moment: Moment) -> None:
        """Take the next event of the journal."""
        before, after = moment.before, moment.after
        if before is not None:
            self._moved(moment, before, after)
        event, position = moment.event, moment.entry.position
        match event:
            case AttemptStarted():
                self.running.add(event.key)
            case RunStarted():
                number = len(self.runs) + 1 if self.is_whole else None
                crashed = bool(self.runs) and not self._stopped
                run = Run(event.run_id, number, position, event.at, event.version, event.settings_digest, crashed)
                run.company = len(self.running)
                self.runs.append(run)
                self._stopped = False
            case RunStopped():
                self._stopped = True
            case BreakerHalfOpened() | BreakerClosed():
                how = "open" if isinstance(event, BreakerHalfOpened) else "not closed"
                text = f"the circuit breaker of {event.name} was {how} until {when(event.at)} (position {position})"
                self._breakers[event.name] = _Mark(position, text)
            case SessionResumed():
                text = f"its session was parked until {when(event.at)} (position {position})"
                self._resumed[event.queue, event.session_id] = _Mark(position, text)
            case _:
                pass

    def _moved(self, moment: Moment, before: MessageState, after: MessageState | None) -> None:
        entry = moment.entry
        ended = f"at {when(entry.at)} (position {entry.position})"
        if before.is_running and (after is None or not after.is_running):
            self.running.discard(before.key)
            if before.alone:
                self._alone = (
                    before.key,
                    _Mark(entry.position, f"suspect {before.key} ran alone until {when(entry.at)}"),
                )
        if before.lane is not None and before.is_open and (after is None or not after.is_open):
            how = _LEFT.get(entry.name, "left the session")
            self._lanes[before.lane] = before.key, _Mark(entry.position, f"{before.key}, which {how} {ended}")

    def behind(self, message: MessageState, since: int) -> tuple[str, str] | None:
        """Return key and description of the message behind which one stood after position `since`; None if of none."""
        if message.lane is None or message.lane not in self._lanes:
            return None
        key, mark = self._lanes[message.lane]
        return (key, mark.text) if key != message.key and mark.position > since else None

    def held_up(self, message: MessageState, route: str, since: int) -> Iterator[str]:
        """Yield what else ended after position `since` that kept a message from starting."""
        marks = [self._breakers.get(route), self._resumed.get(message.lane) if message.lane else None]
        if self._alone is not None and self._alone[0] != message.key:
            marks.append(self._alone[1])
        yield from (mark.text for mark in marks if mark is not None and mark.position > since)


def waits(around: Surroundings, message: MessageState, event: AttemptStarted, since: int) -> Iterator[str]:
    """Yield why an attempt began when it did and not when the message had its last event, at position `since`."""
    if message.retry_at is not None:
        yield f"attempt {message.attempt} failed, and the next was not to begin before {when(message.retry_at)}"
    behind = around.behind(message, since)
    if behind is not None:
        yield f"in its session it stood behind {behind[1]}"
    yield from around.held_up(message, event.route, since)
    others = len(around.running - {event.key})
    yield f"{counted(others, 'other attempt')} ran when it started" if others else "nothing else ran when it started"


_LEFT = {
    "Completed": "was completed",
    "DeadLettered": "was dead-lettered",
    "LeaseLapsed": "was not held any more",
    "AttemptFailed": "failed without a lock",
    "AttemptReleased": "was released",
}
