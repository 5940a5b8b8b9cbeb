"""SQS: our engine and our client against the SDK alone, on a stand-in that costs next to nothing."""

import asyncio
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.bench.alternate import Measure, alternating, once
from tests.bench.bodies import messages
from tests.bench.engines import Shape
from tests.bench.figures import Round, Spread, Summary, percentiles, spread, summary
from tests.bench.plan import Plan
from tests.bench.speed import MAIN
from tests.bench.sqs_framework import framework_entries, framework_receiving, is_installed
from tests.bench.sqs_rounds import (
    client_receiving,
    client_sending,
    engine_at,
    engine_receiving,
    idle_cpu,
    plain_receiving,
    plain_sending,
)
from tests.bench.sqs_server import StubServer, entries_of, stub_server

PLAIN, CLIENT, ENGINE, FRAMEWORK = "the SDK alone", "QueueClient", "engine", "taskiq-aio-sqs"
RATE = 1_000.0
_WARM_UP = 500  # messages at that rate: connections, caches, the first statements


@dataclass(frozen=True, slots=True)
class SqsFigures:
    """Everything that is measured on SQS. Ratios are of rates within a round, and CPU is that of this process."""

    receiving: Mapping[str, Summary]
    sending: Mapping[str, Summary]
    calls_per_message: Mapping[str, float]
    engine_over_plain: Spread
    engine_cpu_above_plain_us: Spread
    engine_over_framework: Spread | None
    sending_over_plain: Spread
    p50_ms: float
    p95_ms: Spread
    p99_ms: float
    steady_cpu_us: float
    steady_calls_per_message: float
    idle_cpu_percent: float


def sqs_figures(bodies: Sequence[bytes], plan: Plan) -> SqsFigures:
    """Measure receiving and sending in turn, then an engine at a steady rate, then one that has nothing to do."""
    count, work, shape = plan.most, messages(bodies, plan.most), Shape(MAIN)
    calls: dict[str, float] = {}
    with stub_server() as server, stub_server() as tasks:
        asyncio.run(server.load(0, entries_of(work)))
        variants: dict[str, tuple[StubServer, Measure[Round]]] = {
            PLAIN: (server, partial(plain_receiving, server, count)),
            ENGINE: (server, partial(engine_receiving, server, count, shape)),
            CLIENT: (server, partial(client_receiving, server, count)),
        }
        if is_installed():
            asyncio.run(tasks.load(0, framework_entries(work)))
            variants[FRAMEWORK] = (tasks, partial(framework_receiving, tasks, count))
        received = alternating(
            {name: partial(_counted, name, asked, calls, one) for name, (asked, one) in variants.items()}, plan.rounds
        )
        sent = alternating(
            {PLAIN: partial(plain_sending, server, work), CLIENT: partial(client_sending, server, work)}, plan.rounds
        )
        steady = [once(partial(engine_at, server, count, RATE, shape)) for _ in range(plan.latency_rounds)]
        idle = once(partial(idle_cpu, server, plan.latency_s, shape))
    times = [percentiles(one.took_ms[min(_WARM_UP, count // 2) :]) for one in steady]
    plain, engine = received[PLAIN], received[ENGINE]
    return SqsFigures(
        receiving={name: summary(rounds, plain) for name, rounds in received.items()},
        sending={name: summary(rounds, sent[PLAIN]) for name, rounds in sent.items()},
        calls_per_message=calls,
        engine_over_plain=_ratio(engine, plain),
        engine_cpu_above_plain_us=spread([one.cpu_us - other.cpu_us for one, other in zip(engine, plain, strict=True)]),
        engine_over_framework=_ratio(engine, received[FRAMEWORK]) if FRAMEWORK in received else None,
        sending_over_plain=_ratio(sent[CLIENT], sent[PLAIN]),
        p50_ms=statistics.median(p50 for p50, _, _ in times),
        p95_ms=spread([p95 for _, p95, _ in times]),
        p99_ms=statistics.median(p99 for _, _, p99 in times),
        steady_cpu_us=statistics.median(one.cpu_us for one in steady),
        steady_calls_per_message=statistics.median(one.calls_per_message for one in steady),
        idle_cpu_percent=idle * 100,
    )


async def _counted(
    name: str, server: StubServer, calls: dict[str, float], measure: Measure[Round], folder: Path
) -> Round:
    """Run a round, and note how many calls a message took."""
    result = await measure(folder)
    calls[name] = sum((await server.seen()).calls.values()) / result.messages
    return result


def _ratio(rounds: Sequence[Round], others: Sequence[Round]) -> Spread:
    return spread([one.msgs_per_s / other.msgs_per_s for one, other in zip(rounds, others, strict=True)])
