"""The fold: what a journal means beside its messages, and that equal journals mean the same."""

import pickle

import hypothesis.strategies as st
import pytest
from hypothesis import given as for_all

from queue_runtime.journal.events import (
    AttemptStarted,
    Deferred,
    Disposition,
    Event,
    KeysSealed,
    KeysSealing,
    MessageEvent,
    OperatorActed,
    Redacted,
    Redriven,
    RunStarted,
    RunStopped,
    SendCancelled,
    SendScheduled,
)
from queue_runtime.journal.settled_keys import SettledKey, SettledKeys, key_digest
from queue_runtime.journal.state import AttemptRecord, EngineState, MessageState, Phase, evolve, fold
from tests.unit import builders as b
from tests.unit.builders import KEY, S
from tests.unit.rows import ATTEMPTS, HAND_OVERS
from tests.unit.rows_after import LATER, OUTBOX, SETTLEMENTS
from tests.unit.scenario import given

HISTORIES = [row.before + row.events for row in (*HAND_OVERS, *ATTEMPTS, *OUTBOX, *SETTLEMENTS, *LATER)]
DAY = 24 * 3_600 * S


def _finished(key: str, at: int) -> tuple[Event, ...]:
    return (b.received(key, at=at), b.started(key=key, at=at), b.completed(key=key, at=at), b.settled(key=key, at=at))


@for_all(history=st.sampled_from(HISTORIES), cut=st.integers(0, 12))
def test_a_fold_may_be_cut_anywhere_and_stored_in_between(history: tuple[Event, ...], cut: int) -> None:
    """A snapshot and the events after it mean what all events mean."""
    snapshot = pickle.loads(pickle.dumps(fold(history[:cut])))  # noqa: S301 - written a line above

    assert fold(history[cut:], snapshot) == fold(history)


def test_a_completed_message_is_remembered_from_its_settlement() -> None:
    """Its key and the digest of its body; a dead letter may be sent again, so it is not remembered."""
    dead = b.received("pulls:m2"), b.dead(key="pulls:m2"), b.settled(Disposition.DEAD_LETTER, "pulls:m2")

    state = fold([*_finished(KEY, S), *dead])

    assert _remembered(state) == {KEY: SettledKey.of(S, b"digest of body")}
    assert state.messages == {}


def _remembered(state: EngineState) -> dict[str, SettledKey]:
    """What live state knows of the keys of these tests."""
    found = {key: state.settled.find(key_digest(key)) for key in (KEY, "pulls:m2", "pulls:m3")}
    return {key: known for key, known in found.items() if known is not None}


def test_the_window_is_that_of_the_run() -> None:
    """Another run may have another window."""
    assert fold([RunStarted("r1", 0, "1", "", "host", 1, 5 * S)]).window_us == 5 * S


def test_keys_leave_live_state_when_a_key_file_holds_them() -> None:
    """They are set aside first, and known until the file is there; what is settled meanwhile stays."""
    sealing = fold([*_finished(KEY, S), KeysSealing(S, 1), *_finished("pulls:m2", 2 * S)])
    assert list(_remembered(sealing)) == [KEY, "pulls:m2"]

    sealed = fold([KeysSealed(3 * S, 5)], sealing)

    assert list(_remembered(sealed)) == ["pulls:m2"]
    assert (sealed.settled.batch, sealed.settled.sealed_until) == (None, 5)


def test_the_batch_of_a_sealing_says_what_it_covers() -> None:
    """Its positions follow those of the batch before: a missing key file is seen by the gap it leaves."""
    state = fold(
        [*_finished(KEY, S), KeysSealing(S, 1), KeysSealed(S, 5), *_finished("pulls:m2", S), KeysSealing(S, 1)]
    )

    batch = state.settled.batch
    assert batch is not None
    assert (batch.after, batch.until, list(batch.entries)) == (5, 11, [key_digest("pulls:m2")])


def test_one_batch_is_sealed_at_a_time() -> None:
    """A second sealing changes nothing until the first has ended, nor does the end of another one."""
    began = [*_finished(KEY, S), KeysSealing(S, 1), *_finished("pulls:m2", S)]

    state = fold([*began, KeysSealing(S, 1), KeysSealed(S, 4)])

    assert state.settled == fold(began).settled
    assert fold([KeysSealed(S, 4)]).settled == SettledKeys()


def test_what_is_remembered_of_a_key_is_small_and_exact() -> None:
    """An instant of any sign and eight bytes of the body's digest, or none where it is unknown."""
    for at in (-1, 0, 2**62):
        for digest, kept in ((b"digest of body", b"digest o"), (b"", b"")):
            key = SettledKey.of(at, digest)
            assert len(key.pack()) == 16
            assert SettledKey.unpack(key.pack()) == key == SettledKey(at, kept)


def test_a_key_may_be_of_a_body_unless_another_is_known() -> None:
    """Where the body is not known no difference is made up."""
    known = SettledKey.of(0, b"digest of body")

    assert known.may_be_of(b"digest of body")
    assert not known.may_be_of(b"another digest")
    assert SettledKey.of(0, b"").may_be_of(b"another digest")


def test_a_duplicate_of_a_finished_message_is_remembered_for_a_window_more() -> None:
    """It is settled, never run, and remembered from its own settlement on, with the digest of its body."""
    state = fold([*_finished("pulls:m1", 0), *_finished("pulls:m2", S), b.duplicate("pulls:m1", at=2 * S)])
    assert state.messages["pulls:m1"].lane is None
    assert b.owes(state, "pulls:m1") == (b.settle(key="pulls:m1", copy="b2", at=2 * S),)

    state = fold([b.settled(key="pulls:m1", copy="b2", at=3 * S)], state)

    assert _remembered(state) == {
        "pulls:m2": SettledKey.of(S, b"digest of body"),
        "pulls:m1": SettledKey.of(3 * S, b"digest of body"),
    }


