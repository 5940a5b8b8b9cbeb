"""The core's shell: it hands decisions to the journal and, once they are durable, has what is owed performed.

This is the only object that holds live state. What was seen comes in by `submit`; the events go to the journal and into
the state at once; nothing is performed before the commit that carries the last event of a message is durable. When a
commit fails, everything stops until the journal can be written again; then the state is folded anew from what is
durable, and the outcomes that were seen meanwhile are submitted again.

All methods are called on the engine's loop, and none of them waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

from queue_runtime.engine.breakers import Breakers
from queue_runtime.engine.collaborators import Follower, Limits, Routes, Watcher
from queue_runtime.engine.decide import decide
from queue_runtime.engine.decide_session import cascade, decide_session, with_cascade
from queue_runtime.engine.effects import Effect, WakeAt, owed
from queue_runtime.engine.inputs import (
    HandBack,
    HandlerRaised,
    HandlerReturned,
    HandlerTimedOut,
    Input,
    Ready,
    SessionInput,
)
from queue_runtime.engine.lanes import LaneKey, Lanes
from queue_runtime.engine.outage import Outage
from queue_runtime.engine.policy import Policy
from queue_runtime.engine.sender_order import SenderOrder
from queue_runtime.engine.timers import Timers
from queue_runtime.engine.traces import AttemptTraces
from queue_runtime.engine.wakeups import Wakeups
from queue_runtime.journal.errors import JournalUnavailable
from queue_runtime.journal.events import (
    BreakerClosed,
    BreakerHalfOpened,
    BreakerOpened,
    Event,
    LapseReason,
    LeaseLapsed,
    MessageEvent,
    SessionParked,
    SessionResumed,
)
from queue_runtime.journal.evolve import MESSAGE_EVENTS
from queue_runtime.journal.port import Journal
from queue_runtime.journal.state import EngineState, MessageState
from queue_runtime.providers.clock import Clock

__all__ = ["Core"]

_ENDS_OF_ATTEMPTS = frozenset({HandlerReturned, HandlerRaised, HandlerTimedOut})


class Core:
    """Live state, its index, and the way to the journal.

    Attributes:
        state: what the journal says, including what it is being told just now. Read only.
        outage: whether the journal cannot be written, and what was seen meanwhile.
        lanes, sender_order, breakers, wakeups, timers: who may start next, and what time changes.
        is_draining: nothing is started.
        followers, watcher: who is told of changes. traces: who has a span for every attempt.
        is_lost: whether the time of a message's lock is up, which is acted on then: it may not be started.
        ordered_groups: queues in which a message in flight blocks the later ones of its session.
        keeps_order: those, and the ones with sessions of the broker: whatever goes back comes again in order.
        sender_ordered: queues whose senders number what they send, because the broker keeps no order.
        shared: those of them that somebody else receives from as well, which no order survives.
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
        self.state = EngineState()
        self.outage = Outage()
        self.timers = Timers(clock)
        self.breakers = Breakers(self, routes)
        self.wakeups = Wakeups(self, self.timers, self.breakers.check)
        self.sender_order = SenderOrder(self, self.timers, limits.reorder_wait_us)
        self.lanes = Lanes(self.state, self.breakers.admits, self.sender_order.holds)
        self.run_id = ""
        self.is_draining = True  # until the engine has recovered
        self.is_closed = False
        self.followers: Sequence[Follower] = ()
        self.watcher: Watcher | None = None
        self.traces: AttemptTraces | None = None
        self.is_lost: Callable[[MessageState, int], bool] = _never
        self.drops_expired: frozenset[str] = frozenset()
        self.ordered_groups: frozenset[str] = frozenset()
        self.keeps_order: frozenset[str] = frozenset()
        self.sender_ordered: frozenset[str] = frozenset()
        self.shared: set[str] = set()
        self._routes = routes
        self._do = perform
        self._limits = limits
        self._performing: set[object] = set()
        self._pending: deque[tuple[int, str, Input | None]] = deque()
        self._last: dict[str, int] = {}
        journal.on_commit(self._committed)

    def adopt(self, state: EngineState) -> None:
        """Go on from the state of a journal: at start-up, and after a failed commit."""
        self.state = state
        self.sender_order.begin()
        self.lanes = Lanes(state, self.breakers.admits, self.sender_order.holds)

    def now(self) -> int:
        """The present instant, as the journal keeps it."""
        return int(self.clock.now())

    # --- what was seen ---

    def submit(self, key: str, given: Input, *besides: Event, is_awaited: bool = False) -> int | None:
        """Decide what `given` means for the message `key`; returns the position of its last event, or None.

        While the journal cannot be written the input is kept, unless the broker will repeat it, or unless somebody
        waits for it (`is_awaited`) and will say it again. If anything follows from it, the events `besides` are
        journaled in front of that, in one piece with it.

        Raises:
            EventRefused: what would follow cannot be stored.
        """
        if self.outage.error is not None:
            if not is_awaited:
                self.outage.keep(key, given)
            return None
        message = self.state.messages.get(key)
        events = decide(message, given, self._policy(message, given))
        if not events:
            return None
        if message is not None and message.lane is not None:
            if any(type(event) is LeaseLapsed for event in events):
                events = with_cascade(message, events, self.lanes.lane(message.lane))
            if type(events[-1]) is SessionParked and message.origin.queue in self.keeps_order:
                # What waits behind it would only take room, and comes again in order.
                events = (*events, *cascade(self.lanes.lane(message.lane), message.order, self.now()))
        position = self._commit((*besides, *events) if besides else events, key, None if is_awaited else given)
        if message is not None and type(given) in _ENDS_OF_ATTEMPTS and message.route in self.state.breakers:
            self.breakers.check(message.route)
        return position

    def _policy(self, message: MessageState | None, given: Input) -> Policy:
        if type(given) is Ready:
            policy = self._routes.policy(given.route)
        else:
            policy = self._routes.policy("" if message is None else message.route)
        if self.drops_expired and message is not None and message.origin.queue in self.drops_expired:
            return replace(policy, drop_expired=True)
        return policy

    def submit_session(self, lane: LaneKey, given: SessionInput) -> int | None:
        """Decide what `given` means for a session."""
        session = self.state.sessions.get(lane)
        head = self.state.messages.get(session.parked_key) if session and session.parked_key else None
        events = decide_session(session, given, head)
        return self.commit(events) if events else None

    def commit(self, events: Sequence[Event]) -> int | None:
        """Journal events that were decided elsewhere (runs, operators, renewals); None while that is impossible."""
        return None if self.outage.error is not None else self._commit(events, None, None)

    def pump(self) -> None:
        """Start what may start, up to the engine's concurrency."""
        if self.is_draining or self.outage.error is not None:
            return
        now = self.now()
        while self.lanes.running < self._limits.concurrency:
            message = self.lanes.next_ready(now)
            if message is None:
                return
            if self.is_lost(message, now):
                continue
            route = self._routes.route(message)
            if self._routes.hands_back(route):
                self.submit(message.key, HandBack(now, LapseReason.UNHANDLED, self._limits.release_delay_us))
            else:
                traces, key = self.traces, message.key
                trace = None if traces is None else traces.begin(message, route)
                ready = Ready(now, self.run_id, route, alone=message.suspect_until > now, trace_parent=trace)
                position = self.submit(key, ready, *self.sender_order.overtaken(message, now))
                if traces is not None:
                    traces.started(key, position)

    # --- to the journal and back ---

    def _commit(self, events: Sequence[Event], key: str | None, given: Input | None) -> int | None:
        if self.is_closed:
            return None
        try:
            position = self.journal.append(events)
        except JournalUnavailable as error:
            self._halt(error)
            if key is not None and given is not None:
                self.outage.keep(key, given)
            return None
        for event in events:
            if type(event) in MESSAGE_EVENTS:
                of_message = cast("MessageEvent", event)
                before, after = self.state.apply_to_message(of_message)
                self._message_changed(of_message, before, after, given)
            else:
                self._apply_other(event, given)
        return position

    def _apply_other(self, event: Event, given: Input | None) -> None:
        match event:
            case SessionResumed():
                before = self.state.messages.get(event.key)
                self.state.apply(event)
                self._message_changed(event, before, self.state.messages.get(event.key), given)
                self.lanes.offer_lane((event.queue, event.session_id))
                return
            case SessionParked():
                self.wakeups.parked((event.queue, event.session_id), event.until)
            case BreakerOpened():
                self.wakeups.opened(event.name, event.until)
            case BreakerHalfOpened() | BreakerClosed():
                self.lanes.unblock()
            case _:
                pass
        self.state.apply(event)

    def _message_changed(
        self,
        event: MessageEvent | SessionResumed,
        before: MessageState | None,
        after: MessageState | None,
        given: Input | None,
    ) -> None:
        key = event.key
        position = self._last[key] = self.state.position
        self._pending.append((position, key, given))
        self.lanes.update(before, after)
        if before is None or after is None or before.copies is not after.copies:
            for follower in self.followers:
                follower.changed(before, after)
        if self.watcher is not None:
            self.watcher.happened(event, after if after is not None else before, position)

    def _committed(self, durable: int, error: BaseException | None) -> None:
        """Perform what is owed for messages whose last event is durable now."""
        if self.is_closed:
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

    def _halt(self, error: BaseException) -> None:
        undurable = [(key, given) for _, key, given in self._pending]
        self._pending.clear()
        self._last.clear()
        self.outage.begin(error, undurable)

    def perform(self, key: str) -> None:
        """Have what is owed for a message performed, unless an event of it is still on its way to the disk."""
        message = self.state.messages.get(key)
        if message is None or key in self._last or self.outage.error is not None:
            return
        for effect in owed(message):
            if effect.id in self._performing:
                continue
            self._performing.add(effect.id)
            if isinstance(effect, WakeAt):
                self.wakeups.message(effect)
            else:
                self._do(effect)

    def done(self, effect: Effect) -> None:
        """The shell has performed an effect; called before its result is submitted."""
        self._performing.discard(effect.id)


def _never(message: MessageState, now: int) -> bool:
    """Nobody keeps locks yet."""
    del message, now
    return False
