"""The benchmark: `make bench`. What it measures and how to read it: `docs/performance.md`.

Environment: `WEBHOOKS` recorded webhooks instead of generated bodies, `OUT` a file for the figures as JSON, `ONLY` a
comma-separated choice of sections beside the main one, `QUICK=1` a bound of a minute, `FULL=1` longer rounds
and histories of 10^7 events.
"""

import json
import logging
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import cast

from rich.console import Console

from tests.bench import plan as plans
from tests.bench.bodies import WEBHOOKS, load_bodies
from tests.bench.child import Order, ask
from tests.bench.history import histories
from tests.bench.latency import BUSY, BUSY_GUARDED, QUIET, at_half
from tests.bench.machine import machine
from tests.bench.plan import Plan
from tests.bench.report import ranged, show_history, show_latency, show_slow_disk, show_speed, show_values
from tests.bench.slow_disk import slow_disk
from tests.bench.speed import ENGINE, JOURNAL, LIMIT, MAIN, consumers, grid, main_cell, traffic
from tests.bench.sqs import RATE, sqs_figures
from tests.bench.stages import stages

MILLION = 1_000_000
NOT_MEASURED = "not measured"
KEYS = (
    "journal_over_limit",
    "engine_over_limit",
    "engine_msgs_per_s",
    "p95_added_ms",
    "p95_added_busy_loop_ms",
    "p95_added_busy_loop_default_ms",
    "recovery_1m_events_s",
    "memory_per_message_bytes",
    "sqs_engine_over_plain",
    "sqs_engine_cpu_above_plain_us",
    "sqs_engine_over_framework",
    "sqs_sending_over_plain",
    "sqs_p95_ms",
    "sqs_idle_cpu_percent",
)
_WIDTH = 120  # of a table, wherever it is printed
METHOD = (
    "One process, variants in turn, a new folder and event loop each; medians over the rounds; a ratio is the median "
    "of the ratios within a round. FULL. The limit: the same appenders, three awaited appends a message of the bytes "
    "that the journal's codec makes, bodies compressed as it does it, a CRC-32 a frame, one file, one fdatasync a "
    "group. Engine: in-memory broker in the same process, a handler that does nothing, three messages held for each "
    "handler. Added: from the provider's answer to receive to its answer to settle, Poisson arrivals at half the "
    "engine's rate; the busy loop is a task that computes for 0.2 ms and yields; p95_added_busy_loop_ms is with "
    "JournalSettings(yield_to_writer=True), the ..._default_ms without. Memory: tracemalloc, all messages in handlers "
    "that wait, bodies not counted. SQS: a stand-in in a process of its own with prepared answers, against the SDK "
    "with our client settings, ten tasks, batches of ten; CPU of the client's process; p95 from a message's arrival at "
    "the queue to its deletion, 1,000 a second. Recovery: open the journal and start the engine, after a snapshot and "
    "a tail."
)


