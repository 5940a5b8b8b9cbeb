"""What happened to a route's circuit breaker. Pure, as `decide` is.

The fold counts: a transient failure adds to `failures`, a completion clears them or, half open, adds to `successes`.
"""

from __future__ import annotations

from queue_runtime.engine.inputs import BreakerChecked, BreakerInput, ResetAsked
from queue_runtime.engine.policy import BreakerPolicy, us
from queue_runtime.journal.events import BreakerClosed, BreakerHalfOpened, BreakerOpened, Event, OperatorActed
from queue_runtime.journal.state import BreakerPhase, BreakerState

__all__ = ["decide_breaker"]


def decide_breaker(breaker: BreakerState | None, given: BreakerInput, policy: BreakerPolicy) -> tuple[Event, ...]:
    """Decide what `given` means for a breaker; None is a closed one without failures, of which nothing follows."""
    if breaker is None:
        return ()
    if isinstance(given, ResetAsked):
        acted = OperatorActed(given.now, given.who, given.why, "reset", breaker.name)
        return (acted, BreakerClosed(breaker.name, given.now, f"reset by {given.who}: {given.why}"))
    return _checked(breaker, given, policy)


def _checked(breaker: BreakerState, given: BreakerChecked, policy: BreakerPolicy) -> tuple[Event, ...]:
    match breaker.phase:
        case BreakerPhase.CLOSED if breaker.failures >= policy.failures:
            return (_opened(breaker, given.now, policy),)
        case BreakerPhase.OPEN if given.now >= breaker.until:
            return (BreakerHalfOpened(breaker.name, given.now),)
        case BreakerPhase.HALF_OPEN if breaker.failures > 0:
            return (_opened(breaker, given.now, policy),)
        case BreakerPhase.HALF_OPEN if breaker.successes >= policy.successes:
            return (BreakerClosed(breaker.name, given.now, f"{breaker.successes} probes succeeded"),)
        case _:
            return ()


def _opened(breaker: BreakerState, now: int, policy: BreakerPolicy) -> BreakerOpened:
    return BreakerOpened(breaker.name, now, breaker.failures, now + us(policy.open_s))
