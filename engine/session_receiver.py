"""Pulls messages through the sessions of a broker that has them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import TypeVar

from queue_runtime.engine.answers import as_queue_error
from queue_runtime.engine.background import Background
from queue_runtime.engine.core import Core
from queue_runtime.engine.credit import Credit
from queue_runtime.engine.inputs import LockLost, SessionEnded, SessionGranted
from queue_runtime.engine.intake import Intake
from queue_runtime.engine.lanes import LaneKey
from queue_runtime.engine.leases import Leases
from queue_runtime.engine.patience import Patience
from queue_runtime.engine.recording import record_session
from queue_runtime.engine.settings import EngineSettings
from queue_runtime.journal.events import LapseReason
from queue_runtime.journal.state import MessageState
from queue_runtime.providers.errors import SessionLockLost
from queue_runtime.providers.message import Delivery, QueueName
from queue_runtime.providers.port import HeldSession, Provider

__all__ = ["SessionReceiver"]

logger = logging.getLogger("queue_runtime.engine")

T = TypeVar("T")

_TICK_S = 0.02
_PARKED_TICK_S = 0.5
_MAX_PARKED = 1_000  # parked sessions that are held beside the working ones; beyond, they take receivers


class SessionReceiver:
    """Works broker sessions, several at a time. Each worker takes one session after the other.

    A session that is parked stays held, so that nobody is handed it over and over, and another worker takes its place.
    """

    def __init__(
        self,
        core: Core,
        provider: Provider,
        intake: Intake,
        credit: Credit,
        settings: EngineSettings,
        leases: Leases,
    ) -> None:
        self._core = core
        self._provider = provider
        self._intake = intake
        self._credit = credit
        self._settings = settings
        self._leases = leases
        self._interrupts: dict[LaneKey, asyncio.Event] = {}
        self._lost: set[LaneKey] = set()
        self._stopping = asyncio.Event()
        self._background = Background()
        self._parked = 0

    def start(self, queue: QueueName) -> None:
        """Begin to work the sessions of a queue."""
        for _ in range(self._settings.session_receivers):
            self._start_worker(queue)

    def _start_worker(self, queue: QueueName) -> None:
        self._background.start(self._run(queue), name=f"queue-runtime receives sessions of {queue}")

    async def ended(self) -> None:
        """Return when every worker has ended, after `stop`."""
        await self._background.ended()

    async def close(self) -> None:
        """End every worker now; the locks of their sessions run out."""
        await self._background.stop()

    def lost(self, queue: str, session_id: str) -> None:
        """The lock of a session could not be renewed: let go of it now."""
        lane = (queue, session_id)
        if lane in self._interrupts:
            self._lost.add(lane)
            self._interrupts[lane].set()

    def stop(self) -> None:
        """Accept no further session; those that are held are given back when nothing of them is under way."""
        self._stopping.set()
        for interrupt in self._interrupts.values():
            interrupt.set()

    async def _run(self, queue: QueueName) -> None:
        patience = Patience(self._core, queue)
        while not self._stopping.is_set():
            await self._core.outage.over()
            try:
                accept = self._provider.accept_session(queue, None, self._settings.receive_wait_s)
                session = await _unless(self._stopping, accept)
            except Exception as error:  # noqa: BLE001 - nobody else would read this queue
                await _unless(self._stopping, patience.failed(as_queue_error(self._provider.name, error)))
                continue
            patience.succeeded()
            if session is not None and await self._work(queue, session):
                return

    async def _work(self, queue: QueueName, session: HeldSession) -> bool:
        """Work a session until it is idle, lost or given back; True if another worker has this one's place by now."""
        lane = (str(queue), str(session.session_id))
        await self._let_go_of(lane)
        self._interrupts[lane] = asyncio.Event()
        lost: SessionLockLost | None = None
        is_replaced = False
        try:
            granted = SessionGranted(self._core.now(), *lane, session.locked_until)
            await record_session(self._core, lane, granted)
            self._leases.follow_session(queue, session)
            try:
                while not await self._receive(queue, session, lane):
                    is_replaced = await self._wait_while_parked(queue, lane, is_replaced=is_replaced)
            except SessionLockLost as error:
                lost = error
                self._lapse(lane)
            finally:
                self._leases.drop_session(*lane)
            ended = SessionEnded(self._core.now(), lost is not None, str(lost or "idle"))
            await record_session(self._core, lane, ended)
        finally:
            del self._interrupts[lane]
            self._lost.discard(lane)
        try:
            await session.close()
        except Exception as error:  # noqa: BLE001 - its lock ends anyhow
            why = as_queue_error(self._provider.name, error)
            logger.warning("session %s of %s could not be given back, its lock will run out: %s", *reversed(lane), why)
        return is_replaced

    async def _let_go_of(self, lane: LaneKey) -> None:
        """Wait for the worker that still takes the session for its own: the broker gave it away, so that lock is lost.

        Two that work one session would undo each other's leases.
        """
        while lane in self._interrupts:
            self.lost(*lane)
            await self._core.clock.sleep(_TICK_S)

    async def _wait_while_parked(self, queue: QueueName, lane: LaneKey, *, is_replaced: bool) -> bool:
        """Keep what is parked out of everybody's way; True if another worker was started meanwhile."""
        if not is_replaced and self._parked < _MAX_PARKED:
            self._start_worker(queue)
            is_replaced = True
        self._parked += 1
        try:
            while _is_parked(self._core, lane) and not self._interrupts[lane].is_set():
                await _unless(self._interrupts[lane], self._core.clock.sleep(_PARKED_TICK_S))
        finally:
            self._parked -= 1
        return is_replaced

    async def _receive(self, queue: QueueName, session: HeldSession, lane: LaneKey) -> bool:
        """Receive of a session until it is idle or given back; False if it is parked.

        Raises:
            SessionLockLost: the session is lost.
        """
        patience = Patience(self._core, queue)
        outages = self._core.outage.count
        interrupt = self._interrupts[lane]
        idle_since = self._core.now()
        while lane not in self._lost:
            # What was received and could not be journaled comes again with the session, before what is behind it.
            if self._stopping.is_set() or self._core.outage.count != outages:
                if not self._is_busy(lane):
                    return True
                await self._core.clock.sleep(_TICK_S)
                continue
            if _is_parked(self._core, lane):
                return False
            try:
                is_idle = await self._receive_some(session, lane, interrupt)
            except SessionLockLost:
                raise
            except Exception as error:  # noqa: BLE001 - the session is still held, and nobody else may read it
                await _unless(interrupt, patience.failed(as_queue_error(self._provider.name, error)))
                continue
            patience.succeeded()
            if not is_idle:
                idle_since = self._core.now()
            elif self._core.now() - idle_since >= self._settings.session_idle_s * 1_000_000:
                return True
        raise SessionLockLost(session.session_id, queue=lane[0])

    async def _receive_some(self, session: HeldSession, lane: LaneKey, interrupt: asyncio.Event) -> bool:
        """One receive, of no more than the session may have here; True if nothing came and nothing is under way."""
        most = self._settings.max_lane - self._core.lanes.depth(lane)
        if most <= 0:
            await self._core.clock.sleep(_TICK_S)
            return False
        room = await _unless(interrupt, self._credit.take(most))
        if room is None:
            return False
        try:
            wait_s = min(self._settings.receive_wait_s, self._settings.session_idle_s)
            deliveries: list[Delivery] = await _unless(interrupt, session.receive(room, wait_s)) or []
            self._intake.accept(deliveries, is_session=True)
        finally:
            self._credit.give(room)
        return not deliveries and not self._is_busy(lane)

    def _is_busy(self, lane: LaneKey) -> bool:
        return any(message.is_held or message.is_running or message.is_releasing for message in _of(self._core, lane))

    def _lapse(self, lane: LaneKey) -> None:
        """Everything held of a lost session is lost with it, tail first."""
        now = self._core.now()
        for message in sorted(_of(self._core, lane), key=lambda m: m.order, reverse=True):
            for copy in message.copies:
                self._core.submit(message.key, LockLost(now, copy.provider_id, LapseReason.SESSION_LOST))


def _of(core: Core, lane: LaneKey) -> list[MessageState]:
    return [message for message in core.state.messages.values() if message.lane == lane]


def _is_parked(core: Core, lane: LaneKey) -> bool:
    session = core.state.sessions.get(lane)
    return session is not None and session.parked_key is not None


async def _unless(event: asyncio.Event, coroutine: Coroutine[object, object, T]) -> T | None:
    """Await `coroutine`, but cancel it when `event` is set first, and return None."""
    working = asyncio.ensure_future(coroutine)
    stopping = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        if not working.done():
            working.cancel()
            await asyncio.wait((working,))
    return None if working.cancelled() else working.result()
