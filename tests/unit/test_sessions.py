"""Sessions: their order after a lapse, parking, and their broker's lock."""

import pytest

from queue_runtime.engine.decide import decide
from queue_runtime.engine.decide_session import cascade, decide_session, with_cascade
from queue_runtime.engine.inputs import (
    Action,
    ParkTimedOut,
    ResumeAsked,
    SessionEnded,
    SessionGranted,
    SessionInput,
    StateSet,
)
from queue_runtime.engine.policy import Policy, SessionFailure
from queue_runtime.journal.events import (
    Event,
    LapseReason,
    OperatorActed,
    SessionAcquired,
    SessionLost,
    SessionParked,
    SessionReleased,
    SessionResumed,
    SessionStateSet,
)
from queue_runtime.journal.state import EngineState, Phase, SessionState, fold
from tests.unit import builders as b
from tests.unit.builders import KEY, S

LANE = ("pulls", "s")
PARK = Policy(session_failure=SessionFailure.PARK)
UNTIL = 43_200 * S
LANE_LAPSE = LapseReason.LANE
PARKED: tuple[Event, ...] = (
    b.received(session="s"),
    b.started(),
    b.failed(),
    SessionParked("pulls", "s", 0, KEY, UNTIL),
)
RESUMED = SessionResumed("pulls", "s", UNTIL, KEY, "nobody resumed it in time")


def _three(*more: Event) -> EngineState:
    return fold([*(b.received(f"pulls:m{n}", session="s", copy=f"b{n}") for n in (1, 2, 3)), *more])


def _decide(state: EngineState, given: SessionInput) -> tuple[Event, ...]:
    session = state.sessions.get(LANE)
    return decide_session(session, given, state.messages.get(KEY))


# --- order -------------------------------------------------------------------------------------------------------


def test_a_lapse_hands_back_what_waits_behind_it_tail_first() -> None:
    """The head lost its lock, so the third and then the second go back to the broker."""
    state = _three()
    head = state.messages["pulls:m1"]

    events = with_cascade(head, decide(head, b.lost(copy="b1"), Policy()), state.messages.values())

    assert events == (
        b.lapsed(key="pulls:m1", copy="b1"),
        b.lapsed(LANE_LAPSE, "pulls:m3", copy="b3", release=True),
        b.lapsed(LANE_LAPSE, "pulls:m2", copy="b2", release=True),
    )


def test_what_is_before_a_lapse_or_runs_is_left_alone() -> None:
    """Earlier messages keep their locks, and an attempt that was started goes on."""
    state = _three(b.started(key="pulls:m3"))

    assert cascade(state.messages.values(), 2, 0) == ()
    assert [event.key for event in cascade(state.messages.values(), 1, 0) if isinstance(event, type(b.lapsed()))] == [
        "pulls:m2"
    ]


@pytest.mark.parametrize(
    "more",
    [
        (b.duplicate("pulls:m1", copy="b9"),),  # another copy is still held
        (b.started(key="pulls:m1"), b.completed(key="pulls:m1")),  # nobody waits for it any more
    ],
    ids=["one of two copies", "an outcome"],
)
def test_a_lapse_that_leaves_the_session_as_it_was_hands_nothing_back(more: tuple[Event, ...]) -> None:
    """Only an open message that is lost altogether matters to those behind it."""
    state = _three(*more)
    head = state.messages["pulls:m1"]

    events = with_cascade(head, decide(head, b.lost(copy="b1"), Policy()), state.messages.values())

    assert events == (b.lapsed(key="pulls:m1", copy="b1"),)


def test_events_that_end_no_lease_hand_nothing_back() -> None:
    """A retry in place keeps its session waiting, and its locks."""
    state = _three(b.started(key="pulls:m1"))
    head = state.messages["pulls:m1"]

    assert with_cascade(head, (b.failed(key="pulls:m1"),), state.messages.values()) == (b.failed(key="pulls:m1"),)


def test_an_operators_release_hands_back_the_session_behind_it() -> None:
    """What was journaled for people stands before the lapses, and is no event of a message."""
    state = _three()
    head = state.messages["pulls:m1"]

    events = with_cascade(head, decide(head, b.asked(Action.RELEASE), Policy()), state.messages.values())

    assert [type(event).__name__ for event in events] == ["OperatorActed", *["LeaseLapsed"] * 3]


def test_order_is_the_brokers_sequence_and_else_that_of_the_journal() -> None:
    """A broker's own number wins; without one, whatever was journaled first is first, also after it was forgotten."""
    numbered = fold([b.received("pulls:m1", session="s", sequence=7)])
    journaled = _three(b.started(key="pulls:m1"), b.failed(key="pulls:m1"), b.lapsed(key="pulls:m1"))
    again = _three(
        b.started(key="pulls:m1"),
        b.failed(key="pulls:m1"),
        b.lapsed(key="pulls:m1"),
        b.forgotten("pulls:m1"),
        b.received("pulls:m1", session="s"),
    )

    assert numbered.messages["pulls:m1"].order == 7
    assert [message.order for message in journaled.messages.values()] == [1, 2, 3]
    assert [message.order for message in again.messages.values()] == [1, 2, 3]


