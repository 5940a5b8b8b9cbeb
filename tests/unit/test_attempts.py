"""Attempts are counted from the journal; who is charged, and when it is enough."""

from queue_runtime.engine.policy import Policy, SessionFailure
from queue_runtime.journal.events import DeadLettered, Disposition, Forgotten, StepRecorded
from queue_runtime.journal.evolve import MAX_ATTEMPT_RECORDS
from queue_runtime.journal.state import Phase
from tests.unit import builders as b
from tests.unit.builders import KEY, S
from tests.unit.scenario import Scenario, given

DEAD_LETTER = Disposition.DEAD_LETTER


def _after_failures(count: int) -> Scenario:
    pairs = [(b.started(n), b.failed(n, retry_at=0)) for n in range(1, count + 1)]
    return given(b.received(), *(event for pair in pairs for event in pair))


def test_the_fifth_failure_is_the_last() -> None:
    """Five attempts are made by default; the fifth failure dead-letters, and says how often it was tried."""
    text = "attempt 5 (5 of 5 charged): Oops: it broke"
    last = _after_failures(4).when(b.ready()).then(b.started(5), owes=[b.run(5)])

    last.when(b.raised(5)).then(
        b.failed(5),
        b.dead("MaxAttemptsExceeded", text=text),
        owes=[b.settle(DEAD_LETTER, reason="MaxAttemptsExceeded", text=text)],
    )


def test_the_fourth_failure_is_retried_after_its_own_back_off() -> None:
    """The delay follows from the failures that the journal holds, not from anything in memory."""
    _after_failures(3).when(b.ready()).when(b.raised(4, 7 * S)).then(
        b.failed(4, at=7 * S, retry_at=15 * S), owes=[b.wake(15 * S)]
    )


def test_a_retry_waits_for_its_time() -> None:
    """A message that backs off is not started early, whoever asks."""
    given(b.received(), b.started(), b.failed(retry_at=10 * S)).when(b.ready(10 * S - 1)).then()


def test_an_attempt_that_a_drain_ended_is_not_charged() -> None:
    """The next attempt has the next number, and as many failures left as before."""
    after = given(b.received(), b.started(), b.released(), b.started(2)).when(b.raised(2)).then(b.failed(2, retry_at=S))

    assert (after.message.failures, after.message.attempt) == (1, 2)


def test_a_failure_after_the_lock_was_lost_is_not_charged() -> None:
    """Whoever holds the message now may be at work on it: the attempt is released."""
    after = given(b.received(), b.started(), b.lapsed()).when(b.raised())

    assert (after.message.phase, after.message.failures) == (Phase.LAPSED, 0)


def test_a_result_of_an_older_attempt_decides_nothing() -> None:
    """Only the attempt that runs can end, however late the older one answers."""
    running = given(b.received(), b.started(1), b.failed(1, retry_at=0), b.started(2))

    for late in (b.returned(1), b.raised(1), b.timed_out(1), b.drained(1), b.step(attempt=1)):
        running.when(late).then()


def test_attempts_are_still_known_when_a_forgotten_message_comes_back() -> None:
    """A message that failed here, was lost and comes back goes on counting."""
    forgotten = given(b.received(), b.started(), b.failed(retry_at=0), b.lapsed(), Forgotten(KEY, 0, ""))

    again = forgotten.when(b.delivered(at=9 * S)).then(b.received(at=9 * S)).when(b.ready(9 * S))

    again.then(b.started(2, at=9 * S))
    assert again.message.failures == 1


def test_a_message_that_was_never_tried_is_forgotten_at_once() -> None:
    """There are no attempts to remember, so nothing of it stays in memory."""
    assert given(b.received(), b.lapsed(), Forgotten(KEY, 0, "")).state.messages == {}


def test_the_history_of_a_blocked_message_is_bounded() -> None:
    """It is retried without end, so live state keeps its latest attempts only; the journal has all."""
    message = _after_failures(40).message

    assert len(message.history) == MAX_ATTEMPT_RECORDS
    assert (message.history[0].attempt, message.history[-1].attempt) == (25, 40)


def test_K29_a_history_says_whether_an_attempt_may_have_got_to_its_end() -> None:
    """A failure is seen, a crash or a release is not: the handler is told that it may have run before."""
    assert not _after_failures(2).message.may_have_run
    assert given(b.received(), b.started(), b.crashed()).message.may_have_run


# --- poison ------------------------------------------------------------------------------------------------------


def test_a_crash_in_company_raises_suspicion_and_is_not_charged() -> None:
    """A message that was in an attempt when the process died is a suspect for ten minutes, and keeps its attempts."""
    after = given(b.received(), b.started()).when(b.restarted(5 * S)).then(b.crashed(at=5 * S))

    assert (after.message.crashes, after.message.suspect_until) == (0, 605 * S)
    assert after.message.phase is Phase.WAITING


