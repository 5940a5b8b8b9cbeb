"""Circuit breakers at work: whom they let start, and when they open and close. The fold does the counting."""

from __future__ import annotations

from queue_runtime.engine.collaborators import Live, Routes
from queue_runtime.engine.decide_breaker import decide_breaker
from queue_runtime.engine.inputs import BreakerChecked
from queue_runtime.journal.state import BreakerPhase, MessageState

__all__ = ["Breakers"]


class Breakers:
    """One breaker a route."""

    def __init__(self, core: Live, routes: Routes) -> None:
        self._core = core
        self._routes = routes

    def admits(self, message: MessageState) -> bool:
        """True if the breaker of the message's route lets it start: closed, or half open with no probe under way."""
        state = self._core.state
        if not state.breakers:
            return True
        route = self._routes.route(message)
        breaker = state.breakers.get(route)
        if breaker is None or breaker.phase is BreakerPhase.CLOSED:
            return True
        if breaker.phase is BreakerPhase.OPEN:
            return False
        return not any(other.is_running and other.route == route for other in state.messages.values())

    def check(self, route: str) -> None:
        """An attempt of the route ended, or time has passed: open, half-open or close."""
        core = self._core
        breaker = core.state.breakers.get(route)
        events = decide_breaker(breaker, BreakerChecked(core.now()), self._routes.policy(route).breaker)
        if events:
            core.commit(events)
        elif breaker is not None and breaker.phase is BreakerPhase.HALF_OPEN:
            core.lanes.unblock()  # the next probe may go
        core.pump()
