"""Why a message is where it is, in words that its events bear out."""

from typing import get_args

from hypothesis import given, settings

from queue_runtime.engine.decide import decide
from queue_runtime.engine.inputs import HandlerRaised
from queue_runtime.engine.policy import Policy
from queue_runtime.journal import Event, fold
from queue_runtime.journal.events import (
    BreakerClosed,
    BreakerOpened,
    LeasesRenewed,
    MessageEvent,
    OperatorActed,
    RunStarted,
    RunStopped,
    SessionParked,
    SessionResumed,
)
from queue_runtime.journal.message_state import Outcome
from queue_runtime.tools.replay.explain import Explanation, explained, max_attempts
from queue_runtime.tools.replay.sentences import SENTENCES
from tests.tools.stories import Told, histories
from tests.unit import builders as b

S = b.S


def _run(number: int, at: int = 0, settings_digest: str = "same") -> RunStarted:
    return RunStarted(f"r{number}", at, "1.0", settings_digest, "host", number, 24 * 3_600 * S)


def _explain(*events: Event, message: str = b.KEY) -> Explanation:
    (found,) = explained(Told(events), message)
    return found


def _text(explanation: Explanation) -> str:
    return "\n".join(part for link in explanation.links for part in (link.text, *link.causes))


def test_a_dead_letter_is_explained_by_its_last_attempt_and_what_else_was_charged() -> None:
    """The verdict names the attempt and its error, and a crash that counted, with the run that crashed."""
    alone = b.started(1, at=2 * S, alone=True, run="r7")
    spent = "attempt 2 (2 of 2 charged): Oops: it broke"

    found = _explain(
        _run(7),
        b.received(at=S),
        alone,
        _run(8, 3 * S),
        b.crashed(1, at=3 * S, alone=True),
        b.started(2, at=4 * S, run="r8"),
        b.failed(2, at=5 * S),
        b.dead("MaxAttemptsExceeded", at=5 * S, text=spent),
    )

    assert found.verdict == (
        "dead-lettered at 1970-01-01 00:00:05.000 because attempt 2 of 2 failed with Oops; attempt 1 was charged to a"
        " crash of run 1 in which it ran alone; the broker has not confirmed that yet"
    )
    assert "run 1 never wrote that it stopped: its process died" in _text(found)


def test_a_permanent_error_is_named_as_one() -> None:
    """A message that is given up early is not said to have spent its attempts."""
    spent = "attempt 1 (1 of 5 charged): Oops: it broke"

    found = _explain(
        b.received(), b.started(), b.failed(transient=False), b.dead(text=spent), b.settled(b.Disposition.DEAD_LETTER)
    )

    assert "attempt 1 failed with Oops, an error that no retry would mend" in found.verdict
    assert found.verdict.endswith("; the broker confirmed it 0.0 ms later")


def test_what_the_broker_never_confirmed_is_not_said_to_be() -> None:
    """A completed message that was forgotten unsettled has no confirmation."""
    found = _explain(b.received(), b.started(), b.completed(), b.refused(), b.forgotten(at=9 * S))

    assert found.verdict.endswith("; the broker has not confirmed that yet")
    assert found.links[-1].text == "forgotten"


def test_a_message_that_comes_again_after_it_was_settled_lives_twice() -> None:
    """Beyond the idempotency window a key is a new message: each life has its own attempts and verdict."""
    again = (b.received(at=5 * S), b.started(at=5 * S), b.failed(at=6 * S, retry_at=9 * S))

    first, second = explained(Told([b.received(), b.started(), b.completed(), b.settled(), *again]), "m1")

    assert first.verdict.startswith("completed at")
    assert first.charges == ["attempt 1 returned"]
    assert second.verdict.startswith("backing off before the next attempt since")
    assert second.charges == ["attempt 1 failed with Oops and was charged"]


