"""Measures the journal and the engine against the limit, side by side: `make bench`; WEBHOOKS=FILE takes real bodies.

The limit: the same asyncio appenders, the same compressed bytes and a checksum, three awaited appends a message, into
one framed file with an fdatasync a group. The journal: `Received`, `AttemptStarted`, `Completed`, each awaited, FULL.
The engine: all of it on the in-memory broker, with a handler that does nothing, sessions off and on. Rounds alternate,
because machines drift; what to quote is the median, and the ratio to the limit of the same round. A message's
time is that of its three appends with all appenders at work; CPU is that of the whole process.
"""

import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
import time
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeAlias

import zstandard

from queue_runtime.engine import Context, Engine, EngineSettings
from queue_runtime.journal import SqliteJournal
from queue_runtime.journal.events import AttemptStarted, Completed, Received
from queue_runtime.plugins import Router
from queue_runtime.providers.memory import MemoryBroker, MemoryProvider, QueueSettings
from queue_runtime.providers.message import Message, QueueName
from queue_runtime.tools.demo import generated, recorded

MESSAGES, APPENDERS, ROUNDS = 4_000, 100, 5
POLL_S = 0.001
QUEUE = QueueName("bench")


class Figures(NamedTuple):
    """What one round of one variant showed."""

    rate: float  # messages a second
    took_ms: list[float]  # what each message took, where that is measured
    cpu_us: float  # of the whole process, a message


Measure: TypeAlias = Callable[[list[bytes], Path], Awaitable[Figures]]


