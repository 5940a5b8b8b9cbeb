"""Whatever happens to one message, in whatever order, the core does what its tables allow."""

from collections.abc import Callable
from dataclasses import dataclass

import hypothesis.strategies as st
from hypothesis import given

from queue_runtime.engine.decide import decide
from queue_runtime.engine.effects import owed
from queue_runtime.engine.inputs import Action, Expired, Input, TimerFired
from queue_runtime.engine.policy import Policy, SessionFailure
from queue_runtime.engine.transitions import LEADS_TO, TRANSITIONS
from queue_runtime.journal.events import Disposition, Event
from queue_runtime.journal.state import EngineState, MessageState, Phase
from tests.unit import builders as b
from tests.unit.builders import KEY, LOCK, S


@dataclass(frozen=True)
class Move:
    """What is drawn for one step; each kind of input takes of it what it needs."""

    kind: int
    waited_s: int
    copy: str
    back: int  # how many attempts too late
    number: int
    flag: bool


MOVES = st.builds(
    Move,
    kind=st.integers(0, 18),
    waited_s=st.sampled_from([0, 1, 30, 1_000, 90_000]),
    copy=st.sampled_from(["b1", "b2"]),
    back=st.sampled_from([0, 0, 0, 1]),
    number=st.integers(0, 2),
    flag=st.booleans(),
)
POLICIES = st.builds(
    Policy,
    max_attempts=st.integers(1, 3),
    session_failure=st.sampled_from(SessionFailure),
    hold_s=st.sampled_from([0.0, 300.0]),
)


def _how(move: Move) -> Disposition:
    return (Disposition.COMPLETE, Disposition.DEAD_LETTER, Disposition.ABANDON)[move.number]


_Make = Callable[[Move, int, int, str | None], Input]
# Of a move, the instant, the attempt that it is about, and the session of the message.
INPUTS: list[_Make] = [
    lambda m, now, _, session: b.delivered(at=now, copy=m.copy, session=session, expires_at=now + LOCK, count=m.number),
    lambda m, now, _, __: b.ready(now, alone=m.flag),
    lambda m, now, _, __: b.ready(now, alone=m.flag),
    lambda m, now, attempt, _: b.returned(attempt, now, outgoing=m.number),
    lambda m, now, attempt, _: b.raised(attempt, now, transient=m.flag, retry_after_s=400.0 if m.number else None),
    lambda _, now, attempt, __: b.timed_out(attempt, now),
    lambda _, now, attempt, __: b.drained(attempt, now),
    lambda m, now, attempt, _: b.step(str(m.number), attempt, now),
    lambda m, now, _, __: b.renewed(now + LOCK, now, copy=m.copy),
    lambda m, now, _, __: b.lost(now, copy=m.copy),
    lambda m, now, _, __: b.hand_back(now, m.number * S),
    lambda m, now, _, __: b.confirmed(_how(m), now, copy=m.copy),
    lambda m, now, _, __: b.denied(_how(m), now, copy=m.copy),
    lambda m, now, _, __: b.send_confirmed(m.number, now),
    lambda m, now, _, __: b.send_failed(m.number, now, transient=m.flag),
    lambda m, now, _, __: TimerFired(now, pressed=m.flag),
    lambda m, now, _, __: b.restarted(now, receipts_survive=m.flag),
    lambda _, now, __, ___: Expired(now),
    lambda m, now, _, __: b.asked(Action.DEAD_LETTER if m.flag else Action.RELEASE, now),
]


def _phase(message: MessageState | None) -> Phase | None:
    return None if message is None else message.phase


def _assert_led(before: Phase | None, event: Event, after: Phase | None) -> None:
    allowed = {(phase, kind.__name__): led for (phase, kind), led in LEADS_TO.items()}
    assert after in allowed.get((before, type(event).__name__), (before,)), f"{event} led from {before} to {after}"


@given(moves=st.lists(MOVES, max_size=30), policy=POLICIES, session=st.sampled_from([None, "s"]))
def test_no_history_leaves_the_tables(moves: list[Move], policy: Policy, session: str | None) -> None:
    """Every input is answered by events that the table allows, twice the same, and they lead where it says."""
    state, now = EngineState(), 0
    for move in moves:
        now += move.waited_s * S
        message = state.messages.get(KEY)
        attempt = 0 if message is None else message.attempt - move.back
        seen = INPUTS[move.kind](move, now, attempt, session)

        events = decide(message, seen, policy)

        assert {type(event) for event in events} <= set(TRANSITIONS[_phase(message), type(seen)])
        assert decide(message, seen, policy) == events
        for event in events:
            before = _phase(state.messages.get(KEY))
            state.apply(event)
            _assert_led(before, event, _phase(state.messages.get(KEY)))
        _assert_consistent(state.messages.get(KEY))


def _assert_consistent(message: MessageState | None) -> None:
    """What is owed fits the phase, and no effect is owed twice."""
    if message is None:
        return
    effects = owed(message)
    assert len({effect.id for effect in effects}) == len(effects)
    if message.phase is Phase.SETTLING:
        assert message.to_settle
        assert effects
    if message.phase is Phase.UNSETTLED:
        assert not message.to_settle
    if message.phase in {Phase.WAITING, Phase.RUNNING, Phase.BACKING_OFF}:
        assert message.is_held
    if message.phase in {Phase.LAPSED, Phase.ORPHANED, Phase.FORGOTTEN}:
        assert not message.is_held
