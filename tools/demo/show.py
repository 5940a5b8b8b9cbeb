"""Runs the demo, in one process or with an engine that is killed, and shows it."""

from __future__ import annotations

import asyncio
import logging
import shlex
import shutil
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from queue_runtime.engine import Engine
from queue_runtime.journal import SqliteJournal
from queue_runtime.providers.memory import MemoryBroker, MemoryProvider, QueueKind, QueueSettings
from queue_runtime.providers.memory.server import MemoryBrokerServer
from queue_runtime.providers.message import QueueName
from queue_runtime.tools.demo import bot
from queue_runtime.tools.demo.child import QUEUE, demo_settings
from queue_runtime.tools.demo.events import DemoEvent
from queue_runtime.tools.demo.report import Report, report_on

__all__ = ["DemoError", "run_demo", "show_report"]

KILLS = 3
PROGRAM = "queue-runtime"
_LOCK_S = 3.0  # short, so that what a killed engine held comes back soon
_POLL_S = 0.02
_STUCK_S = 60.0
_BATCH = 50


class DemoError(Exception):
    """The demo came to no end that could be reported on; says where to look."""


async def run_demo(events: Sequence[DemoEvent], folder: Path, console: Console, *, crash: bool) -> Report:
    """Send the events, have them processed, and account for each of them.

    Args:
        events: what to send.
        folder: an empty folder, in which the journal and the engine's log are left.
        console: where the progress is shown.
        crash: run the engine in a process of its own, and kill that three times.

    Raises:
        DemoError: nothing moved for a minute, an engine ended by itself, or there are too few events to kill it in.
    """
    if crash and len(events) <= KILLS:
        msg = f"a crash demo kills the engine {KILLS} times, each in other events: send it {KILLS + 1} or more"
        raise DemoError(msg)
    queue = QueueSettings(kind=QueueKind.FIFO, lock_s=_LOCK_S, max_deliveries=100)
    broker = MemoryBroker({QueueName(QUEUE): queue})
    journal, log = folder / "journal", folder / "engine.log"
    with _progress(console, len(events)) as advance:
        watch = _Watch(broker, len(events), advance)
        if crash:
            await _with_killed_engines(broker, events, folder, watch, console)
        else:
            await _in_this_process(broker, events, journal, log, watch)
    crashes = KILLS if crash else 0
    counts = broker.counts(QueueName(QUEUE))
    buried = [str(message.message_id) for message in broker.messages(QUEUE, dead_letters=True)]
    return await asyncio.to_thread(report_on, events, journal, QUEUE, counts, crashes=crashes, dead_letters=buried)


class _Watch:
    """How far the broker has come."""

    def __init__(self, broker: MemoryBroker, total: int, advance: Callable[[int], None]) -> None:
        self._broker = broker
        self._total = total
        self._advance = advance
        self.sent = 0

    @property
    def done(self) -> int:
        counts = self._broker.counts(QueueName(QUEUE))
        return self.sent - counts.active - counts.in_flight - counts.scheduled

    async def until(self, done: int, engine: asyncio.subprocess.Process | None = None) -> None:
        """Return when so many are done.

        Raises:
            DemoError: nothing moved for a minute, or the engine ended by itself.
        """
        last, idle_s = -1, 0.0
        while (now_done := self.done) < done:
            self._advance(now_done)
            idle_s = 0.0 if now_done != last else idle_s + _POLL_S
            if idle_s > _STUCK_S:
                msg = f"nothing moved for {_STUCK_S:g} s, with {now_done} of {self._total} events done; see engine.log"
                raise DemoError(msg)
            if engine is not None and engine.returncode is not None:
                msg = f"the engine ended by itself with exit code {engine.returncode}; see the end of engine.log"
                raise DemoError(msg)
            last = now_done
            await asyncio.sleep(_POLL_S)
        self._advance(self.done)


async def _send(broker: MemoryBroker, events: Sequence[DemoEvent], watch: _Watch) -> None:
    """Send what there is to send, while it is being worked on."""
    provider = MemoryProvider(broker)
    await provider.open()
    for start in range(0, len(events), _BATCH):
        batch = [event.message for event in events[start : start + _BATCH]]
        answers = await provider.send(QueueName(QUEUE), batch)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        watch.sent += len(batch)
        await asyncio.sleep(0)


