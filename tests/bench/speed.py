"""Messages a second: limit, journal and engine side by side, sending, receiving, and how many consumers help."""

from collections.abc import Sequence
from functools import partial
from typing import TypeAlias

from tests.bench.alternate import Measure, alternating
from tests.bench.bodies import messages, prepared
from tests.bench.clients import receiving, sending
from tests.bench.engines import Shape, engine_round
from tests.bench.figures import Round, Summary, summary
from tests.bench.limit import journal_alone, limit
from tests.bench.plan import Plan

LIMIT, JOURNAL, ENGINE = "limit", "journal", "engine"
IN_SESSIONS, NO_PREFETCH = "engine, 50 sessions", "engine, no prefetch"
SESSIONS = 50
MAIN = 100  # the concurrency at which the bars are set
HANDLER_S = 0.005

Cell: TypeAlias = tuple[str, int, str]
"""Bodies, concurrency, variant."""

Grid: TypeAlias = dict[str, dict[int, dict[str, Summary]]]
"""By bodies, concurrency, variant."""


def side_by_side(bodies: Sequence[bytes], at_a_time: int, count: int) -> dict[str, Measure[Round]]:
    """Return limit, journal and engine for `count` messages, `at_a_time`."""
    work = prepared(bodies, count)
    return {
        LIMIT: partial(limit, work, at_a_time),
        JOURNAL: partial(journal_alone, work, at_a_time),
        ENGINE: partial(engine_round, messages(bodies, count), Shape(at_a_time)),
    }


def main_cell(bodies: Sequence[bytes], plan: Plan) -> dict[str, Summary]:
    """Measure where the bars are set, in twice as many rounds: 100 at a time, sessions off and on.

    By default an engine holds three messages for each handler; `engine, no prefetch` holds one, as the appenders do.
    """
    count = plan.most
    variants = side_by_side(bodies, MAIN, count)
    same_credit = Shape(MAIN, prefetch=1)
    variants[IN_SESSIONS] = partial(engine_round, messages(bodies, count, sessions=SESSIONS), Shape(MAIN))
    variants[NO_PREFETCH] = partial(engine_round, messages(bodies, count), same_credit)
    results = alternating(variants, plan.rounds * 2)
    return {name: summary(rounds, results[LIMIT]) for name, rounds in results.items()}


def grid(bodies: dict[str, list[bytes]], plan: Plan, until: float) -> Grid:
    """Measure every body at every concurrency, all in one alternation, in fewer rounds if `until` passes."""
    cells: dict[Cell, Measure[Round]] = {}
    for name, some in bodies.items():
        for at_a_time, count in plan.messages:
            variants = side_by_side(some, at_a_time, count)
            variants[IN_SESSIONS] = partial(engine_round, messages(some, count, sessions=SESSIONS), Shape(at_a_time))
            cells.update(((name, at_a_time, variant), measure) for variant, measure in variants.items())
    results = alternating(cells, plan.rounds, until)
    figures: Grid = {}
    for (name, at_a_time, variant), rounds in results.items():
        column = figures.setdefault(name, {}).setdefault(at_a_time, {})
        column[variant] = summary(rounds, results[name, at_a_time, LIMIT])
    return figures


def traffic(bodies: Sequence[bytes], plan: Plan) -> dict[int, dict[str, Summary]]:
    """Measure by concurrency what a client sends and receives, and an engine whose handler sends each message on."""
    figures: dict[int, dict[str, Summary]] = {}
    for at_a_time, count in plan.messages:
        work = messages(bodies, count)
        variants: dict[str, Measure[Round]] = {
            "QueueClient.send": partial(sending, work, at_a_time),
            "receive and complete": partial(receiving, work, at_a_time),
            "engine, ctx.send": partial(engine_round, work, Shape(at_a_time, sends=True)),
        }
        figures[at_a_time] = {name: summary(rounds) for name, rounds in alternating(variants, plan.rounds).items()}
    return figures


def consumers(bodies: Sequence[bytes], plan: Plan) -> dict[int, Summary]:
    """Measure by the number of handlers at a time, each of which waits 5 ms, as for a service."""
    work = messages(bodies, plan.most)
    variants: dict[int, Measure[Round]] = {
        count: partial(engine_round, work, Shape(count, handler_s=HANDLER_S)) for count in plan.consumers
    }
    return {count: summary(rounds) for count, rounds in alternating(variants, plan.latency_rounds).items()}
