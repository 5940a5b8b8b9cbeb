"""Events as people and programs read them."""

import json

from queue_runtime.journal import Entry, Event
from queue_runtime.journal.events import (
    Adopted,
    AttemptFailed,
    Completed,
    LeasesRenewed,
    Outgoing,
    Received,
    StepRecorded,
)
from queue_runtime.journal.message_state import Copy, Outcome
from queue_runtime.tools.journal_text import as_data, as_life, as_line

BELL_AND_RED = "\x07\x1b[31m"


def _entry(event: Event | None, position: int = 1) -> Entry:
    name = "kind 99" if event is None else type(event).__name__
    return Entry(position, name, "q/m", None, None, 1_700_000_000_000_000, None, 10, event)


def _received(body: bytes) -> Received:
    return Received(
        key="q/m",
        at=1_700_000_000_000_000,
        queue="q",
        message_id=f"m{BELL_AND_RED}",
        provider_id="p",
        session_id=None,
        sequence=None,
        delivery_count=1,
        enqueued_at=None,
        expires_at=None,
        correlation_id=None,
        content_type=None,
        attributes={"event": BELL_AND_RED},
        locked_until=0,
        suspect_until=0,
        body_digest=b"digest",
        receipt="the-receipt",
        body=body,
    )


FAILED = AttemptFailed("q/m", 1, 1, "Kind", f"text {BELL_AND_RED}", ("bot.py:1 handle",), transient=True, retry_at=None)
OUTGOING = Outgoing("o", "q", None, None, None, {}, None, None, b"outgoing-body")
COMPLETED = Completed("q/m", 1, 1, None, (OUTGOING,))
ADOPTED = Adopted(
    "q/m", 1, "worker-2", 1, "", Outcome.COMPLETED, "", "", 0, (), (OUTGOING,), (Copy("p", "the-receipt", 1, 1),)
)
STEP = StepRecorded("q/m", 1, 1, "classify", b"step-result")


def test_nothing_that_a_terminal_would_obey_is_printed() -> None:
    """Ids, attributes, error texts and bodies come from strangers; their control characters are escaped."""
    entries = [_entry(_received(f"body {BELL_AND_RED}".encode())), _entry(FAILED, 2)]

    text = "\n".join([*as_life(entries, show_body=True), *map(as_line, entries)])

    assert "\\x1b[31m" in text
    assert "\x1b" not in text
    assert "\x07" not in text


def test_bodies_results_and_receipts_are_hidden() -> None:
    """A body, an outgoing body and a step's result are shown on request alone; a receipt never."""
    entries = [_entry(_received(b"incoming-body")), _entry(STEP, 2), _entry(COMPLETED, 3), _entry(ADOPTED, 4)]
    secrets = ("incoming-body", "step-result", "outgoing-body")

    hidden = "\n".join(as_life(entries, show_body=False)) + json.dumps([as_data(e, show_body=False) for e in entries])
    shown = "\n".join(as_life(entries, show_body=True))
    shown_data = json.dumps([as_data(e, show_body=True) for e in entries])

    assert [secret for secret in secrets if secret in hidden] == []
    assert [secret for secret in secrets if secret not in shown] == []
    assert [secret for secret in secrets if secret not in shown_data] == []
    assert "the-receipt" not in hidden + shown + shown_data


def test_a_life_ends_with_its_outcome() -> None:
    """The outcome is the last decision; before one there is none yet."""
    received = _entry(_received(b""))

    assert "outcome     none yet" in as_life([received, _entry(FAILED, 2)], show_body=False)
    assert "outcome     completed in attempt 1" in as_life([received, _entry(COMPLETED, 3)], show_body=False)
    adopted = "outcome     completed, by the journal worker-2, from which it was adopted"
    assert adopted in as_life([received, _entry(ADOPTED, 3)], show_body=False)


def test_an_event_of_a_newer_version_is_named() -> None:
    """What this version does not know is printed by its number, and stops nothing."""
    assert "kind 99" in as_line(_entry(None))
    assert as_data(_entry(None), show_body=True)["event"] == "kind 99"


def test_any_event_is_json() -> None:
    """Tuples, bytes and batches come out as plain data."""
    data = as_data(_entry(LeasesRenewed(1, (("q/m", "p", 5),))), show_body=False)

    assert json.loads(json.dumps(data))["leases"] == [["q/m", "p", 5]]
