"""What happened in a demo, by the journal and by the broker; and whether the two account for every event."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from queue_runtime.journal import audit, verify
from queue_runtime.providers.port import QueueCounts
from queue_runtime.tools.demo.events import DemoEvent
from queue_runtime.tools.demo.seen import Seen, order_violations, read

__all__ = ["Report", "report_on"]


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of a demo. Latency is from the broker's enqueueing to its confirmed settlement, backlog included.

    `problems` is empty if every event is accounted for. `look_at` is the message that is worth a `journal show`: the
    one with the most attempts, of the dead-lettered ones if there are any.
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
    look_at: str
    problems: list[str]


def report_on(
    events: Sequence[DemoEvent],
    journal: Path,
    queue: str,
    counts: QueueCounts,
    *,
    crashes: int = 0,
    dead_letters: Collection[str] | None = None,
) -> Report:
    """Read the journal back, and hold it against what was sent and what the broker still has.

    Args:
        events: what was sent, in this order.
        journal: its folder.
        queue: where it was sent to.
        counts: what the broker has left.
        crashes: how often the engine was killed.
        dead_letters: message ids of the broker's dead letters, where they are known.

    Raises:
        JournalError: the journal cannot be read.
    """
    seen = read(journal)
    violations = _order_violations(events, seen, queue)
    seconds = max(seen.last_at - seen.first_at, 1) / 1_000_000
    latencies = sorted(seen.latencies_us)
    dead_ids = sorted(seen.ids[key] for key in seen.dead if key in seen.ids)
    problems = [
        *_missing(events, seen, queue),
        *_left(counts, seen),
        *([f"{violations} attempts started out of order"] if violations else []),
        *([f"{seen.runs - seen.stops} runs crashed, not {crashes}"] if seen.runs - seen.stops != crashes else []),
    ]
    if dead_letters is not None and sorted(dead_letters) != dead_ids:
        problems.append(f"the broker's dead letters are {sorted(dead_letters)[:5]}, the journal's {dead_ids[:5]}")
    verdict = verify(journal)
    if not verdict.is_good:
        problems.append(f"the journal does not verify: {verdict.what}")
    violation = audit(journal)
    if violation is not None:
        problems.append(f"position {violation.position} of the journal breaks a rule: {violation.text}")
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
        dead_lettered_ids=dead_ids,
        look_at=_look_at(seen),
        problems=problems,
    )


def _order_violations(events: Sequence[DemoEvent], seen: Seen, queue: str) -> int:
    sessions: defaultdict[str, list[str]] = defaultdict(list)
    for event in events:
        if event.message.session_id is not None and not event.is_again:
            sessions[event.message.session_id].append(f"{queue}/{event.message.message_id}")
    return sum(order_violations(sent, seen) for sent in sessions.values())


def _missing(events: Sequence[DemoEvent], seen: Seen, queue: str) -> Iterator[str]:
    """Yield what breaks this: every event has one outcome, the expected one, and every copy of it was seen."""
    keys = {f"{queue}/{event.message.message_id}" for event in events}
    expected_dead = {f"{queue}/{event.message.message_id}" for event in events if event.is_dead_letter}
    again = sum(event.is_again for event in events)
    if lost := keys - expected_dead - seen.completed.keys():
        yield f"{len(lost)} events were never completed, such as {min(lost)}"
    if wrong := seen.dead ^ expected_dead:
        yield f"{len(wrong)} events are dead-lettered that should not be, or the reverse, such as {min(wrong)}"
    if unknown := seen.ids.keys() - keys:
        yield f"{len(unknown)} messages were received that nobody sent, such as {min(unknown)}"
    if seen.run_again:
        yield f"{len(seen.run_again)} attempts started after their message was completed, such as {seen.run_again[0]}"
    if len(seen.duplicates) != again:
        yield f"{again} events were sent twice, {len(seen.duplicates)} were suppressed"
    if len(seen.copies) != len(events):
        yield f"{len(events)} messages were sent, {len(seen.copies)} were received"


def _left(counts: QueueCounts, seen: Seen) -> Iterator[str]:
    if left := counts.active + counts.in_flight + counts.scheduled:
        yield f"the broker still has {left} messages"
    if counts.dead_letters != len(seen.dead):
        yield f"the broker has {counts.dead_letters} dead letters, the journal {len(seen.dead)}"


def _look_at(seen: Seen) -> str:
    keys = sorted(seen.dead & seen.ids.keys()) or sorted(seen.ids)
    return seen.ids[max(keys, key=lambda key: len(seen.starts.get(key, ())))] if keys else ""


def _percentile_ms(ordered: Sequence[int], share: float) -> float:
    if not ordered:
        return 0.0
    return round(ordered[min(int(len(ordered) * share), len(ordered) - 1)] / 1_000, 1)
