"""Patience in numbers: how long a retry waits."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from queue_runtime.engine.policy import Backoff, BackoffKind
from tests.unit.builders import S

PLAIN = Backoff(jitter=0.0)
LINEAR = Backoff(BackoffKind.LINEAR, initial_s=1.0, increment_s=2.0, max_s=6.0, jitter=0.0)
FIXED = Backoff(BackoffKind.FIXED, initial_s=4.0, jitter=0.0)


@pytest.mark.parametrize(
    ("backoff", "delays_s"),
    [(PLAIN, [1, 2, 4, 8, 16, 30, 30]), (LINEAR, [1, 3, 5, 6, 6]), (FIXED, [4, 4, 4])],
    ids=["exponential", "linear", "fixed"],
)
def test_the_delay_grows_as_its_kind_says_up_to_its_ceiling(backoff: Backoff, delays_s: list[int]) -> None:
    """The first retry waits the initial delay, and none waits longer than the longest."""
    assert [backoff.delay_us(n, 0.0) for n in range(1, len(delays_s) + 1)] == [s * S for s in delays_s]


@pytest.mark.parametrize(("draw", "delay_s"), [(-1.0, 3.2), (0.0, 4.0), (0.5, 4.4), (1.0, 4.8)])
def test_jitter_moves_the_delay_by_its_share(draw: float, delay_s: float) -> None:
    """A jitter of 0.2 adds or takes away at most a fifth."""
    assert Backoff().delay_us(3, draw) == round(delay_s * S)


def test_jitter_never_lifts_a_delay_over_its_ceiling() -> None:
    """The ceiling is applied after the jitter too."""
    assert Backoff().delay_us(9, 1.0) == 30 * S
    assert Backoff().delay_us(9, -1.0) == 24 * S


@pytest.mark.parametrize(
    ("asked_s", "delay_s"),
    [(7.5, 7.5), (0.0, 0.0), (-3.0, 0.0), (1e9, 300.0), (float("inf"), 300.0), (float("nan"), 0.0)],
)
def test_what_the_failing_service_asks_for_replaces_the_delay(asked_s: float, delay_s: float) -> None:
    """A retry-after is kept to without jitter, up to a ceiling of its own, whatever number it is."""
    assert Backoff().delay_us(1, 1.0, asked_s) == round(delay_s * S)


@given(failures=st.integers(1, 10**9), draw=st.floats(-1, 1), kind=st.sampled_from(BackoffKind))
def test_every_delay_is_between_nothing_and_the_ceiling(failures: int, draw: float, kind: BackoffKind) -> None:
    """No number of failures overflows."""
    assert 0 < Backoff(kind, multiplier=1_000.0).delay_us(failures, draw) <= 30 * S
