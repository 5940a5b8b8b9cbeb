"""The account after a run: what was sent, what the journal says, what really ran, and what the broker has."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from queue_runtime.engine.policy import DeadLetterReason
from queue_runtime.journal import JournalReader, verify
from queue_runtime.journal.events import (
    AttemptCrashed,
    AttemptStarted,
    Completed,
    DeadLettered,
    Event,
    StepRecorded,
)
from queue_runtime.journal.invariants import violations
from queue_runtime.providers.memory import MemoryBroker
from tests.crash.load import OUT, QUEUE, Deed, Planned

__all__ = ["Account", "stored"]

CONDEMNED_AFTER = 3


def stored(journal: Path) -> list[tuple[int, Event]]:
    """Return every event of a journal with its position."""
    with JournalReader(journal) as reader:
        return [(entry.position, entry.event) for entry in reader.entries() if entry.event is not None]


class Account:
    """What one journal says of the planned messages. `problems` yields whatever breaks a promise.

    Args:
        planned: what was sent, in this order.
        folder: with the journal and the file of runs.
    """

    def __init__(self, planned: Sequence[Planned], folder: Path) -> None:
        self._planned = planned
        self._folder = folder
        self._events = stored(folder / "journal")
        self.completed: dict[str, int] = {}
        self.dead: dict[str, str] = {}
        self._ended: dict[str, int] = {}
        self._starts: defaultdict[str, list[int]] = defaultdict(list)
        self._attempts: set[tuple[str, int]] = set()
        self._alone: Counter[str] = Counter()
        self._steps: Counter[tuple[str, str]] = Counter()
        for position, event in self._events:
            self._take(position, event)

    def _take(self, position: int, event: Event) -> None:
        match event:
            case AttemptStarted():
                self._starts[event.key].append(position)
                self._attempts.add((event.key, event.attempt))
            case AttemptCrashed() if event.alone:
                self._alone[event.key] += 1
            case StepRecorded():
                self._steps[event.key, event.name] += 1
            case Completed():
                self.completed[event.key] = self._ended[event.key] = position
            case DeadLettered():
                self.dead[event.key] = event.reason
                self._ended[event.key] = position
            case _:
                pass

    def problems(self, broker: MemoryBroker, *, is_ordered: bool) -> Iterator[str]:
        """Yield every promise that was broken, in words."""
        yield from self._outcomes()
        yield from self._runs()
        yield from self._at_the_broker(broker)
        if is_ordered:
            yield from self._order()
        verdict = verify(self._folder / "journal")
        if not verdict.is_good:
            yield f"the journal does not verify: {verdict.what}"
        yield from map(str, violations(self._events))

    def planted_deaths(self) -> int:
        """How often a handler took its process with it: it had begun to, also where a kill was quicker."""
        deeds = {one.key: one.deed for one in self._planned}
        return sum(
            deeds.get(key) is Deed.DIE or (deeds.get(key) is Deed.DIE_ONCE and attempt == 1)
            for key, attempt in self._ran()
        )

    def _ran(self) -> list[tuple[str, int]]:
        """Which attempts really ran, each as often as it did."""
        lines = (self._folder / "runs").read_text().splitlines()
        return [(key, int(attempt)) for key, attempt, *_ in map(str.split, lines)]

    def _outcomes(self) -> Iterator[str]:
        for one in self._planned:
            is_completed, reason = one.key in self.completed, self.dead.get(one.key)
            if is_completed == (reason is not None):
                yield f"{one} is completed {is_completed}, dead-lettered {reason}"
            elif reason == DeadLetterReason.POISON:
                if self._alone[one.key] < CONDEMNED_AFTER:
                    yield f"{one} is condemned after {self._alone[one.key]} crashes alone"
            elif (reason is not None) != (one.deed is Deed.REFUSE) or one.deed is Deed.DIE:
                yield f"{one} is dead-lettered for {reason}"
        if unknown := self._starts.keys() - {one.key for one in self._planned}:
            yield f"nobody sent {unknown}"

    def _runs(self) -> Iterator[str]:
        for key, starts in self._starts.items():
            if max(starts) > self._ended.get(key, 0):
                yield f"{key} is started again after its outcome, or has none"
        ran = Counter(self._ran())
        if again := [attempt for attempt, times in ran.items() if times > 1]:
            yield f"attempts that were run twice: {again}"
        if unknown := ran.keys() - self._attempts:
            yield f"attempts that were run before the journal knew of them: {unknown}"
        if never := self.completed.keys() - {key for key, _ in ran}:
            yield f"messages that are completed and never ran: {never}"
        if again_recorded := [step for step, times in self._steps.items() if times > 1]:
            yield f"steps that were recorded twice: {again_recorded}"

    def _at_the_broker(self, broker: MemoryBroker) -> Iterator[str]:
        counts = broker.counts(QUEUE)
        if counts.active + counts.in_flight + counts.scheduled:
            yield f"the broker has {counts}"
        buried = {f"{QUEUE}/{message.message_id}" for message in broker.messages(QUEUE, dead_letters=True)}
        if buried != self.dead.keys():
            yield f"dead letters of the broker only {buried - self.dead.keys()}, not there {self.dead.keys() - buried}"
        sent = Counter(message.body.decode() for message in broker.messages(OUT))
        expected = {one.key for one in self._planned if one.deed is Deed.STEP and one.key in self.completed}
        if sent != dict.fromkeys(expected, 1):
            lost, twice = expected - sent.keys(), [key for key, times in sent.items() if times > 1]
            yield f"outgoing messages: lost {lost}, twice {twice}, not owed {sent.keys() - expected}"

    def _order(self) -> Iterator[str]:
        """In a session nothing starts before all that was sent earlier has its outcome."""
        earlier: defaultdict[str, int] = defaultdict(int)
        for one in self._planned:
            starts = self._starts[one.key]
            if starts and min(starts) < earlier[one.session]:
                yield f"{one} started at {min(starts)}, but what is before it ended at {earlier[one.session]}"
            earlier[one.session] = max(earlier[one.session], self._ended.get(one.key, 0))
