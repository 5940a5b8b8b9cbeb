"""Leases, copies, the outbox and what the broker is told."""

from queue_runtime.engine.inputs import TimerFired
from queue_runtime.journal.events import Disposition, Forgotten, LapseReason, LeasesRenewed, Received
from queue_runtime.journal.settled_keys import SettledKey, key_digest
from queue_runtime.journal.state import Lease, Phase
from tests.unit import builders as b
from tests.unit.builders import KEY, LOCK, S
from tests.unit.scenario import given

DEAD_LETTER = Disposition.DEAD_LETTER
COMPLETED = (b.received(), b.started(), b.completed())


def test_a_completed_message_is_settled_with_its_newest_receipt() -> None:
    """A hand-over after the outcome starts nothing; the broker is told again, for the new receipt."""
    again = given(*COMPLETED, b.refused()).when(b.delivered(at=99 * S, count=2))

    again.then(b.redelivered(at=99 * S), owes=[b.settle(at=99 * S)])
    again.when(b.ready(99 * S)).then()


def test_completing_is_tried_although_the_lock_was_lost() -> None:
    """A broker may accept it; a refusal leaves nothing owed until the message is handed over again."""
    late = given(*COMPLETED, b.lapsed())

    assert late.owed == (b.settle(),)
    late.when(b.denied()).then(b.refused(), owes=[])


def test_dead_lettering_is_not_tried_once_the_lock_is_lost() -> None:
    """Another consumer may complete it meanwhile; it waits for the next hand-over."""
    lost = given(b.received(), b.dead(), b.lapsed())

    assert lost.owed == ()
    assert lost.when(b.delivered(at=99 * S)).owed == (b.settle(DEAD_LETTER, at=99 * S, reason="PermanentError"),)


def test_one_copy_of_a_dead_letter_goes_to_the_dead_letters() -> None:
    """The others are completed, and only once it is there."""
    two = given(b.received(), b.duplicate(), b.dead())
    assert two.owed == (b.settle(DEAD_LETTER, reason="PermanentError"),)

    moved = two.when(b.confirmed(DEAD_LETTER)).then(b.settled(DEAD_LETTER), owes=[b.settle(copy="b2")])
    assert moved.when(b.confirmed(copy="b2")).state.messages == {}


def test_a_refused_dead_letter_is_tried_with_the_other_copy() -> None:
    """As long as none is among the dead letters, the next copy that is held goes there."""
    two = given(b.received(), b.duplicate(), b.dead()).when(b.denied(DEAD_LETTER))

    two.then(b.refused(DEAD_LETTER), owes=[b.settle(DEAD_LETTER, copy="b2", reason="PermanentError")])


def test_a_copy_that_lapsed_is_not_dead_lettered_a_second_time() -> None:
    """When it is handed over again after the other one was moved, it is completed."""
    moved = given(b.received(), b.duplicate(), b.lapsed(copy="b2"), b.dead(), b.settled(DEAD_LETTER))

    assert moved.message.phase is Phase.UNSETTLED
    assert moved.when(b.delivered(at=99 * S, copy="b2")).owed == (b.settle(copy="b2", at=99 * S),)


def test_a_confirmation_counts_although_an_older_receipt_was_refused() -> None:
    """What the broker confirms is true whenever it is heard; a refusal heard twice is journaled once."""
    refused = given(*COMPLETED).when(b.denied()).then(b.refused())

    refused.when(b.denied()).then()
    assert refused.when(b.confirmed()).then(b.settled()).state.messages == {}


def test_an_unknown_copy_decides_nothing() -> None:
    """Answers and locks of broker messages that nobody knows mean nothing."""
    for seen in (b.confirmed(copy="b9"), b.denied(copy="b9"), b.lost(copy="b9"), b.renewed(copy="b9")):
        given(*COMPLETED).when(seen).then()


def test_a_copy_that_is_settled_is_not_settled_again() -> None:
    """A late second answer for one of two copies decides nothing."""
    one_of_two = given(*COMPLETED, b.duplicate(), b.settled())

    one_of_two.when(b.confirmed()).then()
    one_of_two.when(b.denied()).then()


def test_a_body_is_kept_for_a_dead_letter_and_for_no_completed_message() -> None:
    """A finished message that waits for its broker for days takes no memory for its body, unless it needs it."""
    completed = given(*COMPLETED, b.refused()).message.origin
    dead = given(b.received(), b.dead(), b.lapsed()).message.origin

    assert isinstance(completed, Received)
    assert (completed.body, completed.receipt, completed.body_digest) == (b"", "", b"digest of body")
    assert isinstance(dead, Received)
    assert dead.body == b"body"


# --- the outbox --------------------------------------------------------------------------------------------------


def test_outgoing_messages_are_sent_in_order_before_the_message_is_settled() -> None:
    """One is owed at a time, the settlement after the last; a confirmation out of turn decides nothing."""
    sending = given(b.received(), b.started()).when(b.returned(outgoing=2))

    sending.then(b.completed(outgoing=2), owes=[b.send(0)])
    sending.when(b.send_confirmed(1)).then()
    sending.when(b.confirmed()).then()
    second = sending.when(b.send_confirmed(0)).then(b.sent(0), owes=[b.send(1)])
    second.when(b.send_confirmed(0)).then()
    second.when(b.send_confirmed(1)).then(b.sent(1), owes=[b.settle()])


