"""The benchmark runs and writes what it says it writes; no figure is held to anything."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.bodies import SMALL, load_bodies
from tests.bench.plan import QUICK
from tests.bench.sqs import CLIENT, ENGINE, PLAIN, sqs_figures

ROOT = Path(__file__).parents[2]
NUMBERS = {
    "journal_over_limit",
    "engine_over_limit",
    "engine_msgs_per_s",
    "p95_added_ms",
    "p95_added_busy_loop_ms",
    "p95_added_busy_loop_default_ms",
    "memory_per_message_bytes",
    "sqs_engine_over_plain",
    "sqs_engine_cpu_above_plain_us",
    "sqs_sending_over_plain",
    "sqs_p95_ms",
    "sqs_idle_cpu_percent",
}
SECTIONS = {"main", "latency", "stages", "memory", "traffic", "consumers", "sqs", "slow-disk", "history", "grid"}


@pytest.mark.heavy
def test_a_quick_run_measures_every_section(tmp_path: Path) -> None:
    """`QUICK=1` runs every section on small numbers, and writes every figure but that of a million events."""
    out = tmp_path / "figures.json"

    subprocess.run(
        [sys.executable, "-m", "tests.bench.run"],
        check=True,
        cwd=ROOT,
        env={**os.environ, "ONLY": "", "WEBHOOKS": "", "QUICK": "1", "OUT": str(out), "TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        timeout=300,
    )
    figures = json.loads(out.read_text(encoding="utf-8"))

    assert {name for name in NUMBERS if isinstance(figures[name], float)} == NUMBERS
    assert set(figures["seconds"]) == SECTIONS
    assert figures["recovery_1m_events_s"] == "not measured"
    assert figures["latency"]["quiet loop"]["unsettled"] == 0
    assert set(figures["grid"]) == {"200 B", "2 KB", "webhooks"}


@pytest.mark.heavy
def test_sqs_is_measured_with_every_message_deleted_once() -> None:
    """Whoever works the stand-in for SQS deletes every message, in the calls that it takes, and is timed."""
    plan = replace(QUICK, messages=((10, 200),), latency_s=0.1)

    figures = sqs_figures(load_bodies(None)[SMALL], plan)

    assert figures.receiving.keys() >= {PLAIN, CLIENT, ENGINE}
    assert figures.calls_per_message[PLAIN] >= 0.2  # a receive and a deletion for ten
    assert figures.calls_per_message[CLIENT] < 0.5  # its deletions share calls: each on its own would make it 1.1
    assert figures.engine_over_plain.median > 0
    assert figures.p95_ms.median >= figures.p50_ms > 0
    assert figures.idle_cpu_percent > 0
