"""Looks again at what time changes: back-offs, expiries, parked sessions, open breakers, effects to be tried again."""

from __future__ import annotations

from collections.abc import Callable

from queue_runtime.engine.collaborators import Live
from queue_runtime.engine.effects import Effect, WakeAt
from queue_runtime.engine.inputs import Expired, ParkTimedOut
from queue_runtime.engine.lanes import LaneKey
from queue_runtime.engine.timers import Timers
from queue_runtime.journal.state import BreakerPhase, Phase

__all__ = ["Wakeups"]


class Wakeups:
    """The core's appointments."""

    def __init__(self, core: Live, timers: Timers, check_breaker: Callable[[str], None]) -> None:
        self._core = core
        self._timers = timers
        self._check_breaker = check_breaker

    def message(self, effect: WakeAt) -> None:
        """Perform a `WakeAt`: the message may start, or its time to live is over."""
        self._timers.at(effect.at, lambda: self._woken(effect))

    def _woken(self, effect: WakeAt) -> None:
        core = self._core
        core.done(effect)
        message = core.state.messages.get(effect.key)
        if message is None:
            return
        if message.phase is Phase.WAITING:
            core.submit(effect.key, Expired(core.now()))
        # Not performed again here: what may not start just now would wake up at once, over and over.
        core.lanes.offer(effect.key)
        core.pump()

    def retry(self, effect: Effect, after_s: float) -> None:
        """Look again `after_s` from now at an effect that could not be performed: it stays owed."""

        def again() -> None:
            self._core.done(effect)
            self._core.perform(effect.key)

        self._timers.after(after_s, again)

    def parked(self, lane: LaneKey, until: int) -> None:
        """Go on with a parked session if nobody has resumed it by then."""

        def timed_out() -> None:
            self._core.submit_session(lane, ParkTimedOut(self._core.now()))
            self._core.pump()

        self._timers.at(until, timed_out)

    def opened(self, route: str, until: int) -> None:
        """Probe behind an open breaker."""
        self._timers.at(until, lambda: self._check_breaker(route))

    def later(self, after_s: float, call: Callable[[], None]) -> None:
        """Call something, once."""
        self._timers.after(after_s, call)

    def all(self) -> None:
        """Make the appointments that the state asks for: at start-up, and when it was folded anew."""
        for lane, session in self._core.state.sessions.items():
            if session.parked_key is not None:
                self.parked(lane, session.parked_until)
        for breaker in self._core.state.breakers.values():
            if breaker.phase is BreakerPhase.OPEN:
                self.opened(breaker.name, breaker.until)