def test_a_duplicate_whose_original_is_not_remembered_is_remembered_all_the_same() -> None:
    """Its own event carries the digest of the body, which is that of the original."""
    state = fold([b.duplicate(), b.settled(copy="b2", at=S)])

    assert _remembered(state) == {KEY: SettledKey.of(S, b"digest of body")}


def test_a_run_goes_on_until_it_stops() -> None:
    """A run that did not stop is one that crashed, if another one starts."""
    run = RunStarted("r1", 0, "1", "", "host", 1, DAY)

    assert fold([run]).run_id == "r1"
    assert fold([run, RunStopped("r1", 1, "drained")]).run_id is None


def test_a_scheduled_send_is_kept_until_it_is_handed_over() -> None:
    """A second cancellation changes nothing."""
    scheduled = SendScheduled("out-0", 0, 9 * S, b.message())
    cancelled = SendCancelled("out-0", S, "sent")

    assert fold([scheduled]).scheduled == {"out-0": scheduled}
    assert fold([scheduled, cancelled, cancelled]).scheduled == {}


def test_a_deferred_message_is_known_by_its_number_until_it_is_back() -> None:
    """It is not live meanwhile; another message's arrival does not matter."""
    deferred = Deferred(KEY, 0, "b1", 7)
    state = fold([b.received(), deferred, b.received("pulls:m2")])
    assert (state.deferred, KEY in state.messages) == ({KEY: deferred}, False)

    assert fold([b.received()], state).deferred == {}


def test_what_operators_did_changes_no_message() -> None:
    """A redrive and an operator's word are records; redacting takes the body and nothing else."""
    before = given(b.received()).message
    recorded = given(
        b.received(), Redriven(KEY, 0, 1, "m1-1", "ann", "fixed"), OperatorActed(0, "a", "", "", "")
    ).message
    redacted = given(b.received(), Redacted(KEY, 0, "ann", "a secret")).message

    assert recorded == before
    assert getattr(redacted.origin, "body", None) == b""
    assert redacted.phase is Phase.WAITING


def test_an_event_about_an_unknown_message_changes_nothing() -> None:
    """`evolve` is total: a message that is gone stays gone."""
    assert fold([b.started(), b.completed(), b.settled()]).messages == {}


def test_redacting_a_duplicate_changes_nothing() -> None:
    """It never had a body of its own."""
    finished = [*_finished(KEY, 0), b.duplicate()]

    assert fold([*finished, Redacted(KEY, 0, "ann", "")]).messages == fold(finished).messages


def test_secrets_are_in_no_repr() -> None:
    """Neither a receipt nor a body, of an event or of a state."""
    state = fold([b.received(body=b"SECRET"), b.duplicate(), b.started(), b.completed(outgoing=1)])

    text = f"{state!r} {b.received(body=b'SECRET')!r} {b.redelivered()!r} {b.owes(state)!r}"
    assert "SECRET" not in text
    assert "receipt of" not in text


def test_a_state_says_what_holds_of_its_message() -> None:
    """Held, open, running, releasing: each by its own rule."""
    facts = {phase: _facts(given(*past).message) for phase, past in PASTS.items()}

    assert facts == {
        "waiting": (True, True, False, False),
        "running": (True, True, True, False),
        "orphaned": (False, True, True, False),
        "handed back": (False, False, False, True),
        "settling": (True, False, False, False),
    }


PASTS: dict[str, tuple[Event, ...]] = {
    "waiting": (b.received(),),
    "running": (b.received(), b.started()),
    "orphaned": (b.received(), b.started(), b.lapsed()),
    "handed back": (b.received(), b.lapsed(release=True)),
    "settling": (b.received(), b.started(), b.completed()),
}


def _facts(message: MessageState) -> tuple[bool, bool, bool, bool]:
    return message.is_held, message.is_open, message.is_running, message.is_releasing


@pytest.mark.parametrize(
    ("event", "changed"),
    [
        (b.started(2, at=9), {"phase", "attempt", "started_at", "route", "alone", "retry_at"}),
        (b.completed(1, at=9), {"phase", "retry_at", "steps", "outcome", "since"}),
    ],
    ids=["started", "completed"],
)
def test_an_event_that_every_message_passes_forgets_no_field(event: MessageEvent, changed: set[str]) -> None:
    """The two events that every message passes keep all that they do not change."""
    record = AttemptRecord(1, 1, 2, "failed", "Oops", "it broke")
    before = MessageState(
        origin=b.received(),
        order=7,
        phase=Phase.BACKING_OFF,
        copies=given(b.received()).message.copies,
        suspect_until=1,
        attempt=1,
        started_at=2,
        route="another",
        alone=True,
        failures=3,
        crashes=4,
        retry_at=5,
        history=(record,),
        steps={"classify": b"result"},
        since=6,
    )

    after = evolve(before, event, 1)

    assert after is not None
    assert {name for name in MessageState._fields if getattr(after, name) != getattr(before, name)} == changed


def test_positions_count_every_event() -> None:
    """Also those that change nothing else."""
    state = EngineState()
    for event in (b.received(), AttemptStarted("pulls:gone", 0, 1, "r1", "", alone=False), b.redelivered("pulls:gone")):
        state.apply(event)

    assert state.position == 3
