"""What may never be in a journal is found in one, and named."""

import pytest

from queue_runtime.journal.events import (
    Adopted,
    BreakerClosed,
    BreakerHalfOpened,
    BreakerOpened,
    Deferred,
    Disposition,
    Duplicate,
    Event,
    KeysSealed,
    KeysSealing,
    LapseReason,
    OperatorActed,
    OutgoingFailed,
    Overtaken,
    Redacted,
    Redriven,
    RunStarted,
    RunStopped,
    SessionAcquired,
    SessionParked,
    SessionResumed,
)
from queue_runtime.journal.invariants import Rule, Violation, violations
from queue_runtime.journal.state import Outcome, fold
from tests.unit import builders as b
from tests.unit.builders import KEY, S
from tests.unit.rows import ATTEMPTS, HAND_OVERS, LEASES, Row
from tests.unit.rows_after import LATER, OUTBOX, SETTLEMENTS

M1, M2, M3 = "pulls:m1", "pulls:m2", "pulls:m3"
DEAD_LETTER, ABANDON = Disposition.DEAD_LETTER, Disposition.ABANDON
DAY = 24 * 3_600 * S


def _in_session(*keys: str) -> list[Event]:
    return [b.received(key, session="s", copy=f"copy of {key}") for key in keys]


def _numbered(key: str, number: int) -> list[Event]:
    """A message that its sender numbered, from its receive to its end, but for how its attempt starts."""
    stamp = ("sender", 1, number)
    return [b.received(key, session="s", copy=f"copy of {key}", sequence=number, stamp=stamp)]


def _ended(key: str) -> list[Event]:
    return [b.started(key=key), b.completed(key=key), b.settled(key=key, copy=f"copy of {key}")]


def _lapse(key: str, why: LapseReason = LapseReason.LOCK_LOST) -> Event:
    return b.lapsed(why, key, copy=f"copy of {key}")


def _run(run_id: str) -> RunStarted:
    return RunStarted(run_id, 0, "1", "", "host", 1, DAY)


PARKED = SessionParked("pulls", "s", 0, M1, 9 * S)
RESUMED = SessionResumed("pulls", "s", 1, M1, "ann: fixed")
OPENED = BreakerOpened("route", 0, 5, 30 * S)
HALF_OPENED = BreakerHalfOpened("route", 30 * S)
CLOSED = BreakerClosed("route", 40 * S, "3 probes succeeded")
RESET = OperatorActed(0, "ann", "it is back", "reset", "route")
ADOPTED = Adopted(KEY, 0, "worker-2", 1, "", Outcome.COMPLETED, "", "", 0, (), (), ())
FINISHED = (b.received(), b.started(), b.completed(), b.settled())
FINISHED_LATER = (
    b.received(M2, at=DAY + S, copy="b2"),
    b.started(key=M2, at=DAY + S),
    b.completed(key=M2, at=DAY + S),
    b.settled(key=M2, at=DAY + S, copy="b2"),
)
SUSPECT = (b.received(), b.started(), b.crashed())

TWICE_DEAD: list[Event] = [
    b.received(),
    b.duplicate(),
    b.dead(),
    b.settled(DEAD_LETTER),
    b.settled(DEAD_LETTER, copy="b2"),
]

NOT_OVERTAKEN: list[Event] = [*_numbered(M1, 1), Overtaken(M1, 0, "sender", 1, 2), b.started(key=M1)]

