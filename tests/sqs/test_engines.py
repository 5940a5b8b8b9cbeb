"""Engines in processes of their own over SQS, started from the command line, by the environment alone."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from queue_runtime.providers.memory import MemoryBroker, MemoryBrokerServer, MemoryProvider, QueueKind, QueueSettings
from queue_runtime.providers.message import Message, QueueName
from queue_runtime.providers.port import Address, SettleKind, Settlement
from tests.sqs.servers import CREDENTIALS, REGION, LocalServer, SqsHarness

pytestmark = [pytest.mark.blocks_loop, pytest.mark.timeout(120)]  # other processes do the work; their log is read here

ROOT = Path(__file__).resolve().parents[2]
TICK_S = 0.02
PATIENCE_S = 60.0


class Bots:
    """Engines of one bot, and what they wrote."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hang = folder / "hang"
        self._log = folder / "log"

    def notes(self, what: str) -> list[dict[str, Any]]:
        lines = self._log.read_text(encoding="utf-8").splitlines() if self._log.exists() else []
        return [entry for entry in map(json.loads, lines) if entry["what"] == what]

    def names(self, what: str) -> list[str]:
        return [entry["message"] for entry in self.notes(what)]

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not is_so():  # noqa: ASYNC110 - another process writes, and cannot wake anybody here
                await asyncio.sleep(TICK_S)

    @asynccontextmanager
    async def engine(
        self, journal: str, *options: str, **environment: str
    ) -> AsyncGenerator[asyncio.subprocess.Process]:
        """Run an engine until the block ends; SIGTERM unless it is dead by then."""
        given = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("QUEUE_", "AWS_"))},
            "PYTHONPATH": str(ROOT),
            "BOT_LOG": str(self._log),
            "HANG": str(self.hang),
            "QUEUE_ENGINE_PLUGINS": "tests.sqs.bot:router",
            "QUEUE_ENGINE_JOURNAL": str(self.folder / journal),
            "QUEUE_ENGINE_RECEIVE_WAIT_S": "1",
            **environment,
        }
        command = [sys.executable, "-c", "from queue_runtime.tools.cli import main; main()", "run", *options]
        with (self.folder / f"{journal}.err").open("ab") as errors:
            process = await asyncio.create_subprocess_exec(*command, env=given, stderr=errors)
        try:
            yield process
        finally:
            if process.returncode is None:
                process.terminate()
                assert await process.wait() == 0, (self.folder / f"{journal}.err").read_text(encoding="utf-8")


@pytest.fixture
def bots(tmp_path: Path) -> Bots:
    return Bots(tmp_path)


def over_sqs(server: LocalServer, queue: QueueName) -> dict[str, str]:
    return {
        **CREDENTIALS,
        "QUEUE_PROVIDER": "aws",
        "QUEUE_NAME": str(queue),
        "QUEUE_SQS_ENDPOINT_URL": server.url,
        "QUEUE_SQS_LONGEST_POLL_S": "1",
        "AWS_REGION": REGION,
    }


@pytest.mark.parametrize("is_fifo", [False, True], ids=["standard", "FIFO"])
async def test_after_a_kill_an_engine_goes_on_at_once(ministack: LocalServer, bots: Bots, *, is_fifo: bool) -> None:
    """A receipt outlives its process: the message is run again long before the five minutes of its lock are over."""
    harness = SqsHarness(ministack, is_fifo=is_fifo)
    queue = await harness.make(VisibilityTimeout="300")
    provider = await harness.open()
    bots.hang.touch()
    await provider.send(queue, [Message(b"hang", message_id="m", session_id="s")])
    async with bots.engine("journal", **over_sqs(ministack, queue)) as first:
        await bots.until(lambda: bots.names("start") == ["m"])
        first.send_signal(signal.SIGKILL)
        await first.wait()
    bots.hang.unlink()

    async with bots.engine("journal", **over_sqs(ministack, queue)):
        await bots.until(lambda: bots.names("end") == ["m"])

    assert bots.names("start") == ["m", "m"]
    assert bots.notes("end")[0]["at"] - bots.notes("imported")[1]["at"] < 150
    counts = await provider.counts(queue)
    assert (counts.active, counts.in_flight, counts.dead_letters) == (0, 0, 0)
    await provider.close()


