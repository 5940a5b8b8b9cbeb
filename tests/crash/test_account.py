"""The account that the crash tests rely on finds each promise that is broken."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from queue_runtime.engine.policy import DeadLetterReason
from queue_runtime.journal.events import AttemptCrashed, AttemptStarted, Completed, DeadLettered, Event
from queue_runtime.providers.memory import MemoryBroker, QueueSettings
from tests.crash.account import Account
from tests.crash.load import OUT, QUEUE, Deed, Planned
from tests.journal.examples import write

FIRST, SECOND, CULPRIT = Planned("s", 0, Deed.DO), Planned("s", 1, Deed.DO), Planned("t", 0, Deed.DIE)


def _started(one: Planned, attempt: int = 1) -> Event:
    return AttemptStarted(one.key, attempt, attempt, "run", "route", alone=attempt > 1)


def _completed(one: Planned) -> Event:
    return Completed(one.key, 9, 1, None, ())


def _crashed(one: Planned, attempt: int, *, alone: bool = True) -> Event:
    return AttemptCrashed(one.key, attempt, attempt, alone=alone, suspect_until=0)


def _dead(one: Planned) -> Event:
    return DeadLettered(one.key, 9, DeadLetterReason.POISON, None, "", dropped=False)


BROKEN: dict[str, tuple[Sequence[Event], str, str]] = {
    "lost": ([], "", "is completed False, dead-lettered None"),
    "run again": ([_started(FIRST), _completed(FIRST), _started(FIRST, 2)], f"{FIRST.key} 1 0", "started again after"),
    "run twice": ([_started(FIRST), _completed(FIRST)], f"{FIRST.key} 1 0\n{FIRST.key} 1 1", "were run twice"),
    "run unseen": (
        [_started(FIRST), _completed(FIRST)],
        f"{FIRST.key} 1 0\n{FIRST.key} 2 1",
        "before the journal knew",
    ),
    "never run": ([_started(FIRST), _completed(FIRST)], "", "completed and never ran"),
    "out of order": ([_started(SECOND), _started(FIRST), _completed(FIRST)], "", "what is before it ended at"),
    "condemned innocent": (
        [_started(FIRST), _crashed(FIRST, 1, alone=False), _dead(FIRST)],
        "",
        "after 0 crashes alone",
    ),
    "culprit goes free": ([_started(CULPRIT), _completed(CULPRIT)], f"{CULPRIT.key} 1 0", "is dead-lettered for None"),
    "unknown": ([_started(Planned("x", 7, Deed.DO))], "", "nobody sent"),
    "not at the broker": ([_started(FIRST), _dead(FIRST)], "", "not there {'work/s-0'}"),
}


@pytest.mark.blocks_loop  # journals are read here
@pytest.mark.parametrize("fault", BROKEN)
async def test_a_broken_promise_is_found(tmp_path: Path, fault: str) -> None:
    """Whatever an engine might do wrong is a line of the account."""
    events, runs, said = BROKEN[fault]
    await write(tmp_path / "journal", *([event] for event in events))
    (tmp_path / "runs").write_text(runs)
    broker = MemoryBroker({QUEUE: QueueSettings(), OUT: QueueSettings()})

    problems = list(Account([FIRST, SECOND, CULPRIT], tmp_path).problems(broker, is_ordered=True))

    assert [problem for problem in problems if said in problem], problems
