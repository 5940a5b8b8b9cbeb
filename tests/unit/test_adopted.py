"""What one journal left goes on in another one as if it had always been there."""

from dataclasses import replace

import pytest

from queue_runtime.engine.adoption import events_of
from queue_runtime.engine.effects import Send, Settle, owed
from queue_runtime.journal.events import Adopted, Disposition, Event, OutgoingFailed
from queue_runtime.journal.invariants import Rule, violations
from queue_runtime.journal.state import EngineState, MessageState, Outcome, evolve, fold
from tests.unit import builders as b
from tests.unit.builders import KEY, S

FAILED_BEFORE = (b.received(), b.started(), b.failed(), b.started(2))
HISTORIES: dict[str, tuple[Event, ...]] = {
    "nothing sent": (b.received(), b.started(), b.completed(outgoing=2)),
    "one of two sent": (b.received(), b.started(), b.completed(outgoing=2), b.sent()),
    "one of two never to be sent": (
        b.received(),
        b.started(),
        b.completed(outgoing=2),
        OutgoingFailed(KEY, 0, 0, "TooLarge", "too large"),
    ),
    "to be completed": (*FAILED_BEFORE, b.completed(2)),
    "one of two copies completed": (b.received(), b.started(), b.duplicate(), b.completed(), b.settled()),
    "to be dead-lettered": (*FAILED_BEFORE, b.failed(2), b.dead()),
    "dead-lettered but for a copy": (b.received(), b.duplicate(), b.dead(), b.settled(Disposition.DEAD_LETTER)),
    "to be dropped": (b.received(), b.dead(dropped=True)),
    "lapsed": (b.received(), b.started(), b.completed(), b.lapsed()),
    "refused": (b.received(), b.started(), b.completed(), b.refused()),
    "a dead letter that lapsed": (b.received(), b.dead(), b.lapsed()),
    "in a session": (b.received(session="s"), b.started(), b.completed(outgoing=1)),
}
histories = pytest.mark.parametrize("history", HISTORIES.values(), ids=HISTORIES)


def _left(history: tuple[Event, ...]) -> MessageState:
    return fold(history).messages[KEY]


def _seen(message: MessageState) -> MessageState:
    """What a message with an outcome means; the rest was for attempts, of which there are none to come."""
    return message._replace(
        origin=replace(message.origin, at=0),
        order=0,
        since=0,
        started_at=0,
        failures=0,
        crashes=0,
        alone=False,
        suspect_until=0,
    )


@histories
def test_an_adopted_message_stands_where_it_stood(history: tuple[Event, ...]) -> None:
    """Phase, copies, outbox, outcome and attempts are those of the journal that it came from; so is what is owed."""
    left = _left(history)

    adopted = fold(events_of(left, "worker-2", 9 * S)).messages[KEY]

    assert _seen(adopted) == _seen(left)
    assert owed(adopted) == owed(left)
    assert adopted.origin.at == 9 * S


@histories
def test_what_is_adopted_breaks_no_rule_whatever_becomes_of_it(history: tuple[Event, ...]) -> None:
    """The audit takes it in, also among others of its session, and lets it be settled as it is owed."""
    left = _left(history)
    waiting = b.received("pulls:m2", session="s", copy="c2")
    adopted = [waiting, *events_of(left, "worker-2", 9 * S)]
    state = fold(adopted)
    while sends := [effect for effect in owed(state.messages[KEY]) if isinstance(effect, Send)]:
        adopted.append(b.sent(sends[0].index))
        state = fold(adopted)
    settles = [effect for effect in owed(state.messages[KEY]) if isinstance(effect, Settle)]
    adopted += [b.settled(settle.disposition, copy=settle.provider_id) for settle in settles]

    assert violations(enumerate([*adopted, b.started(key="pulls:m2")], 1)) == []


def test_a_duplicate_of_a_settled_message_is_adopted_with_its_copy_alone() -> None:
    """Nothing but its settlement is due; it is neither run nor forgotten."""
    finished = (b.received(), b.started(), b.completed(), b.settled())
    left = _left((*finished, b.duplicate()))

    adopted = fold(events_of(left, "worker-2", 9 * S)).messages[KEY]

    assert owed(adopted) == owed(left)
    assert adopted.outcome is Outcome.COMPLETED
    assert adopted.origin.body_digest == left.origin.body_digest


def test_an_adoption_without_its_message_means_nothing() -> None:
    """The fold is total: an event that cannot be is passed over."""
    _, adopted = events_of(_left(HISTORIES["nothing sent"]), "worker-2", 0)

    assert isinstance(adopted, Adopted)
    assert evolve(None, adopted, 1) is None
    assert fold([adopted]) == EngineState(position=1)


@pytest.mark.parametrize("known", [(b.received(), b.started()), (b.received(), b.dead())], ids=["tried", "ended"])
def test_what_is_known_here_is_not_overwritten(known: tuple[Event, ...]) -> None:
    """A message that was tried here, or has an outcome, stays as it is; the audit reports who tried."""
    _, adopted = events_of(_left(HISTORIES["nothing sent"]), "worker-2", 0)

    assert fold([*known, adopted]).messages == fold(known).messages
    assert violations(enumerate([*known, adopted], 1))[0].rule is Rule.ADOPTED_ONCE