# The last event of each journal breaks the rule.
BROKEN: list[tuple[Rule, list[Event]]] = [
    (Rule.KNOWN_MESSAGE, [b.started()]),
    (Rule.KNOWN_MESSAGE, [*FINISHED, b.redelivered()]),
    (Rule.KNOWN_MESSAGE, [b.duplicate()]),
    (Rule.KNOWN_MESSAGE, [b.received(), Deferred(KEY, 0, "b1", 7), b.started()]),
    (Rule.KNOWN_MESSAGE, [b.received(), b.lapsed(), b.forgotten(), b.redelivered()]),
    (Rule.RECEIVED_ONCE, [b.received(), b.received()]),
    (Rule.ATTEMPT_NUMBERS, [b.received(), b.started(2)]),
    (Rule.ATTEMPT_NUMBERS, [b.received(), b.started(), b.failed(), b.started(1)]),
    (Rule.ATTEMPT_NUMBERS, [*SUSPECT, b.lapsed(), b.forgotten(), b.received(at=900 * S), b.started(1, at=900 * S)]),
    (Rule.ONE_ATTEMPT, [b.received(), b.started(), b.started(2)]),
    (Rule.RUNNING_ATTEMPT, [b.received(), b.failed()]),
    (Rule.RUNNING_ATTEMPT, [b.received(), b.started(), b.failed(2)]),
    (Rule.RUNNING_ATTEMPT, [b.received(), b.started(), b.released(), b.completed()]),
    (Rule.RUNNING_ATTEMPT, [b.received(), b.started(), b.crashed(), b.released()]),
    (Rule.RUNNING_ATTEMPT, [b.received(), b.started(), b.dead()]),
    (Rule.SESSION_ORDER, [*_in_session(M1, M2), b.started(key=M2)]),
    (Rule.SESSION_ORDER, [*_in_session(M1, M2), b.started(key=M1), _lapse(M1), _lapse(M2), b.started(key=M2)]),
    (
        Rule.SESSION_ORDER,
        [*_in_session(M1, M2), b.started(key=M1), b.failed(key=M1), b.started(key=M2)],
    ),
    (Rule.SENDER_ORDER, [*_numbered(M2, 2), *_ended(M2), *_numbered(M1, 1), b.started(key=M1)]),
    (Rule.SENDER_ORDER, NOT_OVERTAKEN),
    (Rule.LAPSE_HANDS_BACK, [*_in_session(M1, M2), _lapse(M1), b.started(key=M2)]),
    (Rule.LAPSE_HANDS_BACK, [*_in_session(M1, M2, M3), _lapse(M1), _lapse(M2), b.started(key=M3)]),
    (
        Rule.LAPSE_HANDS_BACK,
        [*_in_session(M1, M2), _lapse(M1), b.redelivered(M1, copy="new"), b.started(key=M1)],
    ),
    (Rule.PARKED_SESSION, [*_in_session(M1, M2), b.started(key=M1), b.failed(key=M1), PARKED, b.started(2, M1)]),
    (Rule.ONE_OUTCOME, [b.received(), b.started(), b.completed(), b.started(2)]),
    (Rule.ONE_OUTCOME, [b.received(), b.dead(), b.dead()]),
    (Rule.ADOPTED_ONCE, [b.received(), b.started(), b.released(), ADOPTED]),
    (Rule.RUN_ONCE, [*FINISHED, b.received(at=DAY), b.started(at=DAY)]),
    (Rule.OUTBOX_ORDER, [b.received(), b.started(), b.completed(outgoing=2), b.sent(1)]),
    (Rule.OUTBOX_ORDER, [b.received(), b.started(), b.completed(), b.sent()]),
    (
        Rule.OUTBOX_ORDER,
        [b.received(), b.started(), b.completed(outgoing=1), b.sent(), OutgoingFailed(KEY, 0, 0, "", "")],
    ),
    (Rule.SETTLED_BY_OUTCOME, [b.received(), b.settled()]),
    (Rule.SETTLED_BY_OUTCOME, [b.received(), b.started(), b.completed(outgoing=1), b.settled()]),
    (Rule.SETTLED_BY_OUTCOME, [b.received(), b.started(), b.refused()]),
    (Rule.SETTLED_BY_OUTCOME, [b.received(), b.dead(), b.settled()]),
    (Rule.SETTLED_BY_OUTCOME, [b.received(), b.started(), b.completed(), b.settled(DEAD_LETTER)]),
    (Rule.SETTLED_BY_OUTCOME, [b.received(), b.settled(DEAD_LETTER)]),
    (Rule.SETTLED_BY_OUTCOME, TWICE_DEAD),
    (Rule.SETTLED_BY_OUTCOME, [b.received(), b.settled(ABANDON)]),
    (Rule.ONE_RUN, [_run("r2"), b.received(), b.started(run="r1")]),
    (Rule.ONE_RUN, [_run("r1"), b.received(), b.started(), _run("r2"), b.failed()]),
    (
        Rule.ONE_RUN,
        [_run("r1"), b.received(), b.started(), _run("r2"), b.received(M2, copy="b2"), b.started(key=M2, run="r2")],
    ),
    (Rule.ONE_RUN, [_run("r1"), RunStopped("r2", 0, "")]),
    (Rule.ALONE, [*SUSPECT, b.started(2)]),
    (Rule.ALONE, [b.received(suspect_until=9 * S), b.started(at=8 * S)]),
    (Rule.ALONE, [b.received(), b.received(M2, copy="b2"), b.started(alone=True), b.started(key=M2)]),
    (Rule.ALONE, [b.received(), b.received(M2, copy="b2"), b.started(), b.started(key=M2, alone=True)]),
    (Rule.KEYS_SEALED, [*FINISHED, KeysSealed(S, 5)]),
    (Rule.KEYS_SEALED, [*FINISHED, KeysSealing(S, 1), KeysSealed(S, 4)]),
    (Rule.KEYS_SEALED, [*FINISHED, KeysSealing(S, 1), KeysSealed(S, 5), KeysSealed(S, 5)]),
    (Rule.BREAKER_ORDER, [OPENED, OPENED]),
    (Rule.BREAKER_ORDER, [HALF_OPENED]),
    (Rule.BREAKER_ORDER, [OPENED, BreakerHalfOpened("route", 29 * S)]),
    (Rule.BREAKER_ORDER, [OPENED, CLOSED]),
    (Rule.BREAKER_ORDER, [OPENED, RESET, BreakerClosed("other", 0, "")]),
]

