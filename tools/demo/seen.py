"""What a journal says of a demo: one pass over its events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from queue_runtime.journal import JournalReader
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

__all__ = ["Seen", "order_violations", "read"]


@dataclass(slots=True)
class Seen:
    """Facts by idempotency key. Numbers in `starts` and `completed` are positions: the journal's order of things.

    `copies` and `duplicates` are broker messages, as (key, provider id). `run_again` are keys with an attempt after
    their completion. `latencies_us` has a number for each first copy whose settlement was confirmed to the journal.
    """

    ids: dict[str, str] = field(default_factory=dict[str, str])
    copies: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    duplicates: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    starts: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    completed: dict[str, int] = field(default_factory=dict[str, int])
    dead: set[str] = field(default_factory=set[str])
    run_again: list[str] = field(default_factory=list[str])
    retried: int = 0
    runs: int = 0
    stops: int = 0
    latencies_us: list[int] = field(default_factory=list[int])
    first_at: int = 0
    last_at: int = 0
    _enqueued: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])

    def take(self, position: int, event: Event) -> None:
        """Note one event; in the journal's order."""
        match event:
            case Received():
                self.ids[event.key] = event.message_id
                self.copies.add((event.key, event.provider_id))
                self._enqueued[event.key, event.provider_id] = event.enqueued_at or event.at
                self.first_at = self.first_at or event.at
            case Duplicate():
                self.duplicates.add((event.key, event.provider_id))
                self.copies.add((event.key, event.provider_id))
            case Redelivered():
                self.copies.add((event.key, event.provider_id))
            case AttemptStarted():
                self.starts.setdefault(event.key, []).append(position)
                if event.key in self.completed:
                    self.run_again.append(event.key)
            case AttemptFailed() if event.retry_at is not None:
                self.retried += 1
            case Completed():
                self.completed.setdefault(event.key, position)
            case DeadLettered():
                self.dead.add(event.key)
            case Settled():
                self._settle(event)
            case RunStarted():
                self.runs += 1
            case RunStopped():
                self.stops += 1
            case _:
                pass

    def _settle(self, event: Settled) -> None:
        copy = event.key, event.provider_id
        self.last_at = event.at
        if copy in self._enqueued:
            self.latencies_us.append(event.at - self._enqueued.pop(copy))


def read(journal: Path) -> Seen:
    """Read a journal from its first event to its last.

    Raises:
        JournalError: it cannot be read.
    """
    seen = Seen()
    with JournalReader(journal) as reader:
        for entry in reader.entries():
            if entry.event is not None:
                seen.take(entry.position, entry.event)
    return seen


def order_violations(sent: Sequence[str], seen: Seen) -> int:
    """Count attempts that started before everything sent earlier in the session was completed.

    Args:
        sent: the keys of one session, in the order of their sends.
        seen: the journal. What it has no completion of is left out: a dead letter waits for nobody.
    """
    violations = earlier = 0
    for key in sent:
        if key in seen.completed:
            violations += sum(start < earlier for start in seen.starts.get(key, ()))
            earlier = max(earlier, seen.completed[key])
    return violations
