"""Circuit breakers: consecutive transient failures open one, time half opens it, probes close it."""

from queue_runtime.engine.decide_breaker import decide_breaker
from queue_runtime.engine.inputs import BreakerChecked, ResetAsked
from queue_runtime.engine.policy import BreakerPolicy
from queue_runtime.journal.events import BreakerClosed, BreakerHalfOpened, BreakerOpened, Event, OperatorActed
from queue_runtime.journal.state import BreakerPhase, BreakerState, fold
from tests.unit import builders as b
from tests.unit.builders import S

POLICY = BreakerPolicy(failures=3, open_s=30.0, successes=2)
OPENED = BreakerOpened("route", 0, 3, 30 * S)
HALF_OPENED = BreakerHalfOpened("route", 30 * S)


def _attempts(*ends: str) -> list[Event]:
    """One message an attempt, each of which ends as it says."""
    events: list[Event] = []
    for number, end in enumerate(ends):
        key = f"pulls:m{number}"
        last = b.completed(key=key) if end == "ok" else b.failed(key=key, transient=end == "transient")
        events += [b.received(key), b.started(key=key), last]
    return events


def _checked(past: list[Event], now: int = 0) -> tuple[Event, ...]:
    return decide_breaker(fold(past).breakers.get("route"), BreakerChecked(now), POLICY)


def test_consecutive_transient_failures_open_it() -> None:
    """The third opens it for its time; the second does not."""
    assert _checked(_attempts(*["transient"] * 2)) == ()
    assert _checked(_attempts(*["transient"] * 3)) == (OPENED,)


def test_a_success_in_between_begins_the_count_anew() -> None:
    """Failures that are not consecutive prove nothing, and nothing about the route is remembered."""
    past = _attempts("transient", "transient", "ok")

    assert fold(past).breakers == {}
    assert _checked([*past, *_attempts("transient")]) == ()


def test_permanent_errors_do_not_count() -> None:
    """A message that cannot succeed says nothing about the service behind the handler."""
    assert fold(_attempts("permanent", "permanent", "permanent")).breakers == {}


def test_it_half_opens_when_its_time_is_up() -> None:
    """An early look at it decides nothing."""
    past = [*_attempts(*["transient"] * 3), OPENED]

    assert _checked(past, 30 * S - 1) == ()
    assert _checked(past, 30 * S) == (HALF_OPENED,)


def test_enough_probes_close_it() -> None:
    """Two successes, half open, and nothing is remembered."""
    past: list[Event] = [OPENED, HALF_OPENED]

    assert _checked([*past, *_attempts("ok")]) == ()
    closed = BreakerClosed("route", 40 * S, "2 probes succeeded")
    assert _checked([*past, *_attempts("ok", "ok")], 40 * S) == (closed,)
    assert fold([*past, *_attempts("ok", "ok"), closed]).breakers == {}


def test_a_probe_that_fails_opens_it_again() -> None:
    """One failure is enough, and earlier probes count no more."""
    past: list[Event] = [OPENED, HALF_OPENED, *_attempts("ok", "transient")]

    assert _checked(past, 40 * S) == (BreakerOpened("route", 40 * S, 1, 70 * S),)


def test_what_was_still_under_way_when_it_opened_does_not_probe() -> None:
    """Only what ends after it half opened counts."""
    past = [OPENED, *_attempts("ok", "ok", "transient"), HALF_OPENED]

    assert fold(past).breakers["route"] == BreakerState("route", BreakerPhase.HALF_OPEN, until=30 * S)
    assert _checked(past, 40 * S) == ()


def test_K15_an_operator_can_close_it() -> None:
    """A reset is journaled with who and why; without a breaker there is nothing to reset."""
    asked = ResetAsked(S, "ann", "the service is back")
    events = decide_breaker(fold([OPENED]).breakers["route"], asked, POLICY)

    assert events == (
        OperatorActed(S, "ann", "the service is back", "reset", "route"),
        BreakerClosed("route", S, "reset by ann: the service is back"),
    )
    assert fold([OPENED, *events]).breakers == {}
    assert decide_breaker(None, asked, POLICY) == ()
