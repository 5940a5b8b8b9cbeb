"""The core does what its two tables say, row by row, and neither table has an entry that nothing reaches."""

from collections import defaultdict
from collections.abc import Iterator

import pytest

from queue_runtime.engine.decide import decide
from queue_runtime.engine.inputs import Action, Delivered, Expired, Input, TimerFired
from queue_runtime.engine.policy import Policy
from queue_runtime.engine.transitions import LEADS_TO, PHASES, TRANSITIONS
from queue_runtime.journal.events import Disposition, Event, SessionParked
from queue_runtime.journal.state import EngineState, Phase, fold
from tests.unit import builders as b
from tests.unit.builders import KEY, S
from tests.unit.rows import ATTEMPTS, HAND_OVERS, LEASES, PAST, Row
from tests.unit.rows_after import LATER, OUTBOX, SETTLEMENTS
from tests.unit.scenario import Scenario, given

ROWS = [*HAND_OVERS, *LEASES, *ATTEMPTS, *OUTBOX, *SETTLEMENTS, *LATER]
# One of each, late enough for everything that waits for time.
LONG_AFTER = 100 * 24 * 3_600 * S
INPUTS: list[Input] = [
    b.delivered(),
    b.ready(),
    b.returned(),
    b.raised(),
    b.timed_out(),
    b.drained(),
    b.step(),
    b.renewed(),
    b.lost(),
    b.hand_back(),
    b.confirmed(),
    b.confirmed(Disposition.ABANDON),
    b.denied(),
    b.denied(Disposition.ABANDON),
    b.send_confirmed(),
    b.send_failed(),
    TimerFired(LONG_AFTER),
    b.restarted(LONG_AFTER),
    Expired(LONG_AFTER),
    b.asked(Action.DEAD_LETTER),
    b.asked(Action.RELEASE),
]
SILENT = [(phase, seen) for phase in PHASES for seen in INPUTS if not TRANSITIONS[phase, type(seen)]]
# A hand-over is journaled each time, for its receipt; a session that is parked is not admitted again.
TWICE = [row for row in ROWS if not isinstance(row.seen, Delivered) and type(row.events[0]) is not SessionParked]
# A parked head that its broker took back is given up where it is: see test_sessions.py.
GIVEN_UP = [(*PAST[Phase.FORGOTTEN], b.dead())]


def _phase(*events: Event) -> Phase | None:
    message = fold(events).messages.get(KEY)
    return None if message is None else message.phase


def _name(pair: tuple[Phase | None, Input]) -> str:
    return f"{pair[0] or 'unknown'}: {type(pair[1]).__name__}"


def test_the_table_covers_every_phase_and_every_input() -> None:
    """No pair of a phase and an input is missing from the table, and there are no others."""
    assert set(TRANSITIONS) == {(phase, type(seen)) for phase in PHASES for seen in INPUTS}
    assert set(PHASES) == {None, *Phase}


@pytest.mark.parametrize("phase", PHASES)
def test_each_phase_has_its_shortest_past(phase: Phase | None) -> None:
    """The pasts that the rows start from lead to the phase that they are named for."""
    assert _phase(*PAST[phase]) is phase


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_an_input_is_answered_as_its_row_says(row: Row) -> None:
    """An input decides the events of its row, which the table allows, and afterwards its effects are owed."""
    assert _phase(*row.before) is row.phase
    assert {type(event) for event in row.events} <= set(TRANSITIONS[row.phase, type(row.seen)])

    Scenario(row.before, row.policy).when(row.seen).then(*row.events, owes=row.owes)


@pytest.mark.parametrize("row", TWICE, ids=[row.name for row in TWICE])
def test_an_input_that_comes_twice_decides_nothing_new(row: Row) -> None:
    """What a row has decided is not decided again."""
    Scenario(row.before, row.policy).when(row.seen).when(row.seen).then()


@pytest.mark.parametrize("pair", SILENT, ids=_name)
def test_an_input_that_is_late_or_not_for_the_phase_decides_nothing(pair: tuple[Phase | None, Input]) -> None:
    """Where the table is empty, nothing is decided."""
    phase, seen = pair

    given(*PAST[phase]).when(seen).then()


def test_no_entry_of_the_table_is_dead() -> None:
    """Every event that the table allows is decided by some row."""
    reached: defaultdict[tuple[Phase | None, type[Input]], set[type[Event]]] = defaultdict(set)
    for row in ROWS:
        reached[row.phase, type(row.seen)] |= {type(event) for event in row.events}

    assert dict(reached) == {pair: set(events) for pair, events in TRANSITIONS.items() if events}


def _steps(events: tuple[Event, ...]) -> Iterator[tuple[Phase | None, Event, Phase | None]]:
    """Yield every step of a history: where the message stood, what happened, where it stands then."""
    state = EngineState()
    before: Phase | None = None
    for event in events:
        state.apply(event)
        message = state.messages.get(KEY)
        after = None if message is None else message.phase
        yield before, event, after
        before = after


def test_events_lead_where_their_table_says_and_every_entry_is_reached() -> None:
    """In all histories of the rows an event leads to a phase of its entry, or leaves the phase alone if it has none."""
    reached: defaultdict[tuple[Phase | None, type[Event]], set[Phase | None]] = defaultdict(set)
    for history in [*(row.before + row.events for row in ROWS), *GIVEN_UP]:
        for before, event, after in _steps(history):
            reached[before, type(event)].add(after)
    stays = {(phase, kind): {phase} for phase, kind in reached if (phase, kind) not in LEADS_TO}

    assert reached == stays | {pair: set(after) for pair, after in LEADS_TO.items()}


def test_an_unknown_message_is_only_ever_delivered() -> None:
    """Nothing but a delivery means anything for a message that is not known."""
    decided = [type(seen) for seen in INPUTS if decide(None, seen, Policy())]

    assert decided == [type(b.delivered())]
