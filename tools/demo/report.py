"""What happened in a demo, by the journal and by the broker; and whether the two account for every event."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from queue_runtime.journal import JournalReader, verify
from queue_runtime.journal.events import (
    AttemptFailed,
    AttemptStarted,
    Completed,
    DeadLettered,
    Duplicate,
    Event,
    Received,
    Redelivered,
    RunStarted,
    RunStopped,
    Settled,
)
from queue_runtime.providers.port import QueueCounts
from queue_runtime.tools.demo.events import DemoEvent

__all__ = ["Report", "report_on"]


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of a demo. Latency is from the broker's enqueueing to its confirmed settlement, backlog included.

    `problems` is empty if every event is accounted for; `dead_lettered_ids` are worth a look with `journal show`.
    """

    sent: int
    received: int
    completed: int
    duplicates_suppressed: int
    retried: int
    dead_lettered: int
    crashes_survived: int
    order_violations: int
    messages_per_s: float
    latency_p50_ms: float
    latency_p95_ms: float
    journal: str
    dead_lettered_ids: list[str]
    problems: list[str]


@dataclass(slots=True)
class _Seen:
    """One pass over the journal."""

    ids: dict[str, str] = field(default_factory=dict[str, str])
    copies: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    duplicates: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    completed: dict[str, int] = field(default_factory=dict[str, int])
    dead: set[str] = field(default_factory=set[str])
    run_again: list[str] = field(default_factory=list[str])
    retried: int = 0
    runs: int = 0
    stops: int = 0
    enqueued: dict[str, int] = field(default_factory=dict[str, int])
    latencies: list[int] = field(default_factory=list[int])
    first_at: int = 0
    last_at: int = 0

    def take(self, position: int, event: Event) -> None:
        match event:
            case Received():
                self.ids[event.key] = event.message_id
                self.copies.add((event.key, event.provider_id))
                self.enqueued.setdefault(event.key, event.enqueued_at or event.at)
                self.first_at = self.first_at or event.at
            case Duplicate():
                self.duplicates.add((event.key, event.provider_id))
                self.copies.add((event.key, event.provider_id))
            case Redelivered():
                self.copies.add((event.key, event.provider_id))
            case AttemptStarted() if event.key in self.completed:
                self.run_again.append(event.key)
            case AttemptFailed() if event.retry_at is not None:
                self.retried += 1
            case Completed():
                self.completed.setdefault(event.key, position)
            case DeadLettered():
                self.dead.add(event.key)
            case Settled():
                self.last_at = event.at
                if event.key in self.enqueued:
                    self.latencies.append(event.at - self.enqueued.pop(event.key))
            case RunStarted():
                self.runs += 1
            case RunStopped():
                self.stops += 1
            case _:
                pass


def report_on(
    events: Sequence[DemoEvent], journal: Path, queue: str, counts: QueueCounts, *, crashes: int = 0
) -> Report:
    """Read the journal back, and hold it against what was sent and what the broker still has.

    Raises:
        JournalError: the journal cannot be read.
    """
    seen = _Seen()
    with JournalReader(journal) as reader:
        for entry in reader.entries():
            if entry.event is not None:
                seen.take(entry.position, entry.event)
    violations = _order_violations(events, seen, queue)
    seconds = max(seen.last_at - seen.first_at, 1) / 1_000_000
    latencies = sorted(seen.latencies)
    return Report(
        sent=len(events),
        received=len(seen.copies),
        completed=len(seen.completed),
        duplicates_suppressed=len(seen.duplicates),
        retried=seen.retried,
        dead_lettered=len(seen.dead),
        crashes_survived=seen.runs - seen.stops,
        order_violations=violations,
        messages_per_s=round(len(events) / seconds, 1),
        latency_p50_ms=_percentile_ms(latencies, 0.50),
        latency_p95_ms=_percentile_ms(latencies, 0.95),
        journal=str(journal),
        dead_lettered_ids=sorted(seen.ids[key] for key in seen.dead if key in seen.ids),
        problems=[
            *_problems(events, seen, queue, counts),
            *([f"{violations} events were completed out of order"] if violations else []),
            *([f"{seen.runs - seen.stops} runs crashed, not {crashes}"] if seen.runs - seen.stops != crashes else []),
            *_damage(journal),
        ],
    )


def _order_violations(events: Sequence[DemoEvent], seen: _Seen, queue: str) -> int:
    """Completions that came before one that was sent earlier in the same session."""
    sessions: defaultdict[str, list[int]] = defaultdict(list)
    for event in events:
        session_id, key = event.message.session_id, f"{queue}/{event.message.message_id}"
        if session_id is not None and not event.is_again and key in seen.completed:
            sessions[session_id].append(seen.completed[key])
    return sum(_inversions(positions) for positions in sessions.values())


def _inversions(positions: Sequence[int]) -> int:
    latest = inversions = 0
    for position in positions:
        inversions += position < latest
        latest = max(latest, position)
    return inversions


def _problems(events: Sequence[DemoEvent], seen: _Seen, queue: str, counts: QueueCounts) -> list[str]:
    problems: list[str] = []
    expected_dead = {f"{queue}/{event.message.message_id}" for event in events if event.is_dead_letter}
    expected_done = {f"{queue}/{event.message.message_id}" for event in events} - expected_dead
    again = Counter(event.is_again for event in events)[True]

    def unless(condition: bool, problem: str) -> None:  # noqa: FBT001 - what is to hold
        if not condition:
            problems.append(problem)

    lost, wrong = expected_done - seen.completed.keys(), seen.dead ^ expected_dead
    unless(not lost, f"{len(lost)} events were never completed, such as {min(lost, default='')}")
    unless(not wrong, f"{len(wrong)} events are dead-lettered that should not be, or the reverse: {sorted(wrong)[:3]}")
    unless(not seen.run_again, f"{len(seen.run_again)} completed events ran again, such as {seen.run_again[:1]}")
    unless(len(seen.duplicates) == again, f"{again} events were sent twice, {len(seen.duplicates)} were suppressed")
    unless(len(seen.copies) == len(events), f"{len(events)} messages were sent, {len(seen.copies)} were received")
    left = counts.active + counts.in_flight + counts.scheduled
    unless(left == 0, f"the broker still has {left} messages")
    unless(
        counts.dead_letters == len(seen.dead),
        f"the broker has {counts.dead_letters} dead letters, the journal {len(seen.dead)}",
    )
    return problems


def _damage(journal: Path) -> list[str]:
    verdict = verify(journal)
    return [] if verdict.is_good else [f"the journal does not verify: {verdict.what}"]


def _percentile_ms(ordered: Sequence[int], share: float) -> float:
    if not ordered:
        return 0.0
    return round(ordered[min(int(len(ordered) * share), len(ordered) - 1)] / 1_000, 1)
