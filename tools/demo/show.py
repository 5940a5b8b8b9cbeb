"""Runs the demo, in one process or with an engine that is killed, and shows it."""

from __future__ import annotations

import asyncio
import json
import logging
import shlex
import shutil
import sys
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from queue_runtime.engine import Engine
from queue_runtime.journal import SqliteJournal
from queue_runtime.providers.message import QueueName
from queue_runtime.providers.port import Address, CountsMessages, Provider, QueueCounts
from queue_runtime.tools.demo import bot
from queue_runtime.tools.demo.child import demo_settings
from queue_runtime.tools.demo.events import DemoEvent
from queue_runtime.tools.demo.places import Place, place_of
from queue_runtime.tools.demo.report import Report, report_on

__all__ = ["DemoError", "run_demo", "show_report"]

KILLS = 3
PROGRAM = "queue-runtime"
_POLL_S = 0.05
_STUCK_S = 60.0
_BATCH = 50
_DEAD_LETTER_WAIT_S = 1.0


class DemoError(Exception):
    """The demo came to no end that could be reported on; says where to look."""


async def run_demo(
    events: Sequence[DemoEvent], folder: Path, console: Console, *, crash: bool, provider: str = "memory"
) -> Report:
    """Send the events, have them processed, and account for each of them.

    Args:
        events: what to send.
        folder: an empty folder, in which the journal and the logs of engine and broker are left.
        console: where the progress is shown.
        crash: run the engine in a process of its own, and kill that three times.
        provider: whose broker: `memory`, or `sqs` for a local server that is started and stopped here.

    Raises:
        ConfigurationError: there is no such broker, or it is not installed.
        DemoError: nothing moved for a minute, an engine ended by itself, or there are too few events to kill it in.
    """
    if crash and len(events) <= KILLS:
        msg = f"a crash demo kills the engine {KILLS} times, each in other events: send it {KILLS + 1} or more"
        raise DemoError(msg)
    async with place_of(provider, folder / "broker.log") as place, _opened(place.provider()) as outside:
        with _progress(console, len(events)) as advance:
            watch = _Watch(outside, place.queue, len(events), advance)
            if crash:
                await _with_killed_engines(place, events, folder, watch, console)
            else:
                await _in_this_process(place, events, folder, watch)
        counts = await watch.counts()
        buried = await _dead_letters(outside, place.queue, counts.dead_letters)
    crashes, journal = KILLS if crash else 0, folder / "journal"
    return await asyncio.to_thread(
        report_on, events, journal, place.queue, counts, crashes=crashes, dead_letters=buried
    )


@asynccontextmanager
async def _opened(provider: Provider) -> AsyncGenerator[Provider]:
    await provider.open()
    try:
        yield provider
    finally:
        await provider.close()


async def _dead_letters(provider: Provider, queue: QueueName, count: int) -> list[str]:
    """Take the dead letters for their ids. They are not settled, and so stay."""
    source, ids = Address(queue, dead_letters=True), list[str]()
    while len(ids) < count:
        taken = await provider.receive(source, count - len(ids), _DEAD_LETTER_WAIT_S)
        if not taken:
            break
        ids += [str(delivery.message.message_id) for delivery in taken]
    return ids


class _Watch:
    """How far the broker has come, by its own counts. `send` is the only one who sends to it."""

    def __init__(self, provider: Provider, queue: QueueName, total: int, advance: Callable[[int], None]) -> None:
        self._provider = provider
        self._queue = queue
        self._total = total
        self._advance = advance
        self._sent = 0

    async def counts(self) -> QueueCounts:
        """Ask the broker what it has left."""
        if not isinstance(self._provider, CountsMessages):
            msg = f"provider {self._provider.name!r} does not count its messages: the demo cannot account for them"
            raise DemoError(msg)
        return await self._provider.counts(self._queue)

    async def send(self, events: Sequence[DemoEvent]) -> None:
        """Send what there is to send, while it is being worked on."""
        for start in range(0, len(events), _BATCH):
            batch = [event.message for event in events[start : start + _BATCH]]
            answers = await self._provider.send(self._queue, batch)
            for answer in answers:
                if isinstance(answer, Exception):
                    raise answer
            self._sent += len(batch)
            await asyncio.sleep(0)

    async def until(self, done: int, engine: asyncio.subprocess.Process | None = None) -> None:
        """Return when so many are done.

        Raises:
            DemoError: nothing moved for a minute, or the engine ended by itself.
        """
        clock = asyncio.get_running_loop().time
        last, moved_at = -1, clock()
        while (now_done := await self._done()) < done:
            self._advance(now_done)
            if now_done != last:
                last, moved_at = now_done, clock()
            if clock() - moved_at > _STUCK_S:
                msg = f"nothing moved for {_STUCK_S:g} s, with {now_done} of {self._total} events done; see engine.log"
                raise DemoError(msg)
            if engine is not None and engine.returncode is not None:
                msg = f"the engine ended by itself with exit code {engine.returncode}; see the end of engine.log"
                raise DemoError(msg)
            await asyncio.sleep(_POLL_S)
        self._advance(now_done)

    async def _done(self) -> int:
        counts = await self.counts()
        return self._sent - counts.active - counts.in_flight - counts.scheduled


async def _in_this_process(place: Place, events: Sequence[DemoEvent], folder: Path, watch: _Watch) -> None:
    journal = folder / "journal"
    with _logging_to(folder / "engine.log"):
        opened = await SqliteJournal.open(journal)
        try:
            async with Engine(demo_settings(journal, place.queue), place.provider(), opened, bot.plugins) as engine:
                running = asyncio.create_task(engine.run(handle_signals=False))
                await watch.send(events)
                await watch.until(len(events))
                await engine.drain()
                await running
        finally:
            await opened.close()


async def _with_killed_engines(
    place: Place, events: Sequence[DemoEvent], folder: Path, watch: _Watch, console: Console
) -> None:
    """Start the engine in a process of its own, kill it, and start it again on its journal."""
    part = -(-len(events) // (KILLS + 1))
    for kill in range(KILLS):
        start = kill * part
        async with _engine(place, folder) as process:
            await watch.send(events[start : start + part])
            await watch.until(start + max(part // 2, 1), process)  # in the middle of it
            held = (await watch.counts()).in_flight
            process.kill()
            await process.wait()
            console.print(f"killed engine {kill + 1} with SIGKILL; it held {held} messages", highlight=False)
    async with _engine(place, folder) as process:
        await watch.send(events[part * KILLS :])
        await watch.until(len(events), process)
        process.terminate()
        if code := await process.wait():
            msg = f"the last engine did not drain: exit code {code}; see the end of engine.log"
            raise DemoError(msg)


@asynccontextmanager
async def _engine(place: Place, folder: Path) -> AsyncGenerator[asyncio.subprocess.Process]:
    arguments = (json.dumps(dict(place.settings)), str(place.queue), str(folder / "journal"))
    command = (sys.executable, "-m", "queue_runtime.tools.demo.child", *arguments)
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
