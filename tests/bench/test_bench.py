"""The benchmark runs and writes what it says it writes; no figure is held to anything."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NUMBERS = {
    "journal_over_limit",
    "engine_over_limit",
    "engine_msgs_per_s",
    "p95_added_ms",
    "p95_added_busy_loop_ms",
    "p95_added_busy_loop_default_ms",
    "memory_per_message_bytes",
}
SECTIONS = {"main", "latency", "stages", "memory", "traffic", "consumers", "slow-disk", "history", "grid"}


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