class Benchmark:
    """One run: measures section by section, prints each, and keeps the figures."""

    def __init__(self, plan: Plan, webhooks: str | None, only: frozenset[str], console: Console) -> None:
        self._plan = plan
        self._webhooks = webhooks
        self._only = only
        self._console = console
        self._bodies = load_bodies(Path(webhooks) if webhooks else None)
        self._real = self._bodies[WEBHOOKS]
        self._until = time.monotonic() + plan.limit_s
        self.figures: dict[str, object] = dict.fromkeys(KEYS, NOT_MEASURED)

    def run(self) -> None:
        """Measure everything that is asked for."""
        described = machine()
        show_values(self._console, "Machine", described)
        self.figures |= {"machine": described, "method": METHOD, "seconds": {}}
        sections: dict[str, Callable[[], None]] = {
            "main": self._main,
            "latency": self._latency,
            "stages": self._stages,
            "memory": self._memory,
            "traffic": self._traffic,
            "consumers": self._consumers,
            "sqs": self._sqs,
            "slow-disk": self._slow_disk,
            "history": self._history,
            "grid": self._grid,
        }
        if unknown := self._only - sections.keys():
            sys.exit(f"ONLY names {', '.join(sorted(unknown))}; choose from {', '.join(sections)}")
        for name, section in sections.items():
            if name != "main" and self._only and name not in self._only:
                continue
            if time.monotonic() > self._until:
                self._console.print(f"{name}: not measured, {self._plan.limit_s:.0f} s have passed")
                continue
            began = time.perf_counter()
            section()
            cast("dict[str, float]", self.figures["seconds"])[name] = round(time.perf_counter() - began, 1)

    def _main(self) -> None:
        cell = main_cell(self._real, self._plan)
        size = statistics.median(map(len, self._real))
        show_speed(self._console, f"{MAIN} at a time, bodies of {size:,.0f} bytes in the median", cell)
        for name, key in ((JOURNAL, "journal_over_limit"), (ENGINE, "engine_over_limit")):
            share = cell[name].of_limit
            self.figures[key] = share.median if share else None
        self.figures |= {"engine_msgs_per_s": cell[ENGINE].msgs_per_s.median, "main": cell}

    def _latency(self) -> None:
        rate = cast("float", self.figures["engine_msgs_per_s"])
        at_rate = at_half(self._real, rate, self._plan)
        show_latency(self._console, at_rate)
        self.figures |= {
            "p95_added_ms": at_rate[QUIET].p95_ms.median,
            "p95_added_busy_loop_ms": at_rate[BUSY_GUARDED].p95_ms.median,
            "p95_added_busy_loop_default_ms": at_rate[BUSY].p95_ms.median,
            "latency": at_rate,
        }

    def _stages(self) -> None:
        figures = stages(self._real, self._plan.most)
        show_values(self._console, "Microseconds of CPU a message", figures)
        self.figures["stages_us"] = figures

    def _memory(self) -> None:
        held: dict[str, object] = {}
        for name, running in (("all in handlers", self._plan.held), (f"{MAIN} in handlers", MAIN)):
            for variant in ("traced", "resident"):
                order = Order("held", self._webhooks, self._plan.held, running, variant=variant)
                held[f"{name}, {variant}"] = ask(order)[f"{variant}_bytes"]
        self.figures["memory_per_message_bytes"] = held["all in handlers, traced"]
        peaks: dict[str, object] = {}
        for variant in (LIMIT, JOURNAL, ENGINE):
            answer = ask(Order("peak", self._webhooks, self._plan.most, MAIN, variant=variant))
            peaks |= {f"{variant}, {name}": value for name, value in answer.items()}
        show_values(self._console, f"Bytes a message beyond its body, {self._plan.held:,} held", held)
        show_values(self._console, "Memory of a process, MiB", peaks)
        self.figures |= {"memory_held_bytes": held, "memory_peak": peaks}

    def _traffic(self) -> None:
        figures = traffic(self._real, self._plan)
        for at_a_time, row in figures.items():
            show_speed(self._console, f"Sending and receiving, {at_a_time} at a time", row)
        self.figures["traffic"] = figures

    def _consumers(self) -> None:
        figures = consumers(self._real, self._plan)
        named = {f"{count} handlers at a time": row for count, row in figures.items()}
        show_speed(self._console, "Handlers that wait 5 ms", named)
        self.figures["consumers"] = figures

    def _sqs(self) -> None:
        figures = sqs_figures(self._real, self._plan)
        show_speed(self._console, "SQS, receiving; the limit is the SDK alone", figures.receiving)
        show_speed(self._console, "SQS, sending; the limit is the SDK alone", figures.sending)
        ours = {
            "sqs_engine_over_plain": figures.engine_over_plain,
            "sqs_engine_cpu_above_plain_us": figures.engine_cpu_above_plain_us,
            "sqs_engine_over_framework": figures.engine_over_framework,
            "sqs_sending_over_plain": figures.sending_over_plain,
            "sqs_p95_ms": figures.p95_ms,
        }
        shown: dict[str, object] = {name: ranged(value, 2) for name, value in ours.items() if value is not None}
        shown["sqs_idle_cpu_percent"] = figures.idle_cpu_percent
        shown |= {f"calls a message, {name}": calls for name, calls in figures.calls_per_message.items()}
        shown[f"calls a message, engine at {RATE:,.0f}/s"] = figures.steady_calls_per_message
        shown[f"CPU us a message, engine at {RATE:,.0f}/s"] = figures.steady_cpu_us
        show_values(self._console, "SQS", shown)
        self.figures |= {name: value.median for name, value in ours.items() if value is not None}
        self.figures |= {"sqs_idle_cpu_percent": figures.idle_cpu_percent, "sqs": figures}

    def _slow_disk(self) -> None:
        figures = slow_disk(self._webhooks, self._plan)
        show_slow_disk(self._console, figures)
        self.figures["slow_disk"] = figures

    def _history(self) -> None:
        figures = histories(self._bodies["2 KB"], self._plan)
        show_history(self._console, figures)
        for one in figures:
            if one.events == MILLION:
                self.figures["recovery_1m_events_s"] = one.start_with_snapshot_s
        self.figures["history"] = figures

    def _grid(self) -> None:
        figures = grid(self._bodies, self._plan, self._until)
        for bodies, column in figures.items():
            for at_a_time, row in column.items():
                show_speed(self._console, f"{bodies}, {at_a_time} at a time", row)
        self.figures["grid"] = figures


def plain(value: object) -> object:
    """Return what JSON can hold, for dataclasses and mappings with numbers for keys."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in cast("dict[object, object]", value).items()}
    if isinstance(value, list):
        return [plain(one) for one in cast("list[object]", value)]
    return value


def main() -> None:
    """Run as the environment says."""
    asked = os.environ.get
    plan = plans.QUICK if asked("QUICK") else plans.FULL if asked("FULL") else plans.DEFAULT
    only = frozenset(name for name in asked("ONLY", "").split(",") if name)
    benchmark = Benchmark(plan, asked("WEBHOOKS"), only, Console(width=_WIDTH))
    logging.getLogger("queue_runtime").setLevel(logging.ERROR)  # engines are killed on purpose
    benchmark.run()
    if out := asked("OUT"):
        Path(out).write_text(json.dumps(plain(benchmark.figures), indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
