"""Handlers that fork: what their children can do, and cannot, to the engine and to its journal."""

import asyncio
import os
import signal
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from queue_runtime.journal import verify
from queue_runtime.journal.events import Completed, RunStarted
from queue_runtime.journal.invariants import violations
from queue_runtime.providers.memory import MemoryBroker, MemoryProvider, QueueKind, QueueSettings
from queue_runtime.providers.memory.server import MemoryBrokerServer
from queue_runtime.providers.message import Message
from tests.crash.account import stored
from tests.crash.load import QUEUE
from tests.crash.processes import ROOT

pytestmark = [pytest.mark.blocks_loop, pytest.mark.timeout(120)]  # other processes do the work

BOT = """
import asyncio, multiprocessing, os, signal, subprocess, sys
from functools import partial
from pathlib import Path
from queue_runtime.engine import Context, Engine
from queue_runtime.journal import JournalError, SqliteJournal
from queue_runtime.journal.events import RunStopped
from queue_runtime.plugins import Router
from queue_runtime.providers.memory import from_settings
from queue_runtime.providers.settings import ProviderSettings
from tests.crash.worker import settings

address, folder = sys.argv[1], Path(sys.argv[2])
router = Router()

def note(line):
    with (folder / "notes").open("a") as file:
        file.write(f"{line}\\n")

def outlive():
    note(f"child {os.getpid()}")
    signal.pause()

async def write_as_child():
    # What a child that knows no better might try.
    for attempt in (journal.append, journal.recover, partial(SqliteJournal.open, folder / "journal")):
        try:
            done = attempt([RunStopped("child", 1, "")]) if attempt == journal.append else await attempt()
            note(f"the child has the journal: {done}")
        except JournalError as error:
            note(f"refused: {error}")

@router.on("*")
async def handle(ctx: Context) -> None:
    match ctx.body.decode():
        case "exit" if os.fork() == 0:
            os._exit(0)
        case "commit" if os.fork() == 0:
            asyncio.run(write_as_child())
            os._exit(0)
        case "come back":
            note(f"comes back {os.fork()}")
        case "raise" if os.fork() == 0:
            sys.exit("in the child")
        case "outlive" if os.fork() == 0:
            outlive()
        case "outlive after close" if os.fork() == 0:
            os.closerange(3, 256)
            outlive()
        case "multiprocessing":
            process = multiprocessing.get_context("fork").Process(target=sum, args=([],))
            process.start()
            await asyncio.to_thread(process.join)
        case "multiprocessing outlives":
            multiprocessing.get_context("fork").Process(target=outlive).start()
        case "subprocess":
            code = "import os, signal; print(os.getpid(), flush=True); signal.pause()"
            child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
            note(f"child {child.stdout.readline().decode().strip()}")
        case _:
            pass
    note(f"ran {ctx.body.decode()}")

async def main():
    global journal
    provider = from_settings(ProviderSettings(provider="memory", memory_address=address))
    chosen = settings(folder / "journal").model_copy(update={"handler_timeout_s": 30.0})
    journal = await SqliteJournal.open(folder / "journal")
    async with Engine(chosen, provider, journal, [router]) as engine:
        await engine.run()
    await journal.close()

asyncio.run(main())
"""

LOCK_S = 5.0  # children keep their parent's connection open, so the broker may hand a message to nobody
DEEDS = (
    "exit",
    "come back",
    "raise",
    "commit",
    "outlive",
    "multiprocessing",
    "multiprocessing outlives",
    "subprocess",
    "outlive after close",
)


def _notes(folder: Path) -> list[str]:
    path = folder / "notes"
    return path.read_text().splitlines() if path.exists() else []


async def _bot(address: str, folder: Path) -> asyncio.subprocess.Process:
    with (folder / "engine.log").open("ab") as log:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-c", BOT, address, str(folder), cwd=ROOT, stderr=log
        )


async def test_a_child_of_a_handler_neither_commits_nor_keeps_the_journal(tmp_path: Path) -> None:
    """Its engine goes on beside it; when that is killed while children live, the next one has the journal at once."""
    rules = QueueSettings(kind=QueueKind.FIFO, lock_s=LOCK_S, max_deliveries=1_000)
    broker = MemoryBroker({QUEUE: rules})
    provider = MemoryProvider(broker)
    await provider.open()

    async def send(*deeds: str) -> None:
        await provider.send(QUEUE, [Message(deed.encode(), message_id=deed, session_id="s") for deed in deeds])

    async def until_empty() -> None:
        async with asyncio.timeout(60):
            while broker.counts(QUEUE).active + broker.counts(QUEUE).in_flight:  # noqa: ASYNC110 - of other processes
                await asyncio.sleep(0.02)

    await send(*DEEDS)
    async with MemoryBrokerServer(broker, 0) as server:
        first = await _bot(server.address, tmp_path)
        await until_empty()
        await send("and after them")
        await until_empty()
        first.kill()
        await first.wait()
        children = [int(note.split()[1]) for note in _notes(tmp_path) if note.startswith("child")]
        try:
            assert len(children) == 4
            second = await _bot(server.address, tmp_path)
            await send("with the next one")
            await until_empty()
            second.terminate()
            assert await second.wait() == 0, (tmp_path / "engine.log").read_text()
            for child in children:
                os.kill(child, 0)  # it lived until now, or this raises
        finally:
            for child in children:
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)

    ran = [note.removeprefix("ran ") for note in _notes(tmp_path) if note.startswith("ran ")]
    everything = [*DEEDS, "and after them", "with the next one"]
    assert list(dict.fromkeys(ran)) == everything
    assert Counter(ran) == Counter(everything) + Counter(["come back"]), "both of them note it, and one goes on"
    tried = [note for note in _notes(tmp_path) if note.startswith(("refused", "the child has"))]
    assert ["forked" in note for note in tried] == [True, True, False]
    assert f"process {first.pid}" in tried[2]
    journal = stored(tmp_path / "journal")
    assert [event.key for _, event in journal if isinstance(event, Completed)] == [
        f"{QUEUE}/{one}" for one in everything
    ]
    assert len([event for _, event in journal if isinstance(event, RunStarted)]) == 2
    assert violations(journal) == []
    assert verify(tmp_path / "journal").is_good
