"""Signals: the first drains, the second stops at once, whatever a handler does."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from queue_runtime.journal import JournalReader
from queue_runtime.providers.memory.server import MemoryBrokerServer
from queue_runtime.providers.message import Message
from tests.engine.bench import QUEUE, Bench

pytestmark = pytest.mark.blocks_loop  # journals of other processes are read here

BOT = """
import asyncio, sys, time
from pathlib import Path
from queue_runtime.engine import Context, Engine, EngineSettings
from queue_runtime.plugins import Router
from queue_runtime.providers.settings import ProviderSettings

router = Router()

@router.on("*")
def handle(event: bytes, ctx: Context) -> None:
    print("started", flush=True)
    time.sleep(60 if event == b"stuck" else 0.5)

async def main() -> None:
    settings = EngineSettings(queues=("q",), journal=Path(sys.argv[2]), receive_wait_s=0.1)
    provider = ProviderSettings(provider="memory", memory_address=sys.argv[1])
    async with Engine.from_settings(plugins=[router], engine=settings, provider=provider) as engine:
        await engine.run()

asyncio.run(main())
"""


async def _started(bench: Bench, address: str, folder: Path, body: bytes) -> asyncio.subprocess.Process:
    script = folder / "bot.py"
    script.write_text(BOT)
    await bench.send(Message(body))
    command = (sys.executable, str(script), address, str(folder / "journal"))
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    async with asyncio.timeout(20):
        assert await process.stdout.readline() == b"started\n"
    return process


def _names(folder: Path) -> list[str]:
    with JournalReader(folder / "journal") as reader:
        return [entry.name for entry in reader.entries()]


async def test_the_first_signal_lets_a_running_handler_finish(tmp_path: Path) -> None:
    """SIGTERM drains: the handler ends, its message is settled, the stop is journaled, the exit code is 0."""
    bench = Bench(lock_s=10.0)
    async with MemoryBrokerServer(bench.broker, 0) as server:
        process = await _started(bench, server.address, tmp_path, b"short")
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            assert await process.wait() == 0

    assert bench.broker.counts(QUEUE).in_flight == 0
    assert _names(tmp_path)[-3:] == ["Completed", "Settled", "RunStopped"]


async def test_the_second_signal_stops_at_once_whatever_runs(tmp_path: Path) -> None:
    """A handler stuck in a thread cannot hold the process; its attempt is left for the next run to find."""
    bench = Bench(lock_s=10.0)
    async with MemoryBrokerServer(bench.broker, 0) as server:
        process = await _started(bench, server.address, tmp_path, b"stuck")
        process.send_signal(signal.SIGTERM)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(process.wait(), 0.5)  # the drain waits for the handler
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            await process.wait()

    assert _names(tmp_path)[-1] == "AttemptStarted"
