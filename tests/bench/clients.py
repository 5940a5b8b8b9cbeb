"""An application without an engine: what sending and receiving cost at the in-memory broker."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from queue_runtime.providers import QueueClient
from queue_runtime.providers.memory import MemoryProvider
from queue_runtime.providers.message import Message
from tests.bench.bodies import QUEUE
from tests.bench.engines import new_broker
from tests.bench.figures import Round, measured

BATCH = 100


async def sending(work: Sequence[Message], senders: int, folder: Path) -> Round:
    """Send one by one, from `senders` tasks."""
    del folder
    result, left = Round(len(work)), iter(work)
    async with QueueClient(MemoryProvider(new_broker())) as client:
        with measured(result):
            await asyncio.gather(*(_send(client, left, result.took_ms) for _ in range(senders)))
    return result


async def _send(client: QueueClient, left: Iterator[Message], took: list[float]) -> None:
    for message in left:
        began = time.perf_counter()
        await client.send(QUEUE, message)
        took.append((time.perf_counter() - began) * 1e3)


async def receiving(work: Sequence[Message], receivers: int, folder: Path) -> Round:
    """Receive in batches and complete one by one, from `receivers` tasks."""
    del folder
    result = Round(len(work))
    async with QueueClient(MemoryProvider(new_broker())) as client:
        await client.send_batch(QUEUE, work)
        with measured(result):
            await asyncio.gather(*(_receive(client, result.took_ms) for _ in range(receivers)))
    assert len(result.took_ms) == len(work), f"received {len(result.took_ms)} of {len(work)}"
    return result


async def _receive(client: QueueClient, took: list[float]) -> None:
    while deliveries := await client.receive_batch(QUEUE, BATCH, timeout_s=0):
        began = time.perf_counter()
        for delivery in deliveries:
            await client.complete(delivery)
            took.append((time.perf_counter() - began) * 1e3)
