"""What one round of a variant showed, and what several rounds say together."""

import gc
import statistics
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import starmap

QUANTILES = 100


@dataclass(slots=True)
class Round:
    """One round of one variant. Of the CPU, `loop_cpu_us` is the event loop's thread; the rest is the writer's."""

    messages: int
    msgs_per_s: float = 0.0
    cpu_us: float = 0.0
    loop_cpu_us: float = 0.0
    took_ms: list[float] = field(default_factory=list[float])


@dataclass(frozen=True, slots=True)
class Spread:
    """A median, with the least and the most of the rounds."""

    median: float
    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Summary:
    """The rounds of one variant. `of_limit` compares each round with the limit's beside it, where there is one."""

    rounds: int
    msgs_per_s: Spread
    of_limit: Spread | None
    cpu_us: float
    loop_cpu_us: float
    p50_ms: float
    p95_ms: float
    p99_ms: float


@contextmanager
def measured(into: Round) -> Generator[None]:
    """Time a block in which `into.messages` messages are dealt with, and charge it the CPU of the whole process."""
    gc.collect()
    began, cpu, loop_cpu = time.perf_counter(), time.process_time(), time.thread_time()
    yield
    took = time.perf_counter() - began
    into.msgs_per_s = into.messages / took
    into.cpu_us = (time.process_time() - cpu) / into.messages * 1e6
    into.loop_cpu_us = (time.thread_time() - loop_cpu) / into.messages * 1e6


def spread(values: Sequence[float]) -> Spread:
    """Return median, least and most."""
    return Spread(statistics.median(values), min(values), max(values))


def percentiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Return p50, p95 and p99; zeros where nothing was timed."""
    if len(values) < 2:
        return (values[0], values[0], values[0]) if values else (0.0, 0.0, 0.0)
    cuts = statistics.quantiles(values, n=QUANTILES)
    return cuts[49], cuts[94], cuts[98]


def summary(rounds: Sequence[Round], limits: Sequence[Round] = ()) -> Summary:
    """Return medians; the ratio is that of each round to the limit of the same round, because machines drift."""
    p50, p95, p99 = (statistics.median(cut) for cut in zip(*(percentiles(one.took_ms) for one in rounds), strict=True))
    return Summary(
        rounds=len(rounds),
        msgs_per_s=spread([one.msgs_per_s for one in rounds]),
        of_limit=spread(list(starmap(_ratio, zip(rounds, limits, strict=True)))) if limits else None,
        cpu_us=statistics.median(one.cpu_us for one in rounds),
        loop_cpu_us=statistics.median(one.loop_cpu_us for one in rounds),
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
    )


def _ratio(one: Round, limit: Round) -> float:
    return one.msgs_per_s / limit.msgs_per_s
