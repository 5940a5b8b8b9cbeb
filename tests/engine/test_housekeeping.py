"""A window of any length in little memory: what was completed is not run again, wherever its key is by then."""

import asyncio
import logging
import time
from pathlib import Path

import pytest

from queue_runtime.engine import Context, Engine, EngineSettings, housekeeping
from queue_runtime.journal import JournalReader, SqliteJournal, dedup
from queue_runtime.journal.events import Duplicate, KeysSealed, KeysSealing
from queue_runtime.plugins import Router
from queue_runtime.providers.memory import MemoryProvider
from queue_runtime.providers.message import Message, MessageId
from tests.engine.bench import QUEUE, Bench


def _counting() -> tuple[Router, list[bytes]]:
    router, seen = Router(), list[bytes]()

    @router.on("*")
    async def handle(event: bytes, ctx: Context) -> None:
        del ctx
        seen.append(event)

    return router, seen


def _numbered(*numbers: int) -> list[Message]:
    return [Message(b"%d" % number, message_id=MessageId(f"m{number}")) for number in numbers]


def _sealed(folder: Path) -> int:
    with JournalReader(folder) as reader:
        return reader.statistics().events["KeysSealed"]


async def test_a_duplicate_is_suppressed_after_its_key_left_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After it was sealed, after a restart and after a merge, on a real disk; and the live state is still the fold."""
    bench = Bench()
    router, seen = _counting()
    monkeypatch.setattr(dedup, "_MERGE", 3)
    settings = EngineSettings(queues=(QUEUE,), recent_keys=2, receive_wait_s=0.1, debug_fold=True)
    for run in range(3):
        journal = await SqliteJournal.open(tmp_path / "journal")
        async with Engine(settings, MemoryProvider(bench.broker), journal, [router]) as engine:
            running = asyncio.create_task(engine.run(handle_signals=False))
            first = 10 * run
            for number in range(first, first + 10, 2):
                await bench.send(*_numbered(number, number + 1))
                await bench.until_empty()
            await bench.send(*_numbered(*range(first + 10)))
            await bench.until_empty()
            await engine.drain(0.2)
            await running
        await journal.close()

    assert sorted(seen, key=int) == [b"%d" % number for number in range(30)]
    files = list((tmp_path / "journal").glob("*.keys"))
    assert 1 <= len(files) < await asyncio.to_thread(_sealed, tmp_path / "journal"), "files were merged"


async def test_a_key_is_forgotten_after_the_window() -> None:
    """A message with a key that was completed before the window is run again, wherever the key is kept."""
    bench = Bench()
    router, seen = _counting()
    async with bench.engine(router, recent_keys=1, idempotency_window_s=0.2):
        await bench.send(*_numbered(1))
        await bench.until(lambda: bench.count(KeysSealed) == 1)
        over = time.monotonic() + 0.2
        await bench.until(lambda: time.monotonic() > over)
        await bench.send(*_numbered(1))
        await bench.until(lambda: len(seen) == 2)
        await bench.until_empty()

    assert bench.count(Duplicate) == 0


async def test_a_batch_that_a_crash_interrupted_is_sealed_by_the_next_run() -> None:
    """Its keys are known all the while."""
    bench = Bench()
    router, seen = _counting()
    bench.journal.keys.is_writable = False
    async with bench.crashing_engine(router, recent_keys=2):
        await bench.send(*_numbered(1, 2))
        await bench.until(lambda: bench.count(KeysSealing) == 1)
    async with bench.crashing_engine(router, recent_keys=2):
        await bench.send(*_numbered(1, 2))
        await bench.until_empty()
    bench.journal.keys.is_writable = True

    async with bench.engine(router, recent_keys=2):
        await bench.until(lambda: bench.count(KeysSealed) > 0)
        await bench.send(*_numbered(1, 2))
        await bench.until_empty()

    assert sorted(seen) == [b"1", b"2"]
    assert bench.count(Duplicate) == 4


async def test_what_could_not_be_sealed_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The engine goes on meanwhile, somebody is told, and nothing is tried in a hurry."""
    monkeypatch.setattr(housekeeping, "_RETRY_S", 0.05)
    bench = Bench()
    router, seen = _counting()
    bench.journal.keys.is_writable = False
    with caplog.at_level(logging.WARNING):
        async with bench.engine(router, recent_keys=1):
            await bench.send(*_numbered(1))
            await bench.until(lambda: "housekeeping could not be done" in caplog.text)
            await bench.send(*_numbered(2))
            await bench.until_empty()
            bench.journal.keys.is_writable = True
            await bench.until(lambda: bench.count(KeysSealed) == 1)

    assert sorted(seen) == [b"1", b"2"]