async def _in_this_process(
    broker: MemoryBroker, events: Sequence[DemoEvent], journal: Path, log: Path, watch: _Watch
) -> None:
    settings = demo_settings(journal)
    with _logging_to(log):
        opened = await SqliteJournal.open(journal)
        try:
            async with Engine(settings, MemoryProvider(broker), opened, bot.plugins) as engine:
                running = asyncio.create_task(engine.run(handle_signals=False))
                await _send(broker, events, watch)
                await watch.until(len(events))
                await engine.drain()
                await running
        finally:
            await opened.close()


async def _with_killed_engines(
    broker: MemoryBroker, events: Sequence[DemoEvent], folder: Path, watch: _Watch, console: Console
) -> None:
    """Keep the broker here; start the engine in a process of its own, kill it, and start it again on its journal."""
    sockets = Path(tempfile.mkdtemp(prefix="qr-"))  # a socket's name is short
    try:
        async with MemoryBrokerServer(broker, sockets / "broker.sock") as server:
            part = -(-len(events) // (KILLS + 1))
            for kill in range(KILLS):
                start = kill * part
                async with _engine(server.address, folder) as process:
                    await _send(broker, events[start : start + part], watch)
                    await watch.until(start + max(part // 2, 1), process)  # in the middle of it
                    held = broker.counts(QueueName(QUEUE)).in_flight
                    process.kill()
                    await process.wait()
                    console.print(f"killed engine {kill + 1} with SIGKILL; it held {held} messages", highlight=False)
            async with _engine(server.address, folder) as process:
                await _send(broker, events[part * KILLS :], watch)
                await watch.until(len(events), process)
                process.terminate()
                if code := await process.wait():
                    msg = f"the last engine did not drain: exit code {code}; see the end of engine.log"
                    raise DemoError(msg)
    finally:
        shutil.rmtree(sockets)


@asynccontextmanager
async def _engine(address: str, folder: Path) -> AsyncGenerator[asyncio.subprocess.Process]:
    command = (sys.executable, "-m", "queue_runtime.tools.demo.child", address, str(folder / "journal"))
    with (folder / "engine.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@contextmanager
def _logging_to(path: Path) -> Generator[None]:
    """Keep the library's log out of the progress bar."""
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    library = logging.getLogger("queue_runtime")
    before = library.propagate
    library.addHandler(handler)
    library.propagate = False
    try:
        yield
    finally:
        library.removeHandler(handler)
        library.propagate = before
        handler.close()


@contextmanager
def _progress(console: Console, total: int) -> Generator[Callable[[int], None]]:
    """A bar on a terminal; elsewhere a line now and then."""
    if not console.is_terminal:
        reported = 0

        def report(done: int) -> None:
            nonlocal reported
            if done - reported >= total // 4 or done == total > reported:
                reported = done
                console.print(f"{done} of {total} events")

        yield report
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("events", total=total)
        yield lambda done: progress.update(task, completed=done)


def show_report(report: Report, console: Console) -> None:
    """Print the figures, where the journal lies, and what to try on it."""
    table = Table(title="What happened, by the journal", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    rows: list[tuple[str, object]] = [
        ("sent", report.sent),
        ("received", report.received),
        ("completed", report.completed),
        ("duplicates suppressed", report.duplicates_suppressed),
        ("retried", report.retried),
        ("dead-lettered", report.dead_lettered),
        ("crashes survived", report.crashes_survived),
        ("order violations", report.order_violations),
        ("messages a second", f"{report.messages_per_s:,.0f}"),
        ("latency p50 / p95, ms", f"{report.latency_p50_ms:,.0f} / {report.latency_p95_ms:,.0f}"),
    ]
    for name, value in rows:
        table.add_row(name, str(value))
    console.print(table)
    for problem in report.problems:
        console.print(f"NOT ACCOUNTED FOR: {problem}", style="bold red", markup=False)
    if not report.problems:
        console.print("Every event is accounted for.", style="green")
    folder = shlex.quote(report.journal)
    console.print(f"\nThe journal is in {report.journal}\nTry on it:", markup=False, highlight=False, soft_wrap=True)
    message = shlex.quote(report.look_at)
    for command in (f"stat {folder}", f"tail {folder}", f"show {message} {folder}", f"verify {folder}"):
        console.print(f"  {_program()} journal {command}", markup=False, highlight=False, soft_wrap=True)


def _program() -> str:
    """Return what a user types to run the command line: after `make demo` it is not on the path."""
    if shutil.which(PROGRAM):
        return PROGRAM
    path, here = Path(sys.executable).with_name(PROGRAM), Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))
