"""The core's shell: it hands decisions to the journal and, once they are durable, has what is owed performed.

This is the only object that holds live state. What was seen comes in by `submit`; the events go to the journal and into
the state at once; nothing is performed before the commit that carries the last event of a message is durable. When a
commit fails, everything stops until the journal can be written again; then the state is folded anew from what is
durable, and the outcomes that were seen meanwhile are submitted again.

All methods are called on the engine's loop. None of them waits, but `record` and `resume`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, cast

from queue_runtime.engine.decide import decide
from queue_runtime.engine.decide_breaker import decide_breaker
from queue_runtime.engine.decide_session import decide_session, with_cascade
from queue_runtime.engine.effects import Effect, WakeAt, owed
from queue_runtime.engine.inputs import (
    BreakerChecked,
    Delivered,
    Expired,
    HandBack,
    HandlerRaised,
    HandlerReturned,
    HandlerTimedOut,
    Input,
    LockRenewed,
    ParkTimedOut,
    Ready,
    SessionInput,
)
from queue_runtime.engine.lanes import LaneKey, Lanes
from queue_runtime.engine.policy import Policy
from queue_runtime.engine.timers import Timers
from queue_runtime.journal.errors import JournalUnavailable
from queue_runtime.journal.events import (
    BreakerClosed,
    BreakerHalfOpened,
    BreakerOpened,
    Event,
    LapseReason,
    LeasesRenewed,
    MessageEvent,
    SessionParked,
    SessionResumed,
)
from queue_runtime.journal.evolve import MESSAGE_EVENTS
from queue_runtime.journal.port import Journal
from queue_runtime.journal.state import BreakerPhase, EngineState, MessageState, Phase
from queue_runtime.providers.clock import Clock

__all__ = ["Core", "Follower", "Limits", "Routes", "Watcher", "load"]

logger = logging.getLogger("queue_runtime.engine")

_ENDS_OF_ATTEMPTS = frozenset({HandlerReturned, HandlerRaised, HandlerTimedOut})


class Routes(Protocol):
    """What the core has to know of handlers: the route of a message, and how patient to be with it."""

    def route(self, message: MessageState) -> str:
        """Name the handler of a message."""
        ...

    def policy(self, route: str) -> Policy:
        """The policy of a route; the engine's own for the empty name."""
        ...

    def hands_back(self, route: str) -> bool:
        """True if messages of this route go back to the broker untried."""
        ...


class Watcher(Protocol):
    """Is told of every event, as soon as it is decided."""

    def happened(self, event: Event, message: MessageState | None, position: int) -> None:
        """Take it over; must not raise. `message` is what it is about, before it went if it went."""
        ...


