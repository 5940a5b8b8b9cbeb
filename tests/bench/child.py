"""Measures one thing in a process of its own, for what cannot be had in the benchmark's: `child.py '{"what": ...}'`.

A peak of memory never goes down, and a slow disk is made by `strace`, which slows a process from its start.
"""

import json
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

from tests.bench.alternate import alternating, once
from tests.bench.bodies import WEBHOOKS, load_bodies, messages
from tests.bench.memory import forget_peak, held, peak_bytes, resident_bytes
from tests.bench.speed import LIMIT, side_by_side

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Order:
    """What a child is to measure. `running` is for `held`: how many of the messages are in handlers."""

    what: str
    webhooks: str | None
    count: int
    at_a_time: int
    rounds: int = 1
    variant: str = ""


def ask(order: Order, under: tuple[str, ...] = ()) -> dict[str, float]:
    """Have a child measure, under another program where one is named.

    Raises:
        CalledProcessError: it failed; `stderr` says why.
    """
    command = [*under, sys.executable, "-m", "tests.bench.child", json.dumps(asdict(order))]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return cast("dict[str, float]", json.loads(done.stdout))


def _rates(order: Order, bodies: list[bytes]) -> dict[str, float]:
    """Messages a second of limit, journal and engine, and the shares of the limit."""
    results = alternating(side_by_side(bodies, order.at_a_time, order.count), order.rounds)
    answer: dict[str, float] = {}
    for name, rounds in results.items():
        answer[f"{name}_msgs_per_s"] = statistics.median(one.msgs_per_s for one in rounds)
        shares = [one.msgs_per_s / limit.msgs_per_s for one, limit in zip(rounds, results[LIMIT], strict=True)]
        answer[f"{name}_over_limit"] = statistics.median(shares)
    return answer


def _held(order: Order, bodies: list[bytes]) -> dict[str, float]:
    work = messages(bodies, order.count + 1)
    return asdict(once(lambda folder: held(work, order.at_a_time, folder, traced=order.variant == "traced")))


def _peak(order: Order, bodies: list[bytes]) -> dict[str, float]:
    measure = side_by_side(bodies, order.at_a_time, order.count)[order.variant]
    forget_peak()  # what it took to prepare
    before = resident_bytes()
    once(measure)
    return {"before_mib": before / _MIB, "peak_mib": peak_bytes() / _MIB}


def main() -> None:
    """Measure what the argument says, and print it as JSON."""
    order = Order(**json.loads(sys.argv[1]))
    bodies = load_bodies(Path(order.webhooks) if order.webhooks else None)[WEBHOOKS]
    measures = {"rates": _rates, "held": _held, "peak": _peak}
    print(json.dumps(measures[order.what](order, bodies)))


if __name__ == "__main__":
    main()
