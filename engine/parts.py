"""What one run of an engine is made of, wired together, and the order in which it starts and ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from queue_runtime.engine.background import Background
from queue_runtime.engine.bodies import Bodies
from queue_runtime.engine.collaborators import Limits
from queue_runtime.engine.core import Core
from queue_runtime.engine.credit import Credit
from queue_runtime.engine.decide import decide
from queue_runtime.engine.dispatch import Dispatcher
from queue_runtime.engine.effects import Effect, ReleaseLease, RunHandler, Send, Settle
from queue_runtime.engine.housekeeping import Housekeeping
from queue_runtime.engine.inputs import HandBack, LockLost, LockRenewed, TimerFired
from queue_runtime.engine.intake import Intake
from queue_runtime.engine.leases import LeaseReport, Leases
from queue_runtime.engine.observers import Observers
from queue_runtime.engine.outbox import Outbox
from queue_runtime.engine.policy import Policy, us
from queue_runtime.engine.receiver import Receiver
from queue_runtime.engine.recovery import perform_all, resume
from queue_runtime.engine.routing import Routing
from queue_runtime.engine.session_receiver import SessionReceiver
from queue_runtime.engine.settings import EngineSettings
from queue_runtime.engine.settler import Settler
from queue_runtime.engine.telemetry import sampling
from queue_runtime.engine.traces import AttemptTraces
from queue_runtime.journal.errors import JournalUnavailable
from queue_runtime.journal.events import LapseReason, LeasesRenewed, RunStopped
from queue_runtime.journal.port import Journal
from queue_runtime.journal.state import MessageState, Phase
from queue_runtime.plugins import Plugins
from queue_runtime.providers.clock import Clock
from queue_runtime.providers.message import QueueName
from queue_runtime.providers.port import Provider

if TYPE_CHECKING:  # the extra may not be there
    from queue_runtime.plugins.telemetry.engine import Telemetry

__all__ = ["Parts"]

logger = logging.getLogger("queue_runtime.engine")

_NO_POLICY = Policy()  # renewals ask for none
_SWEEP_S = 5.0
_JOURNAL_RETRY_S = 1.0
_LAST_CALLS_S = 5.0
_FORGETTABLE = frozenset({Phase.LAPSED, Phase.UNSETTLED, Phase.FORGOTTEN})


class Parts:
    """The collaborators of one run. Made on the engine's loop.

    Attributes:
        core: live state and the way to the journal.
        telemetry: who is told of attempts and of the engine's state; set before the start, if anybody is.
    """

    def __init__(
        self,
        settings: EngineSettings,
        provider: Provider,
        journal: Journal,
        plugins: Plugins,
        clock: Clock,
        bodies: Bodies,
    ) -> None:
        self._settings = settings
        self._background = Background()
        self.telemetry: Telemetry | None = None
        self._routing = Routing(plugins, settings, provider.name)
        limits = Limits(settings.concurrency, us(settings.lane_release_delay_s), us(settings.reorder_wait_s))
        self.core = core = Core(journal, clock, self._routing, self._perform, limits)
        self._dispatcher = Dispatcher(core, self._routing, plugins, settings, bodies)
        self._settler = Settler(core, provider, settings)
        self._outbox = Outbox(core, provider, settings)
        self._leases = Leases(provider.sibling(), clock, provider.name, self._leases_changed)
        self._observers = Observers(plugins, self._routing)
        self._credit = Credit(core, settings)
        intake = Intake(core, self._routing, plugins, settings)
        self._receiver = Receiver(core, provider, intake, self._credit, settings)
        self._session_receiver = SessionReceiver(core, provider, intake, self._credit, settings, self._leases)
        self._session_queues: set[str] = set()
        self._receiving: set[asyncio.Task[None]] = set()
        self._performers: dict[type[Effect], Callable[[Any], None]] = {
            RunHandler: self._dispatcher.run,
            Settle: self._settler.perform,
            ReleaseLease: self._settler.perform,
            Send: self._outbox.perform,
        }
        # The routing last: the others still ask it about a message that is just going.
        core.followers = (self._leases, self._credit, self._routing)
        core.watcher = self._observers if self._observers.are_there else None
        core.is_lost = self._is_lost
        core.outage.on_begin = lambda: self._background.start(self._resume_when_writable())
        journal.on_commit(self._observers.committed)
        self._housekeeping = Housekeeping(core, settings)

    def _perform(self, effect: Effect) -> None:
        self._performers[type(effect)](effect)

    # --- start ---

    def start(self, session_queues: Iterable[str]) -> None:
        """After the recovery: renew what is held, do what is owed, start what may start."""
        core = self.core
        self._session_queues.update(session_queues)
        self._leases.follow_all(core.state, self._session_queues)
        self._leases.start()
        self._outbox.watch_all()
        core.wakeups.later(_SWEEP_S, self._sweep)
        core.is_draining = False
        if self.telemetry is not None:
            core.traces = AttemptTraces(self.telemetry.attempts(core.run_id), self._routing)
            if self.telemetry.measures:
                self._background.start(sampling(core, self.telemetry), name="queue-runtime telemetry")
        perform_all(core)
        core.pump()
        self._housekeeping.start()

    def receive(self, queues: Iterable[QueueName]) -> None:
        """Begin to pull messages."""
        loop = asyncio.get_running_loop()
        queues = tuple(queues)
        sessions = sum(queue in self._session_queues for queue in queues)
        self._credit.share_among(len(queues) + sessions * (self._settings.session_receivers - 1))
        for queue in queues:
            if queue not in self._session_queues:
                task = loop.create_task(self._receiver.run(queue), name=f"queue-runtime receives {queue}")
                self._watch(task, self._receiving)
                continue
            self._session_receiver.start(queue)

    def _watch(self, task: asyncio.Task[None], tasks: set[asyncio.Task[None]]) -> None:
        tasks.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            tasks.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                logger.critical("%s ended, which is a fault of this library", task.get_name(), exc_info=error)

        task.add_done_callback(ended)

    # --- while it runs ---

    def _sweep(self) -> None:
        """Forget what has waited too long for its broker."""
        now = TimerFired(self.core.now())
        for message in tuple(self.core.state.messages.values()):
            if message.phase in _FORGETTABLE:
                self.core.submit(message.key, now)
        self.core.wakeups.later(_SWEEP_S, self._sweep)

    def _leases_changed(self, report: LeaseReport) -> None:
        if self.core.is_closed:
            return
        now = self.core.now()
        leases: list[tuple[str, str, int]] = []
        for key, provider_id, until in report.renewed:
            given = LockRenewed(now, provider_id, until)
            for event in decide(self.core.state.messages.get(key), given, _NO_POLICY):
                if isinstance(event, LeasesRenewed):
                    leases += event.leases
        if leases:
            self.core.commit((LeasesRenewed(now, tuple(leases)),))
        for key, provider_id in report.lost:
            self.core.submit(key, LockLost(now, provider_id, LapseReason.LOCK_LOST))
        for queue, session_id in report.lost_sessions:
            self._session_receiver.lost(queue, session_id)
        self.core.pump()

    def _is_lost(self, message: MessageState, now: int) -> bool:
        """Whether a lock has ended before its thread could say so: this process, or its loop, stood still for long."""
        ended = self._leases.ended(message, now)
        origin = message.origin
        if ended and origin.queue in self._session_queues:  # all of it is lost, and is given back in one piece
            self._session_receiver.lost(origin.queue, origin.session_id or "")
            return True
        for provider_id in ended:
            self.core.submit(message.key, LockLost(now, provider_id, LapseReason.LOCK_LOST))
        return bool(ended)

    async def _resume_when_writable(self) -> None:
        """Try the journal until it takes events again."""
        while True:
            await asyncio.sleep(_JOURNAL_RETRY_S)
            try:
                await resume(self.core)
            except JournalUnavailable as error:
                logger.error("the journal still cannot be written: %s", error)  # noqa: TRY400 - known, and repeated
                continue
            self._leases.follow_all(self.core.state, self._session_queues)
            self._outbox.watch_all()
            self._credit.grant()
            self._routing.keep(self.core.state.messages.keys())
            return

    # --- the end ---

    async def drain(self, deadline_s: float) -> None:
        """Stop receiving, hand back what waits, finish what runs, and tell the broker all of it."""
        core = self.core
        core.is_draining = True
        self._session_receiver.stop()
        await _cancelled(self._receiving)
        await self._housekeeping.stop()
        self._hand_back_waiting()
        try:
            async with asyncio.timeout(deadline_s):
                await self._until_quiet()
        except TimeoutError:
            self._dispatcher.release_all()
            if core.outage.error is None:  # else no outcome can be journaled, so there is none to wait for
                await self._dispatcher.wait_idle()
        self._hand_back_waiting()  # what failed meanwhile is not retried here
        if core.outage.error is not None:
            return
        try:
            async with asyncio.timeout(_LAST_CALLS_S):
                await self._last_calls()
        except TimeoutError:
            logger.warning("not everything could be settled before the end; the next run does it from the journal")

    async def _until_quiet(self) -> None:
        """What was started has been run, and the journal holds what became of it."""
        core = self.core
        while True:
            await core.outage.over()
            position = core.state.position
            with suppress(JournalUnavailable):
                await core.journal.wait(position)
            await self._dispatcher.wait_idle()
            if core.state.position == position and core.outage.error is None:
                return

    def _hand_back_waiting(self) -> None:
        given = HandBack(self.core.now(), LapseReason.DRAIN)
        for message in sorted(self.core.state.messages.values(), key=lambda m: m.order, reverse=True):
            self.core.submit(message.key, given)

    async def _last_calls(self) -> None:
        """Everything that is owed by now becomes durable, then it is performed, which may make more of it owed."""
        core = self.core
        while True:
            position = core.state.position
            await core.journal.wait(position)
            await self._dispatcher.wait_idle()
            await self._outbox.idle()
            await self._settler.idle()
            if core.state.position == position:
                break
        await self._session_receiver.ended()
        await core.journal.wait(core.state.position)

    async def journal_stop(self, why: str) -> None:
        """Journal that this run ended in good order.

        Raises:
            JournalUnavailable: it cannot be written; the next start will take this run for crashed.
        """
        core = self.core
        if core.commit((RunStopped(core.run_id, core.now(), why),)) is None:
            raise JournalUnavailable(str(core.outage.error))
        await core.journal.wait(core.journal.position)

    async def close(self) -> None:
        """End every task and thread of this run. What is still owed stays owed: the journal has it."""
        self.core.is_draining = True
        await self._housekeeping.stop()
        await _cancelled(self._receiving)
        await self._session_receiver.close()
        await self._settler.stop()
        await self._outbox.stop()
        await self._dispatcher.close()
        await self._leases.stop()
        await self._background.stop()
        await self.core.timers.stop()
        self.core.is_closed = True


async def _cancelled(tasks: set[asyncio.Task[None]]) -> None:
    ending = set(tasks)
    for task in ending:
        task.cancel()
    if ending:
        await asyncio.wait(ending)