def test_the_limit_is_read_from_what_the_core_writes() -> None:
    """`explain` reads the number of attempts out of a description: of the one that `decide` makes."""
    message = fold([b.received(), b.started()]).messages[b.KEY]
    raised = HandlerRaised(S, 1, "Oops", "it broke", (), transient=True, retry_after_s=None, draw=0.0)

    *_, dead = decide(message, raised, Policy(max_attempts=1))

    assert isinstance(dead, type(b.dead()))
    assert max_attempts(dead.description) == (1, 1)
    assert max_attempts("its time to live passed before an attempt") is None


def test_a_wait_is_explained_by_what_ended_it() -> None:
    """An attempt that came late names the message of its session that it stood behind, and the breaker."""
    other, lane = "pulls:m0", "s"

    found = _explain(
        b.received(other, session=lane),
        b.received(at=S, session=lane),
        b.started(key=other, at=S),
        BreakerOpened("route", 2 * S, 5, 9 * S),
        b.completed(key=other, at=3 * S),
        BreakerClosed("route", 4 * S, "an operator reset it"),
        b.started(at=5 * S),
    )

    text = _text(found)
    assert (
        "in its session it stood behind pulls:m0, which was completed at 1970-01-01 00:00:03.000 (position 5)" in text
    )
    assert "the circuit breaker of route was not closed until 1970-01-01 00:00:04.000 (position 6)" in text
    assert "nothing else ran when it started" in text


def test_what_ended_before_the_wait_is_no_cause() -> None:
    """A message of the session that was completed before this one came did not hold it up."""
    found = _explain(
        b.received("pulls:m0", session="s"),
        b.started(key="pulls:m0"),
        b.completed(key="pulls:m0", at=S),
        b.received(at=2 * S, session="s"),
        b.started(at=3 * S),
    )

    assert "stood behind" not in _text(found)


def test_what_is_decided_elsewhere_is_a_link_of_the_chain() -> None:
    """A park, its end, an operator's word and renewals are events of no message, and still part of this one's story."""
    found = _explain(
        _run(1),
        b.received(session="s"),
        LeasesRenewed(S, ((b.KEY, "b1", 9 * S),)),
        b.started(),
        b.failed(),
        SessionParked("pulls", "s", S, b.KEY, 9 * S),
        OperatorActed(2 * S, "ann", "fixed", "resume", b.KEY),
        SessionResumed("pulls", "s", 2 * S, b.KEY, "ann: fixed"),
        RunStopped("r1", 3 * S, "drained"),
        _run(2, 4 * S, "others"),
        b.started(2, at=5 * S, run="r2"),
    )

    text = _text(found)
    assert found.renewals == 1
    assert "its session was parked because of it" in text
    assert "an operator asked: resume\nann: fixed" in text
    assert found.settings[1] == "run 2 (r2) ran version 1.0 with settings others, other ones than run 1 had"
    assert found.verdict.startswith("in its handler since")


def test_every_event_of_a_message_has_a_sentence() -> None:
    """A new kind of event cannot be forgotten here."""
    assert SENTENCES.keys() == {*get_args(MessageEvent), SessionParked, SessionResumed, OperatorActed}


@settings(max_examples=25, deadline=None)
@given(histories())
def test_no_explanation_contradicts_the_state(events: list[Event]) -> None:
    """Of whatever the core has journaled: state, attempts and what was charged are those of the fold."""
    state = fold(events)
    resumed = {event.key for event in events if isinstance(event, SessionResumed)}
    for key in {event.key for event in events if isinstance(event, b.Received)}:
        found = explained(Told(events), key)[-1]
        life, known = found.life, state.messages.get(key)
        assert found.links
        if life.state in set(Outcome):
            assert found.verdict.startswith(life.state)
        if known is None:
            assert life.settled_at is not None or life.state == "gone" or "forgotten" in found.links[-1].text
            continue
        assert life.state == (known.outcome or known.phase)
        if isinstance(known.origin, b.Received):
            assert len(life.attempts) == known.attempt
            assert life.charged == known.failures + known.crashes or key in resumed
