"""What the audit of a journal remembers is bounded by what is live."""

from dataclasses import replace

from queue_runtime.journal.invariants import violations
from tests.unit import builders as b


def test_a_session_that_ended_well_breaks_no_rule() -> None:
    """The only message of a session is completed and settled."""
    alone = replace(b.received(), session_id="alone")

    assert violations(list(enumerate((alone, b.started(), b.completed(), b.settled()), 1))) == []
