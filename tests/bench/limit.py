"""The limit: the same bytes made durable with the least that can be called a journal.

The same appenders await three appends a message; each body is compressed as the journal does it, each frame has a
checksum, and one thread writes and syncs what queued up while it was busy. The rest of the bytes is ready beforehand.
"""

import asyncio
import os
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from queue_runtime.journal import JournalSettings, SqliteJournal
from queue_runtime.journal.bodies import pack_body
from tests.bench.bodies import Prepared
from tests.bench.figures import Round, measured


class FramedFile:
    """An append-only file; what is handed over while one fdatasync runs rides in the next."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        self._frames: list[bytes] = []
        self._waiters: list[asyncio.Future[None]] = []
        self._work = asyncio.Event()
        self._thread = ThreadPoolExecutor(1)
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._commit_groups())

    def append(self, record: bytes, body: bytes = b"") -> asyncio.Future[None]:
        """Queue a frame; the future is done when it is durable."""
        frame = b"".join((len(record).to_bytes(4), len(body).to_bytes(4), record, body))
        self._frames += (zlib.crc32(frame).to_bytes(4), frame)
        self._work.set()
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        return waiter

    async def _commit_groups(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            frames, self._frames = self._frames, []
            waiters, self._waiters = self._waiters, []
            await self._loop.run_in_executor(self._thread, self._sync, frames)
            for waiter in waiters:
                waiter.set_result(None)

    def _sync(self, frames: list[bytes]) -> None:
        data = b"".join(frames)
        written = os.write(self._file, data)
        assert written == len(data), f"wrote {written} of {len(data)} bytes"
        os.fdatasync(self._file)

    def close(self) -> None:
        """End the task and the thread; nothing may be under way."""
        self._task.cancel()
        self._thread.shutdown()
        os.close(self._file)


async def limit(work: Sequence[Prepared], appenders: int, folder: Path) -> Round:
    """Append to the framed file."""
    file = FramedFile(folder / "frames")

    async def append(one: Prepared) -> None:
        received, started, completed = one.records
        await file.append(received, pack_body(one.body)[1])
        await file.append(started)
        await file.append(completed)

    try:
        return await _by_appenders(append, work, appenders)
    finally:
        file.close()


async def journal_alone(work: Sequence[Prepared], appenders: int, folder: Path) -> Round:
    """Append `Received`, `AttemptStarted` and `Completed` to the journal, each awaited."""
    journal = await SqliteJournal.open(folder / "journal", JournalSettings())

    async def append(one: Prepared) -> None:
        for event in one.events:
            await journal.wait(journal.append((event,)))

    try:
        return await _by_appenders(append, work, appenders)
    finally:
        await journal.close()


async def _by_appenders(append: Callable[[Prepared], Awaitable[None]], work: Sequence[Prepared], count: int) -> Round:
    """Have `count` tasks take messages in turn; a message's time is that of its three appends."""
    result, left = Round(len(work)), iter(work)
    with measured(result):
        await asyncio.gather(*(_appender(append, left, result.took_ms) for _ in range(count)))
    return result


async def _appender(append: Callable[[Prepared], Awaitable[None]], left: Iterator[Prepared], took: list[float]) -> None:
    for one in left:
        began = time.perf_counter()
        await append(one)
        took.append((time.perf_counter() - began) * 1e3)