async def test_a_lease_that_cannot_be_proven_is_waited_for(ministack: LocalServer, bots: Bots) -> None:
    """A killed engine whose lock has ended since runs nothing of it before the broker hands it over again."""
    harness = SqsHarness(ministack, is_fifo=False)
    queue = await harness.make(VisibilityTimeout="3")
    provider = await harness.open()
    bots.hang.touch()
    await provider.send(queue, [Message(b"hang", message_id="m")])
    async with bots.engine("journal", **over_sqs(ministack, queue)) as first:
        await bots.until(lambda: bots.names("start") == ["m"])
        first.send_signal(signal.SIGKILL)
        await first.wait()
    bots.hang.unlink()
    (taken,) = await provider.receive(Address(queue), 1, 10)  # when its lock has ended, by the server's clock
    (end,) = await provider.renew(Address(queue), [taken.receipt], 300)
    assert isinstance(end, int)
    await provider.send(queue, [Message(b"", message_id="sentinel")])

    async with bots.engine("journal", **over_sqs(ministack, queue)):
        await bots.until(lambda: "sentinel" in bots.names("end"))
        assert bots.names("start") == ["m", "sentinel"]
        await provider.settle(Address(queue), [Settlement(SettleKind.ABANDON, taken.receipt)])
        await bots.until(lambda: "m" in bots.names("end"))

    assert bots.names("start") == ["m", "sentinel", "m"]
    await provider.close()


async def test_two_engines_keep_the_order_of_one_fifo_queue(ministack: LocalServer, bots: Bots) -> None:
    """Groups are shared between processes: each in order, none worked by two at a time, and both engines have work."""
    harness = SqsHarness(ministack, is_fifo=True)
    queue = await harness.make()
    provider = await harness.open()
    groups = [f"g{number}" for number in range(8)]
    names = [f"{group}/{number}" for number in range(12) for group in groups]
    settings = {**over_sqs(ministack, queue), "WORK_S": "0.01", "QUEUE_ENGINE_MAX_IN_FLIGHT": "20"}

    async with bots.engine("one", **settings), bots.engine("two", **settings):
        await bots.until(lambda: len(bots.names("imported")) == 2)
        for start in range(0, len(names), 16):
            part = names[start : start + 16]
            await provider.send(
                queue, [Message(b"", message_id=name, session_id=name.partition("/")[0]) for name in part]
            )
            await bots.until(lambda: len(bots.names("start")) * 2 >= start)  # noqa: B023 - awaited in its turn
        await bots.until(lambda: len(bots.names("end")) >= len(names))

    for group in groups:
        lines = [e for e in [*bots.notes("start"), *bots.notes("end")] if e["message"].startswith(f"{group}/")]
        lines.sort(key=lambda entry: entry["at"])
        assert [(e["what"], e["message"]) for e in lines] == [
            (what, f"{group}/{number}") for number in range(12) for what in ("start", "end")
        ]
    assert len({entry["pid"] for entry in bots.notes("end")}) == 2
    await provider.close()


@pytest.mark.parametrize("kind", ["memory", "aws"])
async def test_one_variable_takes_a_bot_to_another_broker(ministack: LocalServer, bots: Bots, kind: str) -> None:
    """The same bot, the same queue name and the same settings of both: `QUEUE_PROVIDER` alone decides."""
    harness = SqsHarness(ministack, is_fifo=True)
    queue = await harness.make()
    broker = MemoryBroker({str(queue): QueueSettings(kind=QueueKind.FIFO, max_deliveries=10)})
    message = Message(b"hello", message_id="m", session_id="s")
    async with MemoryBrokerServer(broker, 0) as server:
        settings = {**over_sqs(ministack, queue), "QUEUE_MEMORY_ADDRESS": server.address, "QUEUE_PROVIDER": kind}
        provider = await harness.open()
        memory = MemoryProvider(broker)
        await memory.open()
        await (memory if kind == "memory" else provider).send(queue, [message])

        async with bots.engine("journal", **settings):
            await bots.until(lambda: bots.names("end") == ["m"])

        assert bots.names("start") == ["m"]
        await provider.close()


async def test_provider_and_queue_are_options_and_the_rest_is_the_environment(
    ministack: LocalServer, bots: Bots
) -> None:
    """`run --provider aws --queue NAME` needs no file: a FIFO queue is worked in order, and a signal drains it."""
    harness = SqsHarness(ministack, is_fifo=True)
    queue = await harness.make()
    provider = await harness.open()
    names = [f"m{number}" for number in range(5)]
    await provider.send(queue, [Message(b"", message_id=name, session_id="s") for name in names])
    environment = over_sqs(ministack, queue)
    del environment["QUEUE_PROVIDER"], environment["QUEUE_NAME"]

    async with bots.engine("journal", "--provider", "aws", "--queue", str(queue), **environment):
        await bots.until(lambda: len(bots.names("end")) == len(names))

    assert bots.names("end") == bots.names("start") == names
    counts = await provider.counts(queue)
    assert (counts.active, counts.in_flight, counts.dead_letters) == (0, 0, 0)
    await provider.close()
