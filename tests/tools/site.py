"""A broker, a folder, and processes of the command line over both."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

from queue_runtime.engine.control import ask
from queue_runtime.providers.memory import MemoryBroker
from queue_runtime.providers.message import QueueName

POLL_S = 0.02  # how often another process is looked at
PATIENCE_S = 120.0  # a process takes seconds to start where others keep the processors busy
QUEUE = QueueName("webhooks")


class Site:
    """A served broker, a folder, and processes of the command line over both."""

    def __init__(self, folder: Path, broker: MemoryBroker, address: str, **settings: str) -> None:
        self.folder = folder
        self.broker = broker
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("QUEUE_")} | {
            "QUEUE_PROVIDER": "memory",
            "QUEUE_MEMORY_ADDRESS": address,
            "QUEUE_NAME": str(QUEUE),
            "QUEUE_ENGINE_RECEIVE_WAIT_S": "0.2",
            "QUEUE_ENGINE_DRAIN_S": "0.1",
            **settings,
        }

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        """Start a command; its output is read by the test."""
        pipe = asyncio.subprocess.PIPE
        command = (sys.executable, "-m", "queue_runtime.tools.cli", *arguments)
        return await asyncio.create_subprocess_exec(
            *command, env=self.environment, cwd=self.folder, stdin=pipe, stdout=pipe, stderr=pipe
        )

    async def call(self, *arguments: str, text: str = "") -> tuple[int, str, str]:
        """Run a command to its end."""
        process = await self.start(*arguments)
        out, errors = await asyncio.wait_for(process.communicate(text.encode()), PATIENCE_S)
        assert process.returncode is not None
        return process.returncode, out.decode(), errors.decode()

    @asynccontextmanager
    async def engine(self) -> AsyncGenerator[asyncio.subprocess.Process]:
        """Run an engine with the bot above, and end it for good whatever happens."""
        process = await self.start("run", "--plugin", "bot", "--journal", "journal")
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    async def until_empty(self) -> None:
        """Return when the queue is."""
        async with asyncio.timeout(PATIENCE_S):
            while self.broker.counts(QUEUE).active or self.broker.counts(QUEUE).in_flight:  # noqa: ASYNC110 - another process works
                await asyncio.sleep(POLL_S)

    async def until(self, **figures: object) -> None:
        """Return when the engine answers, and its status has these figures."""
        async with asyncio.timeout(PATIENCE_S):
            while not _has(await self._status(), figures):  # noqa: ASYNC110 - another process works
                await asyncio.sleep(POLL_S)

    async def _status(self) -> dict[str, object]:
        try:
            answer = await ask(self.folder / "journal", {"op": "status"})
        except OSError:
            return {}
        return cast("dict[str, object]", answer["status"])


def _has(status: dict[str, object], figures: dict[str, object]) -> bool:
    return all(name in status and status[name] == value for name, value in figures.items())
