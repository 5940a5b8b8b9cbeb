"""The engine: puts the parts together, and takes them through start, run, drain and stop."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncGenerator, Coroutine, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext
from typing import Self

from queue_runtime.engine.adoption import adopt_siblings, open_journal
from queue_runtime.engine.bodies import Bodies
from queue_runtime.engine.checks import check, inspect
from queue_runtime.engine.control import Control
from queue_runtime.engine.core import Core
from queue_runtime.engine.loading import load_missing
from queue_runtime.engine.parts import Parts
from queue_runtime.engine.recovery import compare_with_fold, recover, snapshot
from queue_runtime.engine.settings import EngineSettings
from queue_runtime.engine.status import EngineStatus, status_of
from queue_runtime.engine.telemetry import telemetry_of
from queue_runtime.journal.log import SqliteJournal
from queue_runtime.journal.port import Journal
from queue_runtime.plugins import EngineStartedInfo, EngineStoppedInfo, Plugins
from queue_runtime.plugins import load as load_plugins
from queue_runtime.providers.bodies import BodyCipher
from queue_runtime.providers.clock import Clock, SystemClock, Timestamp
from queue_runtime.providers.errors import ShutdownInProgress
from queue_runtime.providers.message import QueueName
from queue_runtime.providers.port import Capabilities, Provider
from queue_runtime.providers.registry import cipher_from_settings, provider_from_settings
from queue_runtime.providers.settings import ProviderSettings

__all__ = ["Engine"]

logger = logging.getLogger("queue_runtime.engine")


class Engine:
    """Processes messages of one provider's queues, over one journal, in the bot's own event loop.

    Use it as an async context manager: entering recovers the journal, leaving drains and journals the stop. Between the
    two, `run` receives until it is told to stop. Not for two loops, and not to be entered twice.

    Args:
        settings: how it works; `settings.queues` names the queues.
        provider: where messages come from; opened and closed by the engine.
        journal: an open journal, which stays its opener's to close. One engine a journal.
        plugins: handlers, session strategies, observers; see `plugins.hookspecs`.
        clock: for tests.
        cipher: encrypts and opens bodies; closed by the engine.

    Raises:
        PluginError: a plugin cannot be used as it is written.
        ConfigurationError: telemetry is on, and OpenTelemetry's API is not installed.
    """

    def __init__(
        self,
        settings: EngineSettings,
        provider: Provider,
        journal: Journal,
        plugins: Sequence[object],
        clock: Clock | None = None,
        cipher: BodyCipher | None = None,
    ) -> None:
        self._settings = settings
        self._telemetry = telemetry_of(settings, provider)
        self._provider = provider if self._telemetry is None else self._telemetry.provider
        self._journal = journal
        self._plugins = Plugins([*plugins, *(self._telemetry.plugins if self._telemetry is not None else ())])
        self._clock = clock if clock is not None else SystemClock()
        self._bodies = Bodies(cipher)
        self._queues = tuple(QueueName(queue) for queue in settings.queues)
        self._stop_asked = asyncio.Event()
        self._abort_asked = asyncio.Event()
        self._draining = asyncio.Lock()
        self._closing = asyncio.Lock()
        self._parts: Parts | None = None
        self._control: Control | None = None
        self._is_stopped = False

    @classmethod
    @asynccontextmanager
    async def from_settings(
        cls,
        *,
        plugins: Sequence[object] = (),
        engine: EngineSettings | None = None,
        provider: ProviderSettings | None = None,
    ) -> AsyncGenerator[Self]:
        """Open journal and provider as settings say, and yield a started engine over them.

        Args:
            plugins: beside those that the settings name.
            engine: instead of those that are read from environment and file.
            provider: instead of those that are read from environment and file.

        Raises:
            InvalidSettings: settings cannot be right; names all of them, and nothing was opened.
            ConfigurationError: the file of settings cannot be read, or the provider cannot be made.
            JournalOwned: another process has the journal open.
            QueueNotFound: a queue does not exist.
        """
        loaded = load_missing(engine, provider)
        made, cipher = provider_from_settings(loaded.provider), cipher_from_settings(loaded.provider)
        journal = await open_journal(loaded.engine)
        try:
            chosen = [*load_plugins(loaded.engine.plugins), *plugins]
            async with cls(loaded.engine, made, journal, chosen, cipher=cipher) as started:
                yield started
        finally:
            await journal.close()

    async def __aenter__(self) -> Self:
        """Connect, recover the journal, and have everything performed that it says is owed.

        Raises:
            ConfigurationError: the settings ask of a queue what it cannot do; names all of it.
            QueueNotFound: a queue does not exist.
            JournalError: the journal cannot be read or written.
            QueueError: the provider cannot be reached.
        """
        await self._provider.open()
        try:
            await self._start()
        except BaseException:  # a cancelled start too leaves neither threads nor locks behind
            await self._close()
            raise
        return self

    async def _start(self) -> None:
        inspected = {str(queue): await inspect(self._provider, queue) for queue in self._queues}
        check(self._settings, inspected)
        capabilities = {queue: each.capabilities for queue, each in inspected.items()}
        telemetry = self._telemetry
        journal = self._journal if telemetry is None else telemetry.journal(self._journal)
        parts = self._parts = Parts(self._settings, self._provider, journal, self._plugins, self._clock, self._bodies)
        parts.telemetry = telemetry
        # A session's lock cannot be taken over: its messages come again with the session.
        survive = {q: able.receipts_survive_restart and not able.native_sessions for q, able in capabilities.items()}
        _declare(parts.core, capabilities)
        if self._settings.adopt_siblings and isinstance(self._journal, SqliteJournal):
            await adopt_siblings(self._journal, self._settings, int(self._clock.now()))
        recovered = await recover(parts.core, self._settings, survive)
        if telemetry is not None:
            telemetry.recovered(recovered.seconds, recovered.live)
        if recovered.after_crash:
            logger.warning("the run before this one crashed; %d live messages were recovered", recovered.live)
        parts.start({queue for queue, able in capabilities.items() if able.native_sessions})
        if isinstance(self._journal, SqliteJournal):
            self._control = Control(parts.core, self._settings.journal)
            await self._control.start()
        if self._plugins.observes("engine_started"):
            now, crashed = Timestamp(self._clock.now()), recovered.after_crash
            queues = tuple(str(queue) for queue in self._queues)
            self._plugins.notify_engine_started(
                EngineStartedInfo(run_id=parts.core.run_id, queues=queues, after_crash=crashed, at=now)
            )

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Drain, unless that was done; stop at once if the block raised."""
        try:
            if kind is None:
                await self.drain()
        finally:
            await self.stop()

    async def run(self, *, handle_signals: bool = True) -> None:
        """Receive and process until `drain` or `stop` is called, or a signal asks for it.

        Args:
            handle_signals: SIGTERM and SIGINT drain, a second one stops at once. Pass False where the signals belong to
                the program that embeds the engine, and outside of the main thread.

        Cancelling it stops at once, as the second signal does: nothing is lost, attempts that ran count as crashed.

        Raises:
            RuntimeError: it is not started.
            ShutdownInProgress: it has stopped: an engine runs once.
        """
        with self._signals() if handle_signals else nullcontext():
            parts = self._running("run")
            if not self._stop_asked.is_set():
                parts.receive(self._queues)
            try:
                await self._stop_asked.wait()
                await self._until_aborted(self.drain())
            except asyncio.CancelledError:
                await self.stop()
                raise

    async def _until_aborted(self, drain: Coroutine[object, object, None]) -> None:
        """Drain, but leave it at the second signal."""
        draining = asyncio.ensure_future(drain)
        aborted = asyncio.ensure_future(self._abort_asked.wait())
        try:
            await asyncio.wait((draining, aborted), return_when=asyncio.FIRST_COMPLETED)
        finally:
            aborted.cancel()
            if not draining.done():
                draining.cancel()
        if not draining.cancelled() and draining.done():
            draining.result()
        else:
            await self.stop()

    def _running(self, operation: str) -> Parts:
        if self._parts is None and self._is_stopped:
            raise ShutdownInProgress(operation)
        if self._parts is None:
            msg = "the engine is not started: use it as `async with Engine(...) as engine`"
            raise RuntimeError(msg)
        return self._parts

    @contextmanager
    def _signals(self) -> Generator[None]:
        """Drain at the first signal, stop at the second."""
        loop = asyncio.get_running_loop()

        def asked() -> None:
            if self._stop_asked.is_set():
                logger.warning("second signal: stopping at once")
                self._abort_asked.set()
            self._stop_asked.set()

        signals = (signal.SIGTERM, signal.SIGINT)
        for number in signals:
            loop.add_signal_handler(number, asked)
        try:
            yield
        finally:
            for number in signals:
                loop.remove_signal_handler(number)

    async def drain(self, deadline_s: float | None = None) -> None:
        """Stop receiving, finish what runs, hand the rest back uncharged, and journal the stop. Twice is harmless.

        Args:
            deadline_s: time that running handlers are given, the setting `drain_s` unless given; then they are
                cancelled and released. A handler that does not end when it is cancelled is waited for.

        Raises:
            JournalUnavailable: it cannot be written; the next start will take this run for crashed.
        """
        self._stop_asked.set()
        async with self._draining:
            if not self._is_stopped and self._parts is not None:
                await self._drain(self._parts, self._settings.drain_s if deadline_s is None else deadline_s)

    async def _drain(self, parts: Parts, deadline_s: float) -> None:
        await parts.drain(deadline_s)
        if self._settings.debug_fold:
            await compare_with_fold(parts.core)
        await parts.journal_stop("drained")
        await snapshot(parts.core)
        self._is_stopped = True
        if self._plugins.observes("engine_stopped"):
            now = Timestamp(self._clock.now())
            self._plugins.notify_engine_stopped(EngineStoppedInfo(run_id=parts.core.run_id, why="drained", at=now))

    async def stop(self) -> None:
        """Stop at once. Attempts that run are cancelled and not waited for: the next start counts them as crashed."""
        self._stop_asked.set()
        self._is_stopped = True
        await self._close()

    async def _close(self) -> None:
        async with self._closing:
            if self._control is not None:
                await self._control.stop()
                self._control = None
            if self._parts is not None:
                await self._parts.close()
                self._parts = None
            await self._bodies.close()
            await self._provider.close()

    def status(self) -> EngineStatus:
        """Look at the engine: is it ready, what is in flight, what is parked or open.

        Raises:
            RuntimeError: it is not started.
            ShutdownInProgress: it has stopped.
        """
        return status_of(self._running("tell its status").core)


def _declare(core: Core, capabilities: Mapping[str, Capabilities]) -> None:
    """Tell the core what the queues can do."""
    core.ordered_groups = frozenset(queue for queue, able in capabilities.items() if able.ordered_groups)
    core.keeps_order = core.ordered_groups | {queue for queue, able in capabilities.items() if able.native_sessions}
    core.sender_ordered = frozenset(queue for queue, able in capabilities.items() if able.sender_order)
    core.drops_expired = frozenset(queue for queue, able in capabilities.items() if able.drops_expired)