async def test_the_state_is_stored_while_the_engine_runs() -> None:
    """Every so many events, so that a start after a crash reads few of them."""
    bench = Bench()
    router, _ = _counting()
    async with bench.engine(router, snapshot_every_events=8):
        await bench.send(*_numbered(1, 2, 3))
        await bench.until(lambda: bench.journal.packed is not None)
        stored = bench.journal.packed
        await bench.send(*_numbered(4, 5, 6))
        await bench.until(lambda: bench.journal.packed != stored)


async def test_the_state_is_stored_every_hour_in_which_something_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quiet engine does not wait for its so-manieth event; one where nothing happens stores nothing."""
    monkeypatch.setattr(housekeeping, "_HOUR_S", 0.05)
    bench = Bench()
    router, _ = _counting()
    async with bench.engine(router, snapshot_every_events=1_000_000, recent_keys=1_000_000):
        over = time.monotonic() + 0.2
        await bench.until(lambda: time.monotonic() > over)
        assert bench.journal.packed is None, "hours have passed, and nothing happened"
        for number in range(2):  # the second hour is as good as the first
            stored = bench.journal.packed
            await bench.send(*_numbered(number))
            await bench.until_empty()
            await bench.until(lambda stored=stored: bench.journal.packed != stored)


async def test_keys_that_cannot_be_sealed_wait_in_memory_and_are_sealed_as_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While key files cannot be written nothing is forgotten; what waits goes in one batch when they can be."""
    monkeypatch.setattr(housekeeping, "_RETRY_S", 0.05)
    bench = Bench()
    router, seen = _counting()
    bench.journal.keys.is_writable = False
    async with bench.engine(router, recent_keys=2):
        await bench.send(*_numbered(*range(40)))
        await bench.until_empty()
        await bench.send(*_numbered(*range(40)))
        await bench.until_empty()
        assert len(seen) == 40, "what waits is known"
        bench.journal.keys.is_writable = True
        await bench.until(lambda: bench.count(KeysSealed) == 1)
        await bench.send(*_numbered(*range(40)))
        await bench.until_empty()
        await bench.until(lambda: bench.count(KeysSealed) > 1)

    assert len(seen) == 40
    assert bench.count(KeysSealing) < 6, "not one batch for every two keys"


async def test_missing_key_files_are_told_of_at_the_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Idempotency is lost for what they covered, and the engine runs all the same."""
    bench = Bench()
    router, seen = _counting()
    settings = EngineSettings(queues=(QUEUE,), recent_keys=1, receive_wait_s=0.1)
    for _ in range(2):
        journal = await SqliteJournal.open(tmp_path / "journal")
        async with Engine(settings, MemoryProvider(bench.broker), journal, [router]) as engine:
            running = asyncio.create_task(engine.run(handle_signals=False))
            await bench.send(*_numbered(1))
            await bench.until_empty()
            await bench.until((tmp_path / "journal" / "newest.snapshot").exists)
            await engine.drain(0.2)
            await running
        await journal.close()
        for path in (tmp_path / "journal").glob("*.keys"):
            path.unlink()

    assert "are missing: what was completed then is run again" in caplog.text
    assert seen == [b"1", b"1"]
