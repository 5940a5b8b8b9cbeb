"""Engines in processes of their own, for tests that kill or stop them."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from tests.crash.worker import DEATHS

__all__ = ["Note", "Worker", "worker"]

ROOT = Path(__file__).resolve().parents[2]
Note = Callable[[str, object], None]


class Worker:
    """One life of an engine, in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def says(self, line: bytes) -> bool:
        """Wait until it says `line`; False if it dies before."""
        assert self.process.stdout is not None
        while said := await self.process.stdout.readline():
            if said.strip() == line:
                return True
        return False

    async def dies_within(self, seconds: float) -> bool:
        """Wait for it to die by itself; a death that nobody planted fails the test."""
        try:
            async with asyncio.timeout(seconds):
                code = await self.process.wait()
        except TimeoutError:
            return False
        assert code in DEATHS, f"the engine ended by itself with exit code {code}; see engine.log"
        return True


@asynccontextmanager
async def worker(address: str, folder: Path) -> AsyncGenerator[Worker]:
    """Start an engine; however the block ends, it is gone afterwards."""
    command = (sys.executable, "-m", "tests.crash.worker", address, str(folder))
    with (folder / "engine.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=log, env={**os.environ, "PYTHONFAULTHANDLER": ""}
        )
    try:
        yield Worker(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
