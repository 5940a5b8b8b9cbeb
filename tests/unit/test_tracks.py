"""What the audit of a journal remembers is bounded by what is live, and by a number of keys."""

from dataclasses import replace

import pytest

from queue_runtime.journal.events import Event, KeysSealed, KeysSealing
from queue_runtime.journal.invariants import Audit, Rule, violations
from queue_runtime.journal.state import fold
from tests.unit import builders as b

FINISHED = (b.received(), b.started(), b.completed(), b.settled())
OTHERS = [
    event
    for key in ("pulls:m2", "pulls:m3")
    for event in (b.received(key), b.started(key=key), b.completed(key=key), b.settled(key=key))
]
AGAIN = (b.received(), b.started())


def _found(events: list[Event], max_keys: int) -> list[Rule]:
    audit = Audit(max_keys=max_keys)
    for position, event in enumerate(events, 1):
        audit.see(position, event)
    return [violation.rule for violation in audit.found]


def test_a_session_that_ended_well_breaks_no_rule() -> None:
    """The only message of a session is completed and settled."""
    alone = replace(b.received(), session_id="alone")

    assert violations(list(enumerate((alone, b.started(), b.completed(), b.settled()), 1))) == []


@pytest.mark.parametrize(("max_keys", "found"), [(3, [Rule.RUN_ONCE]), (2, [])])
def test_an_audit_remembers_so_many_keys_and_no_more(max_keys: int, found: list[Rule]) -> None:
    """A second run is seen while the key is among them; before that it is not, whatever the journal's length."""
    assert _found([*FINISHED, *OTHERS, *AGAIN], max_keys) == found


@pytest.mark.parametrize(("max_keys", "found"), [(3, [Rule.KNOWN_MESSAGE]), (1, [])])
def test_an_audit_that_has_forgotten_keys_calls_none_unknown(max_keys: int, found: list[Rule]) -> None:
    """A duplicate may be of a key that left the audit; as long as none has, it has to be of one that is there."""
    assert _found([*OTHERS, b.duplicate()], max_keys) == found


def test_sealing_hides_nothing_from_an_audit() -> None:
    """It goes by the events: a key that is in a key file may still not be run again."""
    sealed = [*FINISHED, KeysSealing(0, 1), KeysSealed(0, 5)]

    assert _found([*sealed, *AGAIN], 1) == [Rule.RUN_ONCE]


def test_an_audit_from_a_snapshot_knows_the_keys_that_live_state_holds() -> None:
    """Those that are being sealed and the recent ones; what is in key files by then may be anything."""
    began: list[Event] = [*FINISHED, KeysSealing(0, 1), *OTHERS]
    again = [(99, event) for event in (*AGAIN, b.received("pulls:m2"), b.started(key="pulls:m2"))]

    assert [violation.rule for violation in violations(again, fold(began))] == [Rule.RUN_ONCE, Rule.RUN_ONCE]
    ended = fold([*began, KeysSealed(0, 5)])
    assert violations([(99, b.duplicate())], ended) == []