class Follower(Protocol):
    """Is told when what we hold of a message changes: it came, was handed over again, lapsed, or went."""

    def changed(self, before: MessageState | None, after: MessageState | None) -> None:
        """Take the change over; must not raise."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """How much the core starts, and how long what it hands back untried stays hidden."""

    concurrency: int
    release_delay_us: int


class Core:
    """Live state, its index, and the way to the journal.

    Attributes:
        state: what the journal says, including what it is being told just now. Read only.
        lanes: who may start next.
        halted: why the journal cannot be written, or None.
        drops_expired: queues that discard what has expired, instead of dead-lettering it.
    """

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        routes: Routes,
        perform: Callable[[Effect], None],
        limits: Limits,
    ) -> None:
        self.journal = journal
        self.clock = clock
        self.timers = Timers(clock)
        self.state = EngineState()
        self.halted: BaseException | None = None
        self.run_id = ""
        self.is_draining = True  # until the engine has recovered
        self.followers: Sequence[Follower] = ()
        self.drops_expired: frozenset[str] = frozenset()
        self.watcher: Watcher | None = None
        self.on_halt: Callable[[], None] = _nothing
        self._routes = routes
        self._do = perform
        self._limits = limits
        self._performing: set[object] = set()
        self._pending: deque[tuple[int, str, Input | None]] = deque()
        self._last: dict[str, int] = {}
        self._held: list[tuple[str, Input]] = []
        self._is_closed = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._writable = asyncio.Event()
        self._writable.set()
        self.lanes = Lanes(self.state, self._admits)
        journal.on_commit(self._committed)

    def now(self) -> int:
        """The present instant, as the journal keeps it."""
        return int(self.clock.now())

    # --- what was seen ---

    def submit(self, key: str, given: Input, *besides: Event) -> int | None:
        """Decide what `given` means for the message `key`; returns the position of its last event, or None.

        While the journal cannot be written the input is kept, unless the broker will repeat it. If anything follows
        from it, the events `besides` are journaled in front of that, in one piece with it.
        """
        if self.halted is not None:
            self._hold(key, given)
            return None
        message = self.state.messages.get(key)
        events = decide(message, given, self._policy(message, given))
        if not events:
            return None
        if message is not None and message.lane is not None:
            events = with_cascade(message, events, self.lanes.lane(message.lane))
        position = self._commit((*besides, *events) if besides else events, key, given)
        if message is not None and type(given) in _ENDS_OF_ATTEMPTS and message.route in self.state.breakers:
            self._check_breaker(message.route)
        return position

    def _policy(self, message: MessageState | None, given: Input) -> Policy:
        if isinstance(given, Ready):
            policy = self._routes.policy(given.route)
        else:
            policy = self._routes.policy(message.route if message is not None else "")
        if self.drops_expired and message is not None and message.origin.queue in self.drops_expired:
            return replace(policy, drop_expired=True)
        return policy

    def submit_renewals(self, now: int, given: Sequence[tuple[str, LockRenewed]]) -> None:
        """Decide what renewals mean, and journal them as one event: a restart must know what it may still hold."""
        leases: list[tuple[str, str, int]] = []
        for key, renewed in given:
            for event in decide(self.state.messages.get(key), renewed, self._routes.policy("")):
                if isinstance(event, LeasesRenewed):
                    leases += event.leases
        if leases:
            self.commit((LeasesRenewed(now, tuple(leases)),))

    def submit_session(self, lane: LaneKey, given: SessionInput) -> int | None:
        """Decide what `given` means for a session."""
        session = self.state.sessions.get(lane)
        head = self.state.messages.get(session.parked_key) if session and session.parked_key else None
        events = decide_session(session, given, head)
        return self.commit(events) if events else None

    def commit(self, events: Sequence[Event]) -> int | None:
        """Journal events that were decided elsewhere (runs, operators, renewals); None while that is impossible."""
        return None if self.halted is not None else self._commit(events, None, None)

    async def record(self, key: str, given: Input) -> None:
        """Submit, and return when it is durable, however long the journal cannot be written."""
        await self._record(lambda: self._commit_for(key, given))

    async def record_session(self, lane: LaneKey, given: SessionInput) -> None:
        """As `record`, for a session."""
        await self._record(lambda: self.submit_session(lane, given))

    async def _record(self, submit: Callable[[], int | None]) -> None:
        while True:
            await self._writable.wait()
            position = submit()
            if position is None and self.halted is not None:
                continue
            if position is None:
                return
            try:
                await self.journal.wait(position)
            except JournalUnavailable:
                continue
            return

    async def writable(self) -> None:
        """Return when the journal can be written: nothing is sent or settled while it cannot."""
        await self._writable.wait()

    def spawn(self, coroutine: Coroutine[object, object, None]) -> None:
        """Run something beside, that ends by itself; `close` cancels it."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Stop the clockwork. The journal belongs to whoever opened it."""
        self._is_closed = True
        self.timers.stop()
        for task in self._tasks:
            task.cancel()

    def _commit_for(self, key: str, given: Input) -> int | None:
        """As `submit`, of an input whose giver waits and says it again: it is not kept over a halt."""
        message = self.state.messages.get(key)
        events = decide(message, given, self._policy(message, given))
        return self._commit(events, None, None) if events else None

    def pump(self) -> None:
        """Start what may start, up to the engine's concurrency."""
        if self.is_draining or self.halted is not None:
            return
        now = self.now()
        while self.lanes.running < self._limits.concurrency:
            message = self.lanes.next_ready(now)
            if message is None:
                return
            route = self._routes.route(message)
            if self._routes.hands_back(route):
                self.submit(message.key, HandBack(now, LapseReason.UNHANDLED, self._limits.release_delay_us))
            else:
                self.submit(message.key, Ready(now, self.run_id, route, alone=message.suspect_until > now))

    # --- to the journal and back ---

    def _commit(self, events: Sequence[Event], key: str | None, given: Input | None) -> int | None:
        try:
            position = self.journal.append(events)
        except JournalUnavailable as error:
            self._halt(error)
            if key is not None and given is not None:
                self._hold(key, given)
            return None
        for event in events:
            self._apply(event, given)
        return position

    def _apply(self, event: Event, given: Input | None) -> None:
        if type(event) in MESSAGE_EVENTS:
            self._apply_to_message(cast("MessageEvent", event).key, event, given)
        elif isinstance(event, SessionResumed):
            self._apply_to_message(event.key, event, given)
            self.lanes.offer_lane((event.queue, event.session_id))
        else:
            self.state.apply(event)
            self._follow_up(event)

    def _apply_to_message(self, key: str, event: Event, given: Input | None) -> None:
        messages = self.state.messages
        before = messages.get(key)
        self.state.apply(event)
        after = messages.get(key)
        position = self._last[key] = self.state.position
        self._pending.append((position, key, given))
        self.lanes.update(before, after)
        if before is None or after is None or before.copies is not after.copies:
            for follower in self.followers:
                follower.changed(before, after)
        if self.watcher is not None:
            self.watcher.happened(event, after if after is not None else before, position)

    def _follow_up(self, event: Event) -> None:
        match event:
            case SessionParked():
                self._at(event.until, self._park_timed_out, (event.queue, event.session_id))
            case BreakerOpened():
                self._at(event.until, self._check_breaker, event.name)
            case BreakerHalfOpened() | BreakerClosed():
                self.lanes.unblock()
            case _:
                pass

    def _committed(self, durable: int, error: BaseException | None) -> None:
        """Perform what is owed for messages whose last event is durable now."""
        if self._is_closed:
            return
        if error is not None:
            self._halt(error)
            return
        pending, last = self._pending, self._last
        while pending and pending[0][0] <= durable:
            position, key, _ = pending.popleft()
            if last.get(key) == position:
                del last[key]
                self.perform(key)

    def perform(self, key: str) -> None:
        """Have what is owed for a message performed, unless an event of it is still on its way to the disk."""
        message = self.state.messages.get(key)
        if message is None or key in self._last or self.halted is not None:
            return
        for effect in owed(message):
            if effect.id in self._performing:
                continue
            self._performing.add(effect.id)
            if isinstance(effect, WakeAt):
                self._at(effect.at, self._woken, effect)
            else:
                self._do(effect)

    def done(self, effect: Effect) -> None:
        """The shell has performed an effect; called before its result is submitted."""
        self._performing.discard(effect.id)

    def retry(self, effect: Effect, after_s: float) -> None:
        """The shell could not perform an effect: it stays owed, and is looked at again `after_s` from now."""

        def again() -> None:
            self.done(effect)
            self.perform(effect.key)

        self.timers.after(after_s, again)

    # --- time ---

    def _at(self, when: int, call: Callable[..., None], *arguments: object) -> None:
        self.timers.at(when, lambda: call(*arguments))

    def _woken(self, effect: WakeAt) -> None:
        self.done(effect)
        message = self.state.messages.get(effect.key)
        if message is None:
            return
        if message.phase is Phase.WAITING:
            self.submit(effect.key, Expired(self.now()))
        self.perform(effect.key)  # a later instant may be owed by now
        self.lanes.offer(effect.key)
        self.pump()

    def _park_timed_out(self, lane: LaneKey) -> None:
        self.submit_session(lane, ParkTimedOut(self.now()))
        self.pump()

    # --- breakers ---

    def _admits(self, message: MessageState) -> bool:
        if not self.state.breakers:
            return True
        route = self._routes.route(message)
        breaker = self.state.breakers.get(route)
        if breaker is None or breaker.phase is BreakerPhase.CLOSED:
            return True
        if breaker.phase is BreakerPhase.OPEN:
            return False
        return not any(other.is_running and other.route == route for other in self.state.messages.values())

    def _check_breaker(self, route: str) -> None:
        if self.halted is not None:
            return
        breaker = self.state.breakers.get(route)
        events = decide_breaker(breaker, BreakerChecked(self.now()), self._routes.policy(route).breaker)
        if events:
            self._commit(events, None, None)
        elif breaker is not None and breaker.phase is BreakerPhase.HALF_OPEN:
            self.lanes.unblock()  # the next probe may go
        self.pump()

    # --- when the journal cannot be written ---

    def _hold(self, key: str, given: Input) -> None:
        """Keep what nobody will say again. A delivery is repeated by the broker, an admission by the lanes."""
        if not isinstance(given, Delivered | Ready):
            self._held.append((key, given))

    def _halt(self, error: BaseException) -> None:
        if self.halted is not None:
            return
        self.halted = error
        self._writable.clear()
        for _, key, given in self._pending:
            if given is not None:
                self._hold(key, given)
        self._pending.clear()
        self._last.clear()
        logger.critical("the journal cannot be written, so nothing is started or settled until it can: %s", error)
        self.on_halt()

    async def resume(self) -> None:
        """Fold what is durable, and go on from there with the outcomes that were seen meanwhile.

        Raises:
            JournalUnavailable: it still cannot be written.
        """
        await self.journal.recover()
        self.adopt(await load(self.journal))
        self.halted = None
        held, self._held = self._held, []
        for key, given in held:
            self.submit(key, given)
        self._writable.set()
        self.perform_all()
        self.pump()
        logger.warning("the journal can be written again; going on at position %d", self.state.position)

    def adopt(self, state: EngineState) -> None:
        """Go on from the state of a journal: at start-up, and after a failed commit."""
        self.state = state
        self.lanes = Lanes(state, self._admits)

    def perform_all(self) -> None:
        """Have everything performed that is owed; start-up does this once its own events are durable."""
        for key in tuple(self.state.messages):
            self.perform(key)
        for lane, session in self.state.sessions.items():
            if session.parked_key is not None:
                self._at(session.parked_until, self._park_timed_out, lane)
        for breaker in self.state.breakers.values():
            if breaker.phase is BreakerPhase.OPEN:
                self._at(breaker.until, self._check_breaker, breaker.name)


async def load(journal: Journal) -> EngineState:
    """Fold a journal: its newest snapshot, and the events after it.

    Raises:
        JournalCorrupt: names the first position that is not what was written.
        UnknownEvent: a newer version of this project wrote an event that this one does not know.
    """
    state = EngineState()
    async for _, item in journal.load():
        if isinstance(item, EngineState):
            state = item
        else:
            state.apply(item)
    return state


def _nothing() -> None:
    """Nobody is told."""
