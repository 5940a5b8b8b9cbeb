"""Stop once at any step of a small scenario, and start again: the same promises as in a life without a crash."""

import pytest

from queue_runtime.engine.policy import Policy, SessionFailure
from queue_runtime.journal.events import AttemptStarted, DeadLettered
from tests.stateful.broker import Broker
from tests.stateful.drive import Ending, Handler, assert_kept, drive, succeed
from tests.stateful.tiny import TinyEngine, World

SMALL = Policy(max_attempts=3)


class CrashError(Exception):
    """The process died here."""


class Points:
    """Counts the steps of one life, and ends it after step `crash_at`."""

    def __init__(self, crash_at: int | None) -> None:
        self.passed = 0
        self.crash_at = crash_at

    def __call__(self) -> None:
        if self.passed == self.crash_at:
            raise CrashError
        self.passed += 1


def fails_twice(key: str, attempt: int) -> Ending:
    """Fail at the first two attempts of every message."""
    del key
    return Ending("Oops" if attempt <= 2 else None)


def fails(key: str, attempt: int) -> Ending:
    """Fail for ever."""
    del key, attempt
    return Ending("Oops")


def refuses_the_first(key: str, attempt: int) -> Ending:
    """Raise a permanent error for the first message of all."""
    del attempt
    return Ending("Invalid", transient=False) if key == "pulls:m1" else Ending()


def sends_two(key: str, attempt: int) -> Ending:
    """Send two messages."""
    del key, attempt
    return Ending(outgoing=2)


ONE = (("pulls:m1", None),)
TWICE = (("pulls:m1", None), ("pulls:m1", None))
SESSION = (("pulls:m1", "s"), ("pulls:m2", "s"), ("pulls:m3", "s"))
PARK = Policy(max_attempts=3, session_failure=SessionFailure.PARK)
BLOCK = Policy(max_attempts=1, session_failure=SessionFailure.BLOCK)
HAND_BACK = Policy(max_attempts=3, hold_s=0.0)
SCENARIOS = {
    "one message": (ONE, succeed, SMALL),
    "one that fails twice": (ONE, fails_twice, SMALL),
    "one that fails for ever": (ONE, fails, SMALL),
    "one that cannot succeed": (ONE, refuses_the_first, SMALL),
    "one that sends two": (ONE, sends_two, SMALL),
    "one that was sent twice": (TWICE, sends_two, SMALL),
    "one that was sent twice and fails for ever": (TWICE, fails, SMALL),
    "a session": (SESSION, succeed, SMALL),
    "a session that skips its head": (SESSION, refuses_the_first, SMALL),
    "a session that is handed back": (SESSION, fails_twice, HAND_BACK),
    "a session that blocks": (SESSION, fails_twice, BLOCK),
    "a session that is parked": (SESSION, refuses_the_first, PARK),
}
scenarios = pytest.mark.parametrize(("sent", "handler", "policy"), SCENARIOS.values(), ids=SCENARIOS)
Sent = tuple[tuple[str, str | None], ...]


def _world(sent: Sent, policy: Policy, *, is_fifo: bool) -> World:
    world = World(Broker(is_fifo), policy)
    for key, session in sent:
        world.broker.send(key, session)
    return world


def _live(world: World, handler: Handler, crash_at: int | None, *, receipts_survive: bool = True) -> int | None:
    """Live until the end, or until the crash; returns how many steps there were, None if it crashed."""
    points = Points(crash_at)
    try:
        drive(TinyEngine(world, receipts_survive=receipts_survive, point=points), handler)
    except CrashError:
        return None
    return points.passed


@scenarios
@pytest.mark.parametrize("receipts_survive", [True, False], ids=["receipts survive", "receipts die"])
@pytest.mark.parametrize("is_fifo", [True, False], ids=["fifo", "standard"])
def test_K27_K28_K29_K30_a_crash_after_any_step_changes_no_promise(
    sent: Sent,
    handler: Handler,
    policy: Policy,
    *,
    receipts_survive: bool,
    is_fifo: bool,
) -> None:
    """Whatever the step after which the process dies, the next one finishes everything, once and in order."""
    whole = _world(sent, policy, is_fifo=is_fifo)
    steps = _live(whole, handler, None)
    assert steps is not None
    assert_kept(whole, [key for key, _ in sent])

    for crash_at in range(steps):
        world = _world(sent, policy, is_fifo=is_fifo)
        assert _live(world, handler, crash_at) is None
        if not receipts_survive:
            world.broker.forget_receipts()
        _live(world, handler, None, receipts_survive=receipts_survive)

        assert_kept(world, [key for key, _ in sent])


@pytest.mark.parametrize("handler", [succeed, fails_twice, sends_two])
def test_two_crashes_after_any_two_steps_change_no_promise(handler: Handler) -> None:
    """A crash in the recovery from a crash is recovered from."""
    first = 0
    while True:
        world = _world(ONE, SMALL, is_fifo=True)
        if _live(world, handler, first) is not None:
            return
        second, ended = 0, False
        while not ended:
            again = _world(ONE, SMALL, is_fifo=True)
            _live(again, handler, first)
            ended = _live(again, handler, second) is not None
            if not ended:
                _live(again, handler, None)
            assert_kept(again, ["pulls:m1"])
            second += 1
        first += 1


def test_a_message_that_kills_its_process_is_dead_lettered_and_its_neighbours_are_not() -> None:
    """It dies in company once and alone three times; whoever was in an attempt beside it is completed."""
    world = _world((("pulls:m1", None), ("pulls:m2", None), ("pulls:m3", None)), SMALL, is_fifo=False)

    def kills(key: str, attempt: int) -> Ending:
        del attempt
        if key == "pulls:m2":
            raise CrashError
        return Ending()

    for _ in range(10):
        if _live(world, kills, None) is not None:
            break

    (dead,) = [event for event in world.journal if isinstance(event, DeadLettered)]
    charged = [e for e in world.journal if isinstance(e, AttemptStarted) and e.key == "pulls:m2" and e.alone]
    assert (dead.key, dead.reason, len(charged)) == ("pulls:m2", "PoisonMessage", 3)
    assert_kept(world, ["pulls:m1", "pulls:m2", "pulls:m3"])