def test_a_send_that_failed_for_the_moment_stays_owed() -> None:
    """Only a permanent failure is journaled; the next one goes on."""
    sending = given(b.received(), b.started(), b.completed(outgoing=1))

    sending.when(b.send_failed(transient=True)).then(owes=[b.send(0)])
    assert sending.when(b.send_failed()).owed == (b.settle(),)


def test_outgoing_messages_are_sent_although_the_lock_was_lost() -> None:
    """The outcome is final, so what belongs to it is sent, and then the settlement is tried."""
    lost = given(b.received(), b.started(), b.lapsed(), b.completed(outgoing=1))

    lost.when(b.send_confirmed()).then(b.sent(), owes=[b.settle()])


# --- leases ------------------------------------------------------------------------------------------------------


def test_a_renewal_only_ever_moves_a_lock_forward() -> None:
    """A late answer of an earlier renewal decides nothing, nor does one for a lease that lapsed."""
    held = given(b.received()).when(b.renewed(2 * LOCK)).then(LeasesRenewed(0, ((KEY, "b1", 2 * LOCK),)))

    assert held.message.copies[0].locked_until == 2 * LOCK
    held.when(b.renewed(2 * LOCK)).then()
    given(b.received(), b.lapsed()).when(b.renewed()).then()


def test_a_renewal_that_is_journaled_late_does_not_revive_a_lease() -> None:
    """Renewals are batched: one may be about a copy that lapsed meanwhile, or a message that is gone."""
    late = LeasesRenewed(0, ((KEY, "b1", 9 * LOCK), (KEY, "b9", 9 * LOCK), ("pulls:gone", "b3", 9 * LOCK)))

    after = given(b.received(), b.duplicate(), b.lapsed(), late)

    assert [(copy.lease, copy.locked_until) for copy in after.message.copies] == [
        (Lease.LAPSED, LOCK),
        (Lease.HELD, LOCK),
    ]


def test_K31_a_message_that_is_handed_over_again_while_it_runs_keeps_its_one_attempt() -> None:
    """Its newest receipt is taken; the attempt goes on, and is settled with it."""
    running = given(b.received(), b.started()).when(b.delivered(at=9 * S, count=2))

    running.then(b.redelivered(at=9 * S), owes=[b.run()])
    assert running.when(b.returned()).owed == (b.settle(at=9 * S),)


def test_every_copy_is_settled_and_none_is_run() -> None:
    """Several broker messages under one key: one attempt, a settlement each."""
    both = given(b.received(), b.started(), b.duplicate()).when(b.returned())

    both.then(b.completed(), owes=[b.settle(), b.settle(copy="b2")])


def test_K26_a_restart_keeps_only_leases_that_can_be_proven() -> None:
    """A lock that ends within the margin has lapsed, and so has every one whose receipt died with the process."""
    waiting = given(b.received())

    waiting.when(b.restarted(LOCK - S - 1)).then()
    waiting.when(b.restarted(LOCK - S)).then(b.lapsed(LapseReason.RESTART, at=LOCK - S))
    waiting.when(b.restarted(receipts_survive=False)).then(b.lapsed(LapseReason.RESTART))


def test_a_message_that_runs_is_not_handed_back() -> None:
    """Back-pressure gives back what waits, nothing else."""
    for past in ((b.received(), b.started()), COMPLETED):
        given(*past).when(b.hand_back()).then()


def test_a_long_back_off_gives_the_lock_up_and_is_kept_to_when_the_message_returns() -> None:
    """The broker hides it meanwhile; back before its time it still waits."""
    long = given(b.received(), b.started()).when(b.raised(retry_after_s=300.0))
    long.then(b.failed(retry_at=300 * S), owes=[b.wake(300 * S)])
    longer = given(b.received(), b.started()).under(b.patient(900.0)).when(b.raised(retry_after_s=900.0))

    longer.then(
        b.failed(retry_at=900 * S),
        b.lapsed(LapseReason.BACK_OFF, release=True, delay_us=900 * S),
        owes=[b.release(delay_us=900 * S)],
    )
    assert longer.when(b.delivered(at=9 * S)).owed == (b.wake(900 * S),)


# --- forgetting --------------------------------------------------------------------------------------------------


def test_a_lapsed_message_is_forgotten_in_two_steps() -> None:
    """First its body and copies, a day later its attempts."""
    lapsed = given(b.received(), b.started(), b.released(), b.lapsed())

    lapsed.when(TimerFired(900 * S - 1)).then()
    first = lapsed.when(TimerFired(900 * S)).then(Forgotten(KEY, 900 * S, "not handed over again"))
    assert (first.message.phase, first.message.copies) == (Phase.FORGOTTEN, ())
    assert isinstance(first.message.origin, Received)
    assert (first.message.origin.body, first.message.origin.receipt) == (b"", "")
    first.when(TimerFired(901 * S)).then()
    assert first.when(TimerFired(87_300 * S)).state.messages == {}


def test_a_lapsed_message_is_forgotten_early_when_memory_is_short() -> None:
    """Pressure takes bodies of lapsed messages and nothing else."""
    tight = TimerFired(0, pressed=True)

    given(b.received(), b.lapsed()).when(tight).then(Forgotten(KEY, 0, "too many wait to be handed over again"))
    given(*COMPLETED, b.refused()).when(tight).then()


def test_a_completed_message_that_is_never_settled_is_remembered_when_it_is_forgotten() -> None:
    """Its key is still known in the idempotency window."""
    day = 24 * 3_600 * S
    gone = given(*COMPLETED, b.refused()).when(TimerFired(14 * day))

    assert gone.state.settled.find(key_digest(KEY)) == SettledKey.of(14 * day, b"digest of body")
