"""The rules that every journal keeps to, and what a broken one is; `invariants.py` holds events against them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from queue_runtime.journal.events import Event
from queue_runtime.journal.tracks import Tracks

__all__ = ["Findings", "Rule", "Violation"]


class Rule(StrEnum):
    """What every journal keeps to."""

    KNOWN_MESSAGE = "an event is about a message that was received"
    RECEIVED_ONCE = "a message is received once, until it is forgotten"
    ATTEMPT_NUMBERS = "attempts are numbered 1, 2, 3"
    ONE_ATTEMPT = "a message is in one attempt at a time"
    RUNNING_ATTEMPT = "only the attempt that runs can end"
    SESSION_ORDER = "a session goes on in order, one message at a time"
    SENDER_ORDER = "a message that starts behind a later one of its sender is said to, and no other is"
    LAPSE_HANDS_BACK = "a lapse hands back what is behind it before the session goes on"
    PARKED_SESSION = "nothing of a parked session starts"
    ONE_OUTCOME = "an outcome is final"
    ADOPTED_ONCE = "what is adopted was not known here"
    RUN_ONCE = "what was completed is not run again"
    OUTBOX_ORDER = "outgoing messages are sent in order"
    SETTLED_BY_OUTCOME = "the broker hears of an outcome that is journaled, and after the outgoing messages"
    ONE_RUN = "one run at a time"
    ALONE = "a suspect runs alone"
    KEYS_SEALED = "a key file holds what was set aside for it"
    BREAKER_ORDER = "a breaker opens, half opens and closes"


@dataclass(frozen=True, slots=True)
class Violation:
    """One event that may not be where it is."""

    position: int
    rule: Rule
    text: str


class Findings:
    """What was read of a journal so far, as far as it matters. `found` lists the violations."""

    def __init__(self, tracks: Tracks) -> None:
        """Begin where `tracks` does."""
        self.found: list[Violation] = []
        self.tracks = tracks
        self.before: Event | None = None
        self.position = 0

    def require(self, kept: bool, rule: Rule, text: str) -> bool:  # noqa: FBT001 - reads as a sentence
        """Report `rule` as broken unless it is kept; returns whether it is."""
        if not kept:
            self.found.append(Violation(self.position, rule, text))
        return kept
