"""Who is next, early or late among the messages of one sender, and for how long that is remembered."""

import pytest

from queue_runtime.journal import sender_order
from queue_runtime.journal.events import Overtaken
from queue_runtime.journal.sender_order import SENDER_MEMORY_US, SenderKey, SenderPlace, Stamp, Turn, latest, turn
from tests.unit import builders as b
from tests.unit.scenario import given

WHO: SenderKey = ("pulls", "s", "sender")
PLACE: dict[SenderKey, SenderPlace] = {WHO: SenderPlace(epoch=5, number=3, at=0)}


@pytest.mark.parametrize(
    ("senders", "epoch", "number", "expected"),
    [
        ({}, 5, 1, Turn.NEXT),
        ({}, 5, 2, Turn.EARLY),
        (PLACE, 5, 4, Turn.NEXT),
        (PLACE, 5, 3, Turn.NEXT),  # another attempt of the same
        (PLACE, 5, 5, Turn.EARLY),
        (PLACE, 5, 2, Turn.LATE),
        (PLACE, 6, 1, Turn.NEXT),  # what it sent before it began anew may be lost, and nobody can tell
        (PLACE, 6, 2, Turn.EARLY),
        (PLACE, 4, 9, Turn.LATE),
    ],
)
def test_the_turn_of_a_message_follows_from_the_latest_that_started(
    senders: dict[SenderKey, SenderPlace], epoch: int, number: int, expected: Turn
) -> None:
    """The next number of the epoch, and the first of a new one, are next; what is between is missing."""
    assert turn(senders, Stamp(WHO, epoch, number)) is expected


def test_a_late_message_does_not_move_its_sender_back() -> None:
    """What follows the latest is next, whatever started behind it."""
    senders = PLACE.copy()

    latest(senders, Stamp(WHO, 5, 2), 7)

    assert senders == {WHO: SenderPlace(5, 3, 7)}


def test_a_sender_that_is_silent_is_forgotten() -> None:
    """Memory does not grow with the sessions that ever were: the oldest go by time, and by number."""
    senders = PLACE.copy()

    latest(senders, Stamp(("pulls", "t", "sender"), 1, 1), SENDER_MEMORY_US)
    assert len(senders) == 2
    latest(senders, Stamp(("pulls", "u", "sender"), 1, 1), SENDER_MEMORY_US + 1)
    assert WHO not in senders


def test_the_number_of_senders_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sender that started longest ago makes room."""
    monkeypatch.setattr(sender_order, "MAX_SENDERS", 2)
    senders = PLACE.copy()

    for session in ("t", "u"):
        latest(senders, Stamp(("pulls", session, "sender"), 1, 1), 1)

    assert [session for _, session, _ in senders] == ["t", "u"]


def test_the_journal_remembers_who_started_and_a_restart_knows_it() -> None:
    """The order is a fold of the attempts; a message without a stamp leaves nothing."""
    stamped = given(b.received(session="s", stamp=("sender", 5, 1)), b.started(at=9))

    assert stamped.state.senders == {WHO: SenderPlace(5, 1, 9)}
    assert given(b.received(session="s"), b.started()).state.senders == {}
    assert given(b.started()).state.senders == {}


def test_that_a_message_was_overtaken_changes_nothing_but_the_record() -> None:
    """The event is there for people and for the audit."""
    received = b.received(session="s", stamp=("sender", 5, 1))

    assert given(received, Overtaken(received.key, 0, "sender", 5, 2)).message == given(received).message
