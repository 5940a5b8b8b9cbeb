"""The engine's own time at half its rate: on a quiet loop, and beside a busy one with the writer's guard off and on."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from tests.bench.alternate import Measure, once
from tests.bench.bodies import messages
from tests.bench.engines import Shape
from tests.bench.figures import Spread, spread
from tests.bench.offered import WARM_UP_S, Added, added
from tests.bench.plan import Plan
from tests.bench.speed import MAIN

QUIET, BUSY, BUSY_GUARDED = "quiet loop", "busy loop", "busy loop, yield_to_writer"


@dataclass(frozen=True, slots=True)
class AtRate:
    """Medians over the rounds, of p95 the spread too."""

    offered_per_s: float
    settled_per_s: float
    p50_ms: float
    p95_ms: Spread
    p99_ms: float
    most_ms: float
    unsettled: int


def at_half(bodies: Sequence[bytes], full_rate: float, plan: Plan) -> dict[str, AtRate]:
    """Offer half of `full_rate`, in turn to each set-up."""
    rate = full_rate / 2
    work = messages(bodies, round(rate * (plan.latency_s + WARM_UP_S)))
    guarded = Shape(MAIN, yield_to_writer=True)
    variants: dict[str, Measure[Added]] = {
        QUIET: partial(added, work, rate, Shape(MAIN)),
        BUSY: partial(added, work, rate, Shape(MAIN), is_busy=True),
        BUSY_GUARDED: partial(added, work, rate, guarded, is_busy=True),
    }
    rounds: dict[str, list[Added]] = {name: [] for name in variants}
    for _ in range(plan.latency_rounds):
        for name, measure in variants.items():
            rounds[name].append(once(measure))
    return {name: _summary(rate, some) for name, some in rounds.items()}


def _summary(rate: float, rounds: Sequence[Added]) -> AtRate:
    return AtRate(
        offered_per_s=rate,
        settled_per_s=statistics.median(one.settled_per_s for one in rounds),
        p50_ms=statistics.median(one.p50_ms for one in rounds),
        p95_ms=spread([one.p95_ms for one in rounds]),
        p99_ms=statistics.median(one.p99_ms for one in rounds),
        most_ms=max(one.most_ms for one in rounds),
        unsettled=sum(one.unsettled for one in rounds),
    )