class FramedFile:
    """An append-only file; what is handed over while one fdatasync runs rides in the next."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        self._frames: list[bytes] = []
        self._durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None

    async def append(self, data: bytes) -> None:
        self._frames.append(len(data).to_bytes(4) + zlib.crc32(data).to_bytes(4) + data)
        durable = self._durable
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write())
        await asyncio.shield(durable)

    async def _write(self) -> None:
        while self._frames:
            frames, self._frames = self._frames, []
            durable, self._durable = self._durable, asyncio.get_running_loop().create_future()
            await asyncio.to_thread(self._sync, b"".join(frames))
            durable.set_result(None)

    def _sync(self, data: bytes) -> None:
        os.write(self._file, data)
        os.fdatasync(self._file)


async def limit(bodies: list[bytes], folder: Path) -> Figures:
    """Append to the framed file."""
    file, compressor = FramedFile(folder / "frames"), zstandard.ZstdCompressor(level=1)

    async def message(number: int) -> None:
        await file.append(compressor.compress(bodies[number % len(bodies)]))
        await file.append(b"started")
        await file.append(b"completed")

    return await _by_appenders(message)


async def journal_alone(bodies: list[bytes], folder: Path) -> Figures:
    """Append to the journal."""
    journal = await SqliteJournal.open(folder / "journal")

    async def message(number: int) -> None:
        key = f"bench/{number}"
        for event in (
            replace(_RECEIVED, key=key, provider_id=key, body=bodies[number % len(bodies)]),
            AttemptStarted(key, 1, 1, "run", "route", alone=False),
            Completed(key, 1, 1, None, ()),
        ):
            await journal.wait(journal.append((event,)))

    try:
        return await _by_appenders(message)
    finally:
        await journal.close()


_RECEIVED = Received(
    key="", at=1, queue=QUEUE, message_id="id", provider_id="", session_id=None, sequence=None, delivery_count=1,
    enqueued_at=1, expires_at=None, correlation_id=None, content_type=None, attributes={}, locked_until=1,
    suspect_until=0, body_digest=b"", receipt="receipt", body=b"",
)  # fmt: skip


async def _by_appenders(message: Callable[[int], Awaitable[None]]) -> Figures:
    numbers, took_ms = iter(range(MESSAGES)), list[float]()

    async def append() -> None:
        for number in numbers:
            began = time.perf_counter()
            await message(number)
            took_ms.append((time.perf_counter() - began) * 1e3)

    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(append() for _ in range(APPENDERS)))
    return _figures(began, cpu, took_ms)


def _figures(began: float, cpu: float, took_ms: list[float]) -> Figures:
    rate = MESSAGES / (time.perf_counter() - began)
    return Figures(rate, took_ms, (time.process_time() - cpu) / MESSAGES * 1e6)


async def engine(bodies: list[bytes], folder: Path, *, sessions: int) -> Figures:
    """Take messages through the whole engine."""
    router, done, seen = Router(), asyncio.Event(), 0

    @router.on("*")
    async def handle(event: bytes, ctx: Context) -> None:
        nonlocal seen
        del event, ctx
        seen += 1
        if seen == MESSAGES:
            done.set()

    provider = MemoryProvider(MemoryBroker({QUEUE: QueueSettings(max_deliveries=100)}))
    await provider.open()
    messages = [
        Message(bodies[n % len(bodies)], message_id=str(n), session_id=f"s{n % sessions}" if sessions else None)
        for n in range(MESSAGES)
    ]
    await provider.send(QUEUE, messages)
    journal = await SqliteJournal.open(folder / "journal")
    settings = EngineSettings(queues=(QUEUE,), concurrency=APPENDERS)
    try:
        async with Engine(settings, provider, journal, [router]) as running:
            began, cpu = time.perf_counter(), time.process_time()
            task = asyncio.create_task(running.run(handle_signals=False))
            await done.wait()
            while running.status().in_flight:  # noqa: ASYNC110 - the last settlements
                await asyncio.sleep(POLL_S)
            figures = _figures(began, cpu, [])
            await running.drain()
            await task
    finally:
        await journal.close()
    return figures


def main() -> None:
    """Run every variant in turn, several times, and print medians."""
    webhooks = os.environ.get("WEBHOOKS")
    events = recorded(Path(webhooks)) if webhooks else generated(300)
    bodies = [event.message.body for event in events]
    variants: dict[str, Measure] = {
        "limit": limit,
        "journal": journal_alone,
        "engine": lambda bodies, folder: engine(bodies, folder, sessions=0),
        "engine, 50 sessions": lambda bodies, folder: engine(bodies, folder, sessions=50),
    }
    rounds: dict[str, list[Figures]] = {name: [] for name in variants}
    for _ in range(ROUNDS):
        for name, variant in variants.items():
            with tempfile.TemporaryDirectory() as folder:
                rounds[name].append(asyncio.run(_measured(variant, bodies, Path(folder))))
    size = statistics.median(map(len, bodies))
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; FULL; {ROUNDS} rounds of")
    print(f"{MESSAGES} messages, {APPENDERS} at a time, median body {size:.0f} bytes\n")
    for name, measured in rounds.items():
        print(_line(name, measured, rounds["limit"]))
    if out := os.environ.get("OUT"):
        rates = {name: [figures.rate for figures in measured] for name, measured in rounds.items()}
        Path(out).write_text(json.dumps(rates), encoding="utf-8")


def _line(name: str, measured: list[Figures], limits: list[Figures]) -> str:
    rates = [figures.rate for figures in measured]
    ratio = statistics.median(figures.rate / top.rate for figures, top in zip(measured, limits, strict=True))
    cpu_us = statistics.median(figures.cpu_us for figures in measured)
    spread = f"({min(rates):,.0f} to {max(rates):,.0f})"
    line = (
        f"{name:<20}{statistics.median(rates):>8,.0f} msg/s {spread:<20}{ratio:5.2f} of the limit {cpu_us:5.0f} us CPU"
    )
    if took_ms := [took for figures in measured for took in figures.took_ms]:
        cuts = statistics.quantiles(took_ms, n=20)
        line += f"   p50 {cuts[9]:.1f} p95 {cuts[18]:.1f} ms"
    return line


async def _measured(variant: Measure, bodies: list[bytes], folder: Path) -> Figures:
    return await variant(bodies, folder)


if __name__ == "__main__":
    sys.exit(main())