def test_a_crash_while_alone_is_charged() -> None:
    """There is nobody else to blame."""
    after = given(b.received(), b.started(alone=True)).when(b.restarted()).then(b.crashed(alone=True), owes=[])

    assert after.message.crashes == 1


def test_the_third_crash_while_alone_dead_letters() -> None:
    """A message that kills its process is not tried for ever, and crashes in company do not count."""
    past = [b.received(), b.started(1), b.crashed(1)]
    for attempt in (2, 3):
        past += [b.started(attempt, alone=True), b.crashed(attempt, alone=True)]
    last = given(*past, b.started(4, alone=True)).when(b.restarted())

    assert [type(event).__name__ for event in last.new] == ["AttemptCrashed", "DeadLettered"]
    assert last.message.reason == "PoisonMessage"
    assert [type(effect).__name__ for effect in last.owed] == ["Settle"]


def test_a_run_alone_that_ends_clears_the_suspicion() -> None:
    """It ended, so it did not kill the process; in company that would prove nothing."""
    suspect = given(b.received(), b.started(), b.crashed())

    assert suspect.when(b.ready(alone=True)).when(b.raised(2)).message.suspect_until == 0
    assert suspect.when(b.ready()).when(b.raised(2)).message.suspect_until == 600 * S


def test_K37_a_message_that_others_were_handed_too_often_is_a_suspect() -> None:
    """A high count of a broker never dead-letters a message untried: it is run alone at first."""
    first = given().when(b.delivered(count=4))

    first.then(b.received(count=4, suspect_until=600 * S))
    given().when(b.delivered(count=3)).then(b.received(count=3))


def test_crashes_and_failures_are_spent_together() -> None:
    """Three failures and two crashes alone are five attempts."""
    past = [b.received()]
    for attempt in (1, 2, 3):
        past += [b.started(attempt), b.failed(attempt, retry_at=0)]
    for attempt in (4, 5):
        past += [b.started(attempt, alone=True), b.crashed(attempt, alone=True)]

    given(*past).when(b.ready()).then(b.dead("MaxAttemptsExceeded", kind=None, text="5 of 5 attempts are spent"))


def test_a_blocked_session_never_gives_its_head_up() -> None:
    """Under `block` even a permanent error is retried; without a session there is nothing to block."""
    block = Policy(max_attempts=1, session_failure=SessionFailure.BLOCK)
    ordered = given(b.received(session="s"), b.started()).under(block)

    again = ordered.when(b.raised(transient=False)).then(b.failed(retry_at=S, transient=False))
    again.when(b.ready(S)).then(b.started(2, at=S))
    alone = given(b.received(), b.started()).under(block).when(b.raised(transient=False))
    assert isinstance(alone.new[-1], DeadLettered)


# --- steps -------------------------------------------------------------------------------------------------------


def test_a_step_is_recorded_once_and_kept_for_the_next_attempt() -> None:
    """A retried attempt finds the result of a step; a second result under the name is not taken."""
    once = given(b.received(), b.started()).when(b.step()).then(StepRecorded(KEY, 0, 1, "classify", b"result"))

    once.when(b.step()).then()
    retried = once.when(b.raised()).when(b.ready(S))
    assert retried.message.steps == {"classify": b"result"}
    assert retried.when(b.returned(2)).message.steps == {}


# --- time to live ------------------------------------------------------------------------------------------------


def test_a_message_is_looked_at_when_its_life_ends() -> None:
    """While it waits for its first attempt a wake-up is owed; once tried it is the engine's to end."""
    waiting = given().when(b.delivered(expires_at=50 * S))

    waiting.then(b.received(expires_at=50 * S), owes=[b.wake(50 * S)])
    assert given(b.received(expires_at=50 * S), b.started(), b.released()).owed == ()


def test_a_queue_that_drops_expired_messages_is_imitated() -> None:
    """What the queue would discard is completed, not dead-lettered."""
    dropping = given(b.received(expires_at=5 * S)).under(Policy(drop_expired=True))

    expired = dropping.when(b.ready(5 * S))
    expired.then(
        b.dead("TTLExpired", at=5 * S, kind=None, text="its time to live passed before an attempt", dropped=True),
        owes=[b.settle()],
    )


def test_nothing_expires_before_its_time() -> None:
    """An early timer decides nothing, and the attempt may start."""
    waiting = given(b.received(expires_at=50 * S))

    waiting.when(b.expired(49 * S)).then()
    waiting.when(b.ready(49 * S)).then(b.started(at=49 * S))
