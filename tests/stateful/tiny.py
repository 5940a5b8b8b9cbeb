"""An engine of a hundred lines around the real core, and the world that outlives it.

It journals first and acts second, as the real one does, but every step is a call of its own: whoever drives it decides
what happens next, and may let it die between any two steps. What is not durable dies with it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from queue_runtime.engine.decide import decide
from queue_runtime.engine.decide_breaker import decide_breaker
from queue_runtime.engine.decide_session import decide_session, with_cascade
from queue_runtime.engine.effects import Effect, ReleaseLease, RunHandler, Send, Settle, WakeAt, owed
from queue_runtime.engine.inputs import (
    BreakerChecked,
    Delivered,
    HandlerRaised,
    HandlerReleased,
    HandlerReturned,
    Input,
    LockLost,
    LockRenewed,
    ParkTimedOut,
    Ready,
    Restarted,
    SendConfirmed,
    SettleConfirmed,
    SettleDenied,
    TimerFired,
)
from queue_runtime.engine.policy import Policy
from queue_runtime.journal.events import Disposition, Event, LapseReason, RunStarted
from queue_runtime.journal.settled_keys import key_digest
from queue_runtime.journal.state import BreakerPhase, EngineState, Lease, MessageState, Phase, fold
from tests.stateful.broker import Broker, Stored
from tests.unit import builders as b

DAY_US = 24 * 3_600 * b.S


@dataclass
class World:
    """What survives a crash: the broker, the clock, and of the journal what is durable."""

    broker: Broker
    policy: Policy = field(default_factory=Policy)
    journal: list[Event] = field(default_factory=list[Event])
    now: int = b.S
    runs: int = 0


class TinyEngine:
    """One life of an engine. `point` is called between any two steps, and may raise."""

    def __init__(
        self, world: World, *, receipts_survive: bool = True, point: Callable[[], None] = lambda: None
    ) -> None:
        """Recover from what is durable."""
        self.world = world
        self.point = point
        self.state: EngineState = fold(world.journal)
        self.unwritten: list[Event] = []
        self.performing: dict[object, Effect] = {}
        self.answers: list[tuple[str, Input]] = []
        world.runs += 1
        self.run_id = f"r{world.runs}"
        self.journal((RunStarted(self.run_id, world.now, "1", "", "host", 1, DAY_US),))
        for message in sorted(self.state.messages.values(), key=lambda m: m.order, reverse=True):
            self.submit(message.key, Restarted(world.now, receipts_survive))
        self.commit()

    def submit(self, key: str, given: Input) -> None:
        """Decide, and hand the events to the journal."""
        message = self.state.messages.get(key)
        events = decide(message, given, self.world.policy)
        if events and message is not None:
            events = with_cascade(message, events, [m for m in self.state.messages.values() if m.lane == message.lane])
        self.journal(events)
        for name in tuple(self.state.breakers):
            checked = decide_breaker(
                self.state.breakers[name], BreakerChecked(self.world.now), self.world.policy.breaker
            )
            self.journal(checked)

    def journal(self, events: tuple[Event, ...]) -> None:
        self.unwritten += events
        for event in events:
            self.state.apply(event)

    def commit(self) -> None:
        """Everything that was handed over is durable now."""
        self.point()
        self.world.journal += self.unwritten
        self.unwritten = []
        self.point()

    # --- what an engine does, one step a call ---

    def receive(self, at_most: int = 1) -> None:
        for stored in self.world.broker.receive(self.world.now, at_most):
            self.submit(stored.key, Delivered(self._received(stored), self.state.settled.find(key_digest(stored.key))))

    def _received(self, stored: Stored) -> b.Received:
        received = b.received(
            stored.key,
            at=self.world.now,
            copy=stored.provider_id,
            session=stored.session,
            sequence=stored.sequence if self.world.broker.is_fifo else None,
            count=stored.count,
        )
        return b.with_receipt(received, stored.receipt)

    def startable(self) -> list[MessageState]:
        """Everything that lanes, suspicion, parking, back-off and breakers let start now."""
        return [m for m in self.state.messages.values() if self._may_start(m)]

    def _may_start(self, message: MessageState) -> bool:
        now = self.world.now
        if message.phase is not Phase.WAITING and message.phase is not Phase.BACKING_OFF:
            return False
        if message.phase is Phase.BACKING_OFF and (message.retry_at is None or message.retry_at > now):
            return False
        running = [m for m in self.state.messages.values() if m.is_running]
        if any(m.alone for m in running) or (running and message.suspect_until > now):
            return False
        breaker = self.state.breakers.get("route")
        if (
            breaker is not None
            and breaker.phase is not BreakerPhase.CLOSED
            and (breaker.phase is BreakerPhase.OPEN or running)
        ):
            return False
        return message.lane is None or self._is_next_of_its_lane(message)

    def _is_next_of_its_lane(self, message: MessageState) -> bool:
        session = self.state.sessions.get(message.lane or ("", ""))
        mates = [m for m in self.state.messages.values() if m.lane == message.lane and m is not message]
        return not (
            (session is not None and session.parked_key is not None)
            or any(m.is_running or m.is_releasing or (m.is_open and m.order < message.order) for m in mates)
        )

    def start(self, message: MessageState) -> None:
        alone = message.suspect_until > self.world.now
        self.submit(message.key, Ready(self.world.now, self.run_id, "route", alone))

    def due(self) -> list[Effect]:
        """Everything that is owed, durable, and not being performed."""
        unwritten = {getattr(event, "key", None) for event in self.unwritten}
        return [
            effect
            for message in self.state.messages.values()
            if message.key not in unwritten
            for effect in owed(message)
            if effect.id not in self.performing and not isinstance(effect, WakeAt)
        ]

    def perform(self, effect: Effect, *, is_answer_lost: bool = False) -> None:
        """Act in the world. The answer is kept apart: a crash may come before it is journaled."""
        self.performing[effect.id] = effect
        broker, now = self.world.broker, self.world.now
        match effect:
            case Settle(key, copy, disposition):
                settle = broker.complete if disposition is Disposition.COMPLETE else broker.dead_letter
                is_done = settle(copy, effect.receipt, now) and not is_answer_lost
                self._answer(effect, key, is_done=is_done, copy=copy, disposition=disposition)
            case ReleaseLease(key, copy, delay_us):
                is_done = broker.abandon(copy, effect.receipt, now, delay_us)
                self._answer(effect, key, is_done=is_done, copy=copy, disposition=Disposition.ABANDON)
            case Send(key, index, message):
                broker.sent.append(f"{key}/{message.message_id}")
                self.answers.append((key, SendConfirmed(now, index, "out")))
                del self.performing[effect.id]
            case RunHandler(key, attempt) if not self.state.messages[key].is_held:
                self.answers.append((key, HandlerReleased(now, attempt, "its lock was lost before it ran")))
                del self.performing[effect.id]
            case RunHandler() | WakeAt():
                pass  # it is in `performing` until it ends
        self.point()

    def _answer(self, effect: Effect, key: str, *, is_done: bool, copy: str, disposition: Disposition) -> None:
        now = self.world.now
        answer = (
            SettleConfirmed(now, copy, disposition) if is_done else SettleDenied(now, copy, disposition, "lock lost")
        )
        self.answers.append((key, answer))
        del self.performing[effect.id]

    def hear(self) -> None:
        """Journal what the world answered, in any case before anything is asked of it again."""
        answers, self.answers = self.answers, []
        for key, answer in answers:
            self.submit(key, answer)

    def running(self) -> list[RunHandler]:
        return [effect for effect in self.performing.values() if isinstance(effect, RunHandler)]

    def end(self, run: RunHandler, error: str | None, *, transient: bool = True, outgoing: int = 0) -> None:
        """A handler returns, or raises if there is an `error`."""
        del self.performing[run.id]
        now = self.world.now
        if error is None:
            outcome: Input = HandlerReturned(now, run.attempt, None, tuple(b.message(n) for n in range(outgoing)))
        else:
            outcome = HandlerRaised(now, run.attempt, error, error, (), transient, None, 0.0)
        self.submit(run.key, outcome)

    def renew(self) -> None:
        """Extend every lock; what is lost is said to be."""
        now = self.world.now
        for message in tuple(self.state.messages.values()):
            for copy in message.copies:
                if copy.lease is Lease.HELD:
                    until = self.world.broker.renew(copy.provider_id, copy.receipt, now)
                    lost = LockLost(now, copy.provider_id, LapseReason.LOCK_LOST)
                    self.submit(message.key, lost if until is None else LockRenewed(now, copy.provider_id, until))

    def look_at_the_clock(self) -> None:
        """Forget what is old, resume what was parked too long, half open breakers."""
        now = self.world.now
        for key in tuple(self.state.messages):
            self.submit(key, TimerFired(now))
        for session in tuple(self.state.sessions.values()):
            head = self.state.messages.get(session.parked_key or "")
            self.journal(decide_session(session, ParkTimedOut(now), head))
