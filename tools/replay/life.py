"""The life of a message: its attempts, and what became of it. Pure: it sees moments and reads nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from queue_runtime.journal import EngineState
from queue_runtime.journal.events import (
    Adopted,
    AttemptCrashed,
    AttemptFailed,
    AttemptReleased,
    AttemptStarted,
    Completed,
    DeadLettered,
    Forgotten,
    Received,
    Settled,
)
from queue_runtime.journal.evolve import MESSAGE_EVENTS
from queue_runtime.journal.message_state import AttemptRecord, MessageState, Outcome, Phase
from queue_runtime.tools.replay.recording import Moment

__all__ = ["GONE", "Attempt", "Life", "Lives"]

GONE = "gone"
"""The state of a message that left the journal's memory without an outcome."""


@dataclass(slots=True)
class Attempt:
    """One run of the handler. `how` is completed, failed, released, crashed, or running while it has no end."""

    number: int
    run_id: str
    alone: bool
    how: str = "running"
    error_kind: str = ""
    error_text: str = ""

    @property
    def is_charged(self) -> bool:
        """True if it counts against the attempts that the message has."""
        return self.how == "failed" or (self.how == "crashed" and self.alone)


@dataclass(slots=True)
class Life:
    """Everything that one journal says of one message, without its body. Instants are in microseconds.

    Attributes:
        state: its outcome, or the phase it is in without one, or `gone`.
        settled_at: when the broker's last copy was confirmed to be settled, the first time.
    """

    journal: str
    key: str
    queue: str
    message_id: str
    state: str = Phase.WAITING
    attempts: list[Attempt] = field(default_factory=list[Attempt])
    reason: str = ""
    description: str = ""
    decided_at: int | None = None
    settled_at: int | None = None
    last_at: int = 0

    @property
    def charged(self) -> int:
        """How many attempts count against it."""
        return sum(attempt.is_charged for attempt in self.attempts)

    def see(self, moment: Moment) -> None:
        """Take the next event of the message."""
        before, after = moment.before, moment.after
        at = moment.entry.at
        self.last_at = max(at, self.last_at)
        self._note(moment)
        if after is not None:
            self.state = after.outcome or after.phase
        elif before is not None and before.outcome is None:
            self.state = GONE
        elif isinstance(moment.event, Settled) and self.settled_at is None:
            self.settled_at = at

    def _note(self, moment: Moment) -> None:
        event = moment.event
        match event:
            case AttemptStarted():
                self.attempts.append(Attempt(event.attempt, event.run_id, event.alone))
            case AttemptFailed():
                self._ends("failed", event.error_text, event.error_kind)
            case AttemptReleased():
                self._ends("released", event.why)
            case AttemptCrashed():
                self._ends("crashed")
            case Completed():
                self._ends("completed")
                self.decided_at = event.at
            case DeadLettered():
                self._decided(event)
            case Adopted() if moment.after != moment.before:  # what was known before stays as it is
                self.attempts = _recorded(event.history)
                self._decided(event)
            case Forgotten():
                self.description = self.description or event.why
            case _:
                pass

    def _decided(self, event: DeadLettered | Adopted) -> None:
        self.reason, self.description, self.decided_at = event.reason, event.description, event.at

    def _ends(self, how: str, text: str = "", kind: str = "") -> None:
        attempt = self.attempts[-1]
        attempt.how, attempt.error_text, attempt.error_kind = how, text, kind


class Lives:
    """The lives of the messages of one id or idempotency key, in the order in which they were received.

    Args:
        states: of each journal before its first event: what it knows already has a life that began earlier.
        wanted: the id or key.
    """

    def __init__(self, states: Mapping[str, EngineState], wanted: str) -> None:
        self._wanted = wanted
        self._current: dict[tuple[str, str], Life] = {}
        self.all: list[Life] = []
        for journal, state in states.items():
            for message in state.messages.values():
                self._begin(_known(journal, message))

    def find(self, journal: str, key: str | None) -> Life | None:
        """Return the latest life of a key; None if that was not asked for."""
        return None if key is None else self._current.get((journal, key))

    def see(self, moment: Moment) -> Life | None:
        """Take the next event, and return the life that it is of; None if it is of none that was asked for."""
        if type(moment.event) not in MESSAGE_EVENTS:
            return None
        life = self.find(moment.journal, moment.entry.key)
        if moment.before is None and moment.after is not None and (life is None or isinstance(moment.event, Received)):
            life = self._begin(_new(moment, moment.after))
        if life is not None:
            life.see(moment)
        return life

    def _begin(self, life: Life) -> Life | None:
        if self._wanted not in (life.key, life.message_id):
            return None
        self.all.append(life)
        self._current[life.journal, life.key] = life
        return life


def _new(moment: Moment, message: MessageState) -> Life:
    origin = message.origin
    return Life(moment.journal, origin.key, origin.queue, origin.message_id)


def _known(journal: str, message: MessageState) -> Life:
    """What a snapshot still knows of a message whose first events were dropped."""
    origin = message.origin
    life = Life(journal, origin.key, origin.queue, origin.message_id)
    life.last_at = message.since
    life.state = message.outcome or message.phase
    life.reason, life.description = message.reason, message.description
    if message.outcome in (Outcome.COMPLETED, Outcome.DEAD_LETTERED, Outcome.DROPPED):
        life.decided_at = message.since
    life.attempts = _recorded(message.history)
    if message.is_running:
        life.attempts.append(Attempt(message.attempt, "", message.alone))
    return life


def _recorded(history: Sequence[AttemptRecord]) -> list[Attempt]:
    attempts: list[Attempt] = []
    for record in history:
        alone = record.how == "crashed" and record.error_text == "alone"
        attempt = Attempt(record.attempt, "", alone, record.how, record.error_kind, record.error_text)
        attempts.append(attempt)
    return attempts
