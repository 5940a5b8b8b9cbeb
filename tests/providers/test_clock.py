"""The system's clock goes forward, whatever is done to the machine's."""

from queue_runtime.providers.clock import SystemClock

SECOND = 1_000_000_000


class Machine:
    """A wall clock that somebody sets, and a steady one that nobody can."""

    def __init__(self) -> None:
        self.wall = 1_700_000_000 * SECOND
        self.steady = 5 * SECOND

    def pass_time(self, seconds: int) -> None:
        self.wall += seconds * SECOND
        self.steady += seconds * SECOND


def test_K36_a_wall_clock_that_is_set_back_does_not_turn_time_back() -> None:
    """Time goes on from where it was, at its usual pace."""
    machine = Machine()
    clock = SystemClock(lambda: machine.wall, lambda: machine.steady)
    machine.pass_time(10)
    before = clock.now()
    machine.wall -= 3_600 * SECOND

    assert clock.now() == before
    machine.pass_time(7)
    assert clock.now() == before + 7_000_000


def test_K36_a_wall_clock_that_is_set_forward_is_followed() -> None:
    """Locks end earlier by it, never later, also after the machine had slept."""
    machine = Machine()
    clock = SystemClock(lambda: machine.wall, lambda: machine.steady)
    machine.wall += 60 * SECOND

    assert clock.now() == machine.wall // 1_000


def test_K36_a_pause_between_its_two_readings_is_not_taken_for_time() -> None:
    """A process that is stopped in the middle of a call is not ahead of the wall clock from then on."""
    machine = Machine()
    pauses = [0, 30, 0]

    def steady_after_a_pause() -> int:
        machine.pass_time(pauses.pop(0))
        return machine.steady

    clock = SystemClock(lambda: machine.wall, steady_after_a_pause)
    clock.now()

    assert clock.now() == machine.wall // 1_000
