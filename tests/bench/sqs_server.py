"""The stand-in for SQS as the benchmark holds it: a process beside this one, told what to hand out."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from queue_runtime.providers.message import Message
from queue_runtime.providers.sqs.wire import wire_of

REGION = "eu-central-1"
_ROOT = Path(__file__).parents[2]
_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_EC2_METADATA_DISABLED": "true"}


@dataclass(frozen=True, slots=True)
class Seen:
    """What the stand-in saw since it was last given messages. `took_ms`: from arrival to deletion, by arrival."""

    calls: dict[str, int]
    sent: int
    deleted: int
    took_ms: list[float]


class StubServer:
    """Tells the process what to do. One command at a time."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._to, self._from = cast("IO[str]", process.stdin), cast("IO[str]", process.stdout)
        self.url = str(cast("dict[str, object]", json.loads(self._from.readline()))["url"])

    async def load(self, count: int, entries: Sequence[dict[str, object]] = ()) -> None:
        """Have `count` messages wait to be received; `entries` of a send, where others than before."""
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
            file.writelines(json.dumps(entry) + "\n" for entry in entries)
            file.flush()
            await self._do("load", path=file.name if entries else "", count=count)

    async def arrive(self, count: int, rate: float) -> None:
        """Have messages come at `rate` a second from now on."""
        await self._do("arrive", count=count, rate=rate)

    async def let_go(self) -> None:
        """Have no poll wait any more."""
        await self._do("let_go")

    async def until_deleted(self, count: int) -> None:
        """Return when `count` messages have been deleted."""
        await self._do("until_deleted", count=count)

    async def seen(self) -> Seen:
        """Say what was called."""
        return Seen(**cast("dict[str, dict[str, int]]", await self._do("seen")))  # pyright: ignore[reportArgumentType] - of the names and types that the other process gives

    async def _do(self, name: str, **arguments: object) -> object:
        return await asyncio.to_thread(self._ask, {"do": name, **arguments})

    def _ask(self, command: dict[str, object]) -> object:
        self._to.write(json.dumps(command) + "\n")
        self._to.flush()
        return json.loads(self._from.readline())


@contextmanager
def stub_server() -> Generator[StubServer]:
    """Run the stand-in until the block ends; the SDK finds credentials that open nothing."""
    before = {name: os.environ.get(name) for name in _CREDENTIALS}
    os.environ.update(_CREDENTIALS)
    command = [sys.executable, "-m", "tests.bench.sqs_stub"]
    try:
        with subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            yield StubServer(process)
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def entries_of(work: Sequence[Message]) -> list[dict[str, object]]:
    """Return what our provider sends for each message."""
    return [wire_of(message, is_fifo=False).entry() for message in work]
