"""Faults are planted in core and shell, one at a time, and each has to be found by a test that is there."""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.faults import FAULTS, VARIABLE

pytestmark = [pytest.mark.crash, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
CRASHES = "tests/stateful/test_crashes.py"
STEPS = "tests/crash/test_every_step.py::test_an_engine_that_stops_where_the_world_changes_recovers"
LEASES, LIFE, STOPPING = (f"tests/engine/test_{name}.py" for name in ("leases", "life", "stopping"))
AND_NOT_OTHERS = "_and_its_neighbours_are_not"

FOUND_BY = {
    "settle before commit": f"{STEPS}[fifo-held]",
    "run before commit": f"{STEPS}[fifo-held]",
    "confirm a refused settlement": "tests/engine/test_outgoing.py::test_a_refused_settlement_waits_for_the_redelivery",
    "renew nothing": f"{LIFE}::test_K20_a_lock_is_renewed_while_its_handler_runs",
    "forget what an outage saw": f"{LIFE}::test_K33_nothing_starts_or_settles_while_the_journal_cannot_be_written",
    "forget restarted": f"{STEPS}[standard-held]",
    "charge a crash in company": f"{CRASHES}::test_a_message_that_kills_its_process_is_dead_lettered{AND_NOT_OTHERS}",
    "run suspects together": f"{STEPS}[fifo-held]",
    "charge a drain": f"{STOPPING}::test_an_attempt_that_is_just_being_journaled_is_part_of_the_drain",
    "forget the window": f"{STEPS}[standard-held]",
    "keep a lane after a lapse": f"{LEASES}::test_a_lapse_hands_back_what_waits_behind_it",
    "release head before tail": "tests/unit/test_sessions.py::test_a_lapse_hands_back_what_waits_behind_it_tail_first",
    "ignore the newer receipt": f"{STEPS}[standard-lapsed]",
    "drop the outbox": f"{STEPS}[standard-held]",
    "run a completed key again": f"{STEPS}[standard-held]",
}


async def _test(tests: set[str], fault: str | None) -> tuple[int, str]:
    """Run tests in a process of their own; returns the exit code of pytest and what it said."""
    plugin = ("-p", "tests.crash.faults", "-p", "no:randomly", "-p", "no:cacheprovider")
    environment = os.environ if fault is None else {**os.environ, VARIABLE: fault}
    command = (sys.executable, "-m", "pytest", *plugin, "-m", "", "-q", "-x", "--timeout=120", *sorted(tests))
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    return await process.wait(), said.decode()


def test_every_fault_is_tried() -> None:
    """What can be planted is looked for, and there are more than a dozen of them."""
    assert FOUND_BY.keys() == FAULTS.keys()
    assert len(FAULTS) > 12


async def test_without_a_fault_the_tests_that_find_them_pass() -> None:
    """It is the fault that fails them, and nothing else."""
    code, said = await _test(set(FOUND_BY.values()), None)

    assert code == pytest.ExitCode.OK, said


@pytest.mark.parametrize("fault", FOUND_BY)
async def test_a_planted_fault_is_found(fault: str, record_property: Callable[[str, object], None]) -> None:
    """The test that is named for it fails."""
    code, said = await _test({FOUND_BY[fault]}, fault)

    assert code == pytest.ExitCode.TESTS_FAILED, said
    assert "1 failed" in said
    record_property("planted faults that were found", 1)