# --- parking -----------------------------------------------------------------------------------------------------


def test_a_parked_head_owes_nothing_until_it_is_resumed() -> None:
    """It is neither retried nor dead-lettered, and its session says for whom it is parked."""
    state = fold(PARKED)

    assert b.owes(state) == ()
    assert decide(state.messages[KEY], b.ready(UNTIL), PARK) == ()
    assert state.sessions[LANE] == SessionState("pulls", "s", parked_key=KEY, parked_until=UNTIL)


def test_a_resumed_head_is_tried_afresh() -> None:
    """An operator resumed it: its failures count no more, and the session is as if it had never been parked."""
    events = _decide(fold(PARKED), ResumeAsked(5 * S, "ann", "fixed"))
    resumed = SessionResumed("pulls", "s", 5 * S, KEY, "ann: fixed")

    assert events == (OperatorActed(5 * S, "ann", "fixed", "resume", "pulls/s"), resumed)
    state = fold([*PARKED, *events])
    assert (state.sessions, state.messages[KEY].failures) == ({}, 0)
    assert decide(state.messages[KEY], b.ready(5 * S), PARK) == (b.started(2, at=5 * S),)


def test_a_head_that_nobody_resumed_is_dead_lettered() -> None:
    """When the time is up the session goes on without it; not a moment earlier."""
    dead = b.dead(
        "ParkExpired", at=UNTIL, kind=None, text="its session was parked for it, and nobody resumed it in time"
    )

    assert _decide(fold(PARKED), ParkTimedOut(UNTIL - 1)) == ()
    assert _decide(fold(PARKED), ParkTimedOut(UNTIL)) == (dead, RESUMED)


def test_a_head_that_the_broker_took_back_is_dead_lettered_all_the_same() -> None:
    """Its lock cannot be kept for ever: the decision waits for the next hand-over."""
    parked = [*PARKED, b.lapsed()]
    state = fold([*parked, *_decide(fold(parked), ParkTimedOut(UNTIL))])

    assert state.messages[KEY].phase is Phase.UNSETTLED
    assert b.owes(fold([*parked, *_decide(fold(parked), ParkTimedOut(UNTIL)), b.redelivered(at=UNTIL)])) != ()


@pytest.mark.parametrize(
    "more",
    [(b.dead(),), (b.lapsed(), b.forgotten(), b.forgotten())],
    ids=["it was dead-lettered by an operator", "nothing is known of it"],
)
def test_a_session_whose_head_is_gone_is_only_resumed(more: tuple[Event, ...]) -> None:
    """There is nothing left to give up, and the session goes on."""
    state = fold([*PARKED, *more])

    assert _decide(state, ParkTimedOut(UNTIL)) == (RESUMED,)
    assert fold([*PARKED, *more, RESUMED]).messages == state.messages


def test_a_session_that_is_not_parked_cannot_be_resumed() -> None:
    """A late timer and a mistaken operator decide nothing."""
    for state in (EngineState(), fold([SessionAcquired("pulls", "s", 0, b.LOCK)])):
        assert _decide(state, ParkTimedOut(UNTIL)) == ()
        assert _decide(state, ResumeAsked(0, "ann", "why not")) == ()


# --- the broker's lock, and state --------------------------------------------------------------------------------


def test_a_session_is_acquired_and_then_released_or_lost_once() -> None:
    """What ends a session that is not ours decides nothing."""
    acquired = SessionAcquired("pulls", "s", 0, b.LOCK)
    assert _decide(EngineState(), SessionGranted(0, "pulls", "s", b.LOCK)) == (acquired,)
    ours = fold([acquired])
    assert ours.sessions[LANE].locked_until == b.LOCK

    for is_lost, event in ((True, SessionLost), (False, SessionReleased)):
        ended = event("pulls", "s", S, "why")
        assert _decide(ours, SessionEnded(S, is_lost, "why")) == (ended,)
        assert fold([acquired, ended]).sessions == {}
    assert _decide(EngineState(), SessionEnded(S, lost=True, why="why")) == ()
    assert _decide(fold(PARKED), SessionEnded(S, lost=True, why="why")) == ()


def test_the_state_of_a_session_outlives_its_lock_until_it_is_cleared() -> None:
    """Empty bytes leave nothing to remember."""
    stored = SessionStateSet("pulls", "s", 0, b"half done")
    assert _decide(EngineState(), StateSet(0, "pulls", "s", b"half done")) == (stored,)

    assert fold([stored]).sessions[LANE].state == b"half done"
    assert fold([stored, SessionStateSet("pulls", "s", 1, b"")]).sessions == {}
