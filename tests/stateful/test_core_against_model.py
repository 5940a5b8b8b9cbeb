"""Hypothesis drives the core through lives, crashes and brokers' whims, against a model that only counts."""

from collections.abc import Callable

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from queue_runtime.engine.effects import RunHandler, Settle
from queue_runtime.engine.inputs import HandBack, HandlerReleased, LockLost
from queue_runtime.engine.policy import BreakerPolicy, Policy, SessionFailure
from queue_runtime.journal.events import LapseReason
from queue_runtime.journal.invariants import violations
from queue_runtime.journal.state import Lease, fold
from tests.stateful.broker import Broker
from tests.stateful.drive import assert_kept, drive, succeed
from tests.stateful.tiny import TinyEngine, World
from tests.unit.builders import S

PICK = st.integers(0, 20)
ENDINGS = st.sampled_from([None, None, "Oops", "Oops", "Invalid"])


class CoreAgainstModel(RuleBasedStateMachine):
    """The model knows what was sent, which handlers returned, and in which order."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[str] = []
        self.sessions: dict[str, str | None] = {}
        self.finished: list[str] = []  # their completion is durable
        self.returned: list[str] = []  # not yet
        self.orders: dict[str, int] = {}

    @initialize(
        is_fifo=st.booleans(),
        failure=st.sampled_from(SessionFailure),
        hold_s=st.sampled_from([0.0, 300.0]),
        max_attempts=st.integers(1, 3),
        sessions=st.lists(st.sampled_from([None, "s", "s", "t"]), min_size=2, max_size=6),
    )
    def begin(
        self,
        *,
        is_fifo: bool,
        failure: SessionFailure,
        hold_s: float,
        max_attempts: int,
        sessions: list[str | None],
    ) -> None:
        policy = Policy(
            max_attempts=max_attempts, breaker=BreakerPolicy(failures=3), session_failure=failure, hold_s=hold_s
        )
        self.world = World(Broker(is_fifo), policy)
        self.engine = TinyEngine(self.world)
        for session in sessions:
            self.a_message_is_sent(session)

    # --- the outside ---

    @rule(session=st.sampled_from([None, "s", "t"]))
    def a_message_is_sent(self, session: str | None) -> None:
        key = f"pulls:m{len(self.sessions)}"
        self.sessions[key] = session
        self.sent.append(key)
        self.world.broker.send(key, session)

    @precondition(lambda self: bool(self.sent))
    @rule(pick=PICK)
    def a_message_is_sent_again(self, pick: int) -> None:
        key = self.sent[pick % len(self.sent)]
        self.sent.append(key)
        self.world.broker.send(key, self.sessions[key])

    @rule(seconds=st.sampled_from([1, 5, 20, 45, 61, 1_000]))
    def time_passes(self, seconds: int) -> None:
        self.world.now += seconds * S

    @rule()
    def another_consumer_takes_a_message(self) -> None:
        self.world.broker.steal(self.world.now)

    # --- the engine ---

    @rule(at_most=st.integers(1, 3))
    def messages_are_received(self, at_most: int) -> None:
        self.engine.receive(at_most)

    @precondition(lambda self: bool(self.engine.startable()))
    @rule(pick=PICK)
    def an_attempt_starts(self, pick: int) -> None:
        startable = self.engine.startable()
        message = startable[pick % len(startable)]
        assert message.key not in self.finished, "what was completed is run again"
        self.engine.start(message)

    @precondition(lambda self: bool(self.engine.due()))
    @rule(pick=PICK, is_answer_lost=st.booleans())
    def an_effect_is_performed(self, pick: int, *, is_answer_lost: bool) -> None:
        due = self.engine.due()
        effect = due[pick % len(due)]
        if isinstance(effect, Settle):
            assert (effect.disposition == "dead-letter") or effect.key in self.finished or self._is_dead(effect.key)
        self.engine.perform(effect, is_answer_lost=is_answer_lost)

    def _is_dead(self, key: str) -> bool:
        return key in self.world.broker.dead

    @rule(at_most=st.integers(0, 3))
    def the_engine_goes_on(self, at_most: int) -> None:
        """Take every step that an engine takes by itself, so that what is rare is met in the middle of a life."""
        self.engine.hear()
        self.engine.receive(at_most)
        for message in self.engine.startable():
            if message in self.engine.startable():
                assert message.key not in self.finished, "what was completed is run again"
                self.engine.start(message)
        self.the_journal_commits()
        for effect in self.engine.due():
            self.engine.perform(effect)

    @rule()
    def answers_are_heard(self) -> None:
        self.engine.hear()

    @precondition(lambda self: bool(self.engine.running()))
    @rule(pick=PICK, error=ENDINGS, outgoing=st.integers(0, 2))
    def a_handler_ends(self, pick: int, error: str | None, outgoing: int) -> None:
        run = self._pick(pick)
        if error is None:
            self.returned.append(run.key)
            self.orders[run.key] = self.engine.state.messages[run.key].order
        self.engine.end(run, error, transient=error == "Oops", outgoing=outgoing)

    @rule()
    def the_journal_commits(self) -> None:
        self.engine.commit()
        self.finished += self.returned
        self.returned = []

    @rule()
    def locks_are_renewed(self) -> None:
        self.engine.renew()

    @precondition(lambda self: bool(self._held()))
    @rule(pick=PICK)
    def one_lock_is_lost(self, pick: int) -> None:
        held = self._held()
        key, copy = held[pick % len(held)]
        self.world.broker.lose_lock(copy, self.world.now)
        self.engine.submit(key, LockLost(self.world.now, copy, LapseReason.LOCK_LOST))

    def _held(self) -> list[tuple[str, str]]:
        messages = self.engine.state.messages.values()
        return [(m.key, copy.provider_id) for m in messages for copy in m.copies if copy.lease is Lease.HELD]

    @rule()
    def the_clock_is_looked_at(self) -> None:
        self.engine.look_at_the_clock()

    # --- the ends of engines ---

    @rule(receipts_survive=st.booleans())
    def the_process_dies(self, *, receipts_survive: bool) -> None:
        self.returned = []
        if not receipts_survive:
            self.world.broker.forget_receipts()
        self.engine = TinyEngine(self.world, receipts_survive=receipts_survive)

    @rule()
    def the_engine_drains_and_another_starts(self) -> None:
        engine, now = self.engine, self.world.now
        engine.hear()
        for run in engine.running():
            del engine.performing[run.id]
            engine.submit(run.key, HandlerReleased(now, run.attempt, "drain"))
        for message in sorted(engine.state.messages.values(), key=lambda m: m.order, reverse=True):
            engine.submit(message.key, HandBack(now, LapseReason.DRAIN))
        self.the_journal_commits()
        for effect in engine.due():
            engine.perform(effect)
        engine.hear()
        engine.commit()
        self.engine = TinyEngine(self.world)

    # --- what always holds ---

    @invariant()
    def the_fold_of_the_journal_is_the_live_state(self) -> None:
        if self._has_begun():
            assert fold(self.world.journal + self.engine.unwritten) == self.engine.state

    @invariant()
    def the_journal_breaks_no_rule(self) -> None:
        if self._has_begun():
            assert violations(enumerate(self.world.journal + self.engine.unwritten, 1)) == []

    @invariant()
    def nothing_is_completed_twice(self) -> None:
        done = self.finished + self.returned
        assert len(done) == len(set(done))

    @invariant()
    def a_fifo_session_is_completed_in_order(self) -> None:
        if self._has_begun() and self.world.broker.is_fifo:
            for session in ("s", "t"):
                # A key that was sent again keeps the place of its first copy, which another consumer may have taken.
                once = [k for k in self.finished + self.returned if self.sent.count(k) == 1]
                done = [self.orders[key] for key in once if self.sessions[key] == session]
                assert done == sorted(done)

    def teardown(self) -> None:
        """Let handlers succeed from now on, and run until nothing is left to do."""
        if self._has_begun():
            self.the_journal_commits()
            drive(self.engine, succeed)
            assert_kept(self.world, self.sent)

    def _has_begun(self) -> bool:
        return hasattr(self, "engine")

    def _pick(self, pick: int) -> RunHandler:
        running = self.engine.running()
        return running[pick % len(running)]


TestCoreAgainstModel: Callable[[], object] = CoreAgainstModel.TestCase
# How many examples is for the profile to say.
TestCoreAgainstModel.settings = settings(stateful_step_count=50)
