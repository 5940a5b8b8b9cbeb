"""The emulator with a client that shares no code with it or with azure-servicebus: npm's `@azure/service-bus`."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from queue_runtime.tools.servicebus_emulator import Counts, ServiceBusEmulator

SCRIPT = Path(__file__).with_name("client.mjs")
PACKAGE = "@azure/service-bus@7"
EMPTY = Counts(active=0, locked=0, deferred=0, scheduled=0, dead_lettered=0)


async def run(*command: str) -> tuple[int, str]:
    """Run a command to its end, and return its exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    return process.returncode or 0, output.decode()


@pytest.mark.heavy
@pytest.mark.timeout(300)
async def test_javascript_finds_what_python_finds(tmp_path: Path) -> None:
    """Sends, settlements, requests, sessions and a subscription do through JavaScript's client what they say."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not installed")
    code, output = await run(npm, "install", "--no-audit", "--no-fund", "--prefix", str(tmp_path), PACKAGE)
    if code != 0:
        pytest.skip(f"npm cannot install {PACKAGE}: {output[-300:]}")
    async with ServiceBusEmulator(["orders", "pulls,sessions"]) as emulator:
        code, output = await run(node, str(SCRIPT), emulator.connection_string(), f"{tmp_path}/")
        assert code == 0, output
        assert emulator.count("orders") == emulator.count("pulls") == EMPTY
    assert json.loads(output) == {
        "peeked": [*(["active", str(number)] for number in range(1, 6)), ["scheduled", "6"]],
        "first": {"body": {"number": 1}, "properties": {"kind": "one"}, "subject": "s", "count": 0},
        "renewed": True,
        "abandoned": {"body": "four", "count": 1, "properties": {"tries": 1}},
        "dead": {"reason": "why", "description": "because", "extra": 1},
        "state": "parked",
        "session": "a",
        "sessionRenewed": True,
        "inSession": ["a1", "a2"],
        "conflict": "SessionCannotBeLocked",
        "pushed": 50,
    }