# Which life of a message, which run of an attempt, what a lapse left behind, what was heard late: in no state.
IN_NO_STATE = {Rule.RUN_ONCE, Rule.ONE_RUN, Rule.LAPSE_HANDS_BACK}
FROM_STATE = [
    (rule, journal)
    for rule, journal in BROKEN
    if rule not in IN_NO_STATE and journal is not TWICE_DEAD and journal is not NOT_OVERTAKEN
]
# A duplicate of what was finished needs the history that finished it.
ROWS = [
    row
    for row in (*HAND_OVERS, *LEASES, *ATTEMPTS, *OUTBOX, *SETTLEMENTS, *LATER)
    if row.before or not isinstance(row.events[0], Duplicate)
]
KEPT: list[list[Event]] = [
    [*FINISHED, b.duplicate(at=S), b.settled(copy="b2", at=S)],
    [*FINISHED, b.received(at=DAY + S), b.started(at=DAY + S)],
    [*FINISHED, *FINISHED_LATER, b.received(at=DAY + S), b.started(at=DAY + S)],
    [*FINISHED, b.received(digest=b"another"), b.started()],
    [*SUSPECT, b.started(2, alone=True), b.failed(2), b.started(3)],
    [*SUSPECT, b.started(2, at=600 * S)],
    [*SUSPECT, b.lapsed(), b.forgotten(), b.received(at=900 * S), b.started(2, at=900 * S)],
    [*SUSPECT, b.lapsed(), b.forgotten(), b.forgotten(), b.received(at=900 * S), b.started(1, at=900 * S)],
    [*_in_session(M1, M2), b.started(key=M1), b.completed(key=M1), b.started(key=M2)],
    [*_in_session(M1, M2), b.dead(key=M1), b.started(key=M2)],
    [*_in_session(M1, M2), _lapse(M1), _lapse(M2), b.redelivered(M2, copy="new"), b.started(key=M2)],
    [*_in_session(M1, M2), b.duplicate(M1, copy="b9"), _lapse(M1), b.started(key=M1)],
    [*_in_session(M1, M2), b.started(key=M1), b.failed(key=M1), PARKED, RESUMED, b.started(2, M1)],
    [*_in_session(M1, M2), _lapse(M1), _lapse(M2), b.forgotten(M1), b.redelivered(M2, copy="new"), b.started(key=M2)],
    [*_numbered(M2, 2), *_numbered(M1, 1), *_ended(M1), *_ended(M2)],
    [*_numbered(M2, 2), *_ended(M2), *_numbered(M1, 1), Overtaken(M1, 0, "sender", 1, 2), *_ended(M1)],
    [PARKED, RESUMED, SessionAcquired("pulls", "s", 0, 1)],
    [b.received(), b.dead(dropped=True), b.settled()],
    [b.received(), b.duplicate(), b.dead(), b.settled(DEAD_LETTER), b.settled(copy="b2")],
    [b.received(), b.duplicate(), b.dead(), b.lapsed(), b.settled(DEAD_LETTER), b.settled(DEAD_LETTER, copy="b2")],
    [b.received(), b.duplicate(), b.dead(), b.lapsed(), b.settled(DEAD_LETTER, copy="b2"), b.settled(DEAD_LETTER)],
    [b.received(), b.lapsed(release=True), b.settled(ABANDON), b.redelivered(), b.started()],
    [_run("r1"), b.received(), b.started(), _run("r2"), b.crashed(), b.started(2, run="r2", alone=True)],
    [_run("r1"), b.received(), b.started(), b.completed(), RunStopped("r1", 0, ""), _run("r2"), b.settled()],
    [*FINISHED, KeysSealing(S, 1), KeysSealing(S, 0), KeysSealed(S, 5), KeysSealing(S, 0), KeysSealed(S, 8)],
    [OPENED, HALF_OPENED, CLOSED, OPENED, RESET, BreakerClosed("route", 0, "reset")],
    [OPENED, HALF_OPENED, BreakerOpened("route", 40 * S, 1, 70 * S)],
    [*FINISHED, Redriven(KEY, 0, 1, "", "ann", ""), Redacted(KEY, 0, "ann", "")],
]


