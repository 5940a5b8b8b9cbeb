"""Why a message is where it is: the chain of events that led there, each with its causes. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from queue_runtime.journal.events import LeasesRenewed, OperatorActed, SessionParked, SessionResumed
from queue_runtime.journal.message_state import Outcome, Phase
from queue_runtime.tools.replay.life import GONE, Attempt, Life, Lives
from queue_runtime.tools.replay.recording import Moment, Story
from queue_runtime.tools.replay.sentences import Link, charge, sentence
from queue_runtime.tools.replay.surroundings import Run, Surroundings
from queue_runtime.tools.replay.words import span, when

__all__ = ["Explanation", "explained", "max_attempts"]

_CHARGED = re.compile(r"^attempt \d+ \((\d+) of (\d+) charged\)")
_SPENT = re.compile(r"^(\d+) of (\d+) attempts are spent")


@dataclass(slots=True)
class Explanation:
    """The chain of causes of one message in one journal.

    Attributes:
        verdict: one sentence: where the message is, and why.
        charges: a sentence for each attempt: how it ended, and whether it counts.
        settings: a sentence for each run in which something happened to it: by which version and settings.
        links: every event, in order.
        renewals: how often its lock was extended.
    """

    life: Life
    verdict: str = ""
    charges: list[str] = field(default_factory=list[str])
    settings: list[str] = field(default_factory=list[str])
    links: list[Link] = field(default_factory=list[Link])
    renewals: int = 0


def explained(story: Story, wanted: str) -> list[Explanation]:
    """Play a story, and explain the messages of this id or idempotency key; none if there are none.

    Raises:
        JournalCorrupt: names the first position that cannot be read.
    """
    lives = Lives(story.states, wanted)
    around = {name: Surroundings(is_whole=story.is_whole) for name in story.states}
    found = {id(life): Explanation(life) for life in lives.all}
    for moment in story.moments():
        touched = [lives.see(moment), *(lives.find(moment.journal, key) for key in _touched(moment))]
        around[moment.journal].see(moment)
        for life in touched:
            if life is not None:
                _link(found.setdefault(id(life), Explanation(life)), moment, around[moment.journal])
    for explanation in found.values():
        _conclude(explanation, around[explanation.life.journal])
    return list(found.values())


def max_attempts(description: str) -> tuple[int, int] | None:
    """Read from a dead letter's description how many attempts were charged, of how many; None if it does not say."""
    match = _CHARGED.match(description) or _SPENT.match(description)
    return None if match is None else (int(match[1]), int(match[2]))


def _touched(moment: Moment) -> Iterator[str]:
    """Yield the keys of the messages that an event is about, which is no event of theirs."""
    match moment.event:
        case SessionParked() | SessionResumed():
            yield moment.event.key
        case OperatorActed():
            yield moment.event.target
        case LeasesRenewed():
            yield from (key for key, _, _ in moment.event.leases)
        case _:
            pass


def _link(explanation: Explanation, moment: Moment, around: Surroundings) -> None:
    if isinstance(moment.event, LeasesRenewed):
        explanation.renewals += 1
        return
    since = explanation.links[-1].position if explanation.links else 0
    explanation.links.append(sentence(moment, explanation.life, around, since))


def _conclude(explanation: Explanation, around: Surroundings) -> None:
    life = explanation.life
    explanation.verdict = _verdict(explanation, around)
    explanation.charges = [charge(attempt, around) for attempt in life.attempts]
    ids = dict.fromkeys(attempt.run_id for attempt in life.attempts)
    explanation.settings = [_ran_under(run, around) for run in around.runs if run.run_id in ids]


def _ran_under(run: Run, around: Surroundings) -> str:
    index = around.runs.index(run)
    text = f"{run.name} ({run.run_id}) ran version {run.version} with settings {run.settings[:12]}"
    if index and around.runs[index - 1].settings != run.settings:
        text += f", other ones than {around.runs[index - 1].name} had"
    return text + (", after a crash" if run.after_crash else "")


def _verdict(explanation: Explanation, around: Surroundings) -> str:
    life = explanation.life
    at = when(life.decided_at)
    match life.state:
        case Outcome.COMPLETED:
            return f"completed at {at}{_in_attempt(life)}{_but(life, around)}{_settlement(life)}"
        case Outcome.DEAD_LETTERED:
            return f"dead-lettered at {at} because {_because(life, around)}{_settlement(life)}"
        case Outcome.DROPPED:
            return f"dropped at {at} because {_because(life, around)}{_settlement(life)}"
        case _:
            since = explanation.links[-1].at if explanation.links else life.last_at
            last = f"; the last that happened: {explanation.links[-1].text}" if explanation.links else ""
            return f"{_STATES.get(life.state, life.state)} since {when(since)}{last}"


def _in_attempt(life: Life) -> str:
    return f" in attempt {life.attempts[-1].number}" if life.attempts else ""


def _but(life: Life, around: Surroundings) -> str:
    others = [charge(attempt, around) for attempt in life.attempts if attempt.how not in ("completed", "running")]
    return f"; {'; '.join(others)}" if others else ""


def _because(life: Life, around: Surroundings) -> str:
    last = life.attempts[-1] if life.attempts else None
    limit = max_attempts(life.description)
    if last is None or limit is None or not last.is_charged:
        return f"{life.reason}: {life.description}{_but(life, around)}"
    others = [attempt for attempt in life.attempts if attempt is not last and attempt.how in ("crashed", "released")]
    notes = "".join(f"; {charge(attempt, around)}" for attempt in others)
    return f"{_final(last, *limit)}{notes}"


def _final(last: Attempt, charged: int, limit: int) -> str:
    """An error that may pass ends a message by its number; one that will not ends it by itself."""
    if charged < limit:
        return f"attempt {last.number} failed with {last.error_kind}, an error that no retry would mend"
    ended = f"failed with {last.error_kind}" if last.how == "failed" else last.how
    if last.number == charged:
        return f"attempt {charged} of {limit} {ended}"
    return f"attempt {last.number}, the {charged}. that was charged of {limit}, {ended}"


def _settlement(life: Life) -> str:
    if life.settled_at is None:
        return "; the broker has not confirmed that yet"
    return f"; the broker confirmed it {span(max(life.settled_at - (life.decided_at or 0), 0))} later"


_STATES = {
    Phase.WAITING: "waiting for an attempt",
    Phase.RUNNING: "in its handler",
    Phase.ORPHANED: "in its handler, its lock lost,",
    Phase.BACKING_OFF: "backing off before the next attempt",
    Phase.LAPSED: "not held, to be handed over again by the broker,",
    Phase.FORGOTTEN: "known by its attempts alone",
    GONE: "forgotten without an outcome",
}