def _violations(events: list[Event]) -> list[Violation]:
    return violations(enumerate(events, 1))


@pytest.mark.parametrize(("rule", "journal"), BROKEN, ids=[f"{n} {rule.name}" for n, (rule, _) in enumerate(BROKEN)])
def test_a_journal_that_breaks_a_rule_is_reported_by_its_name(rule: Rule, journal: list[Event]) -> None:
    """Up to the last event nothing is wrong; that one breaks the rule, at its position."""
    assert _violations(journal[:-1]) == []

    found = _violations(journal)
    assert (rule, len(journal)) in {(violation.rule, violation.position) for violation in found}
    assert all(
        any(name in violation.text for name in ("pulls:m", "run r", "breaker ", "keys up to ")) for violation in found
    )


def test_every_rule_can_be_broken() -> None:
    """No rule is there that nothing tests."""
    assert {rule for rule, _ in BROKEN} == set(Rule)


@pytest.mark.parametrize("journal", KEPT, ids=range(len(KEPT)))
def test_a_journal_that_keeps_the_rules_is_not_reported(journal: list[Event]) -> None:
    """What looks alike and is allowed is not a violation."""
    assert _violations(journal) == []


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_what_the_core_decides_breaks_no_rule(row: Row) -> None:
    """Every row of the transition table leads to a journal that keeps them."""
    assert _violations([*row.before, *row.events]) == []


@pytest.mark.parametrize(
    ("rule", "journal"), FROM_STATE, ids=[f"{n} {rule.name}" for n, (rule, _) in enumerate(FROM_STATE)]
)
def test_a_journal_can_be_judged_from_a_snapshot_on(rule: Rule, journal: list[Event]) -> None:
    """What the state says is enough to judge what follows it."""
    found = violations([(len(journal), journal[-1])], fold(journal[:-1]))

    assert rule in {violation.rule for violation in found}


def test_a_journal_that_goes_on_from_a_snapshot_is_not_reported() -> None:
    """A journal without violations has none either when it is read from its middle."""
    for journal in KEPT:
        for cut in range(len(journal)):
            if cut and isinstance(journal[cut - 1], OperatorActed | Overtaken):
                continue  # it is journaled in one piece with what was asked for: no snapshot comes between
            rest = list(enumerate(journal, 1))[cut:]

            assert violations(rest, fold(journal[:cut])) == []
