"""Pulls messages, never more than there is room for, and through broker sessions where the queue has them."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Coroutine
from typing import TypeVar

from queue_runtime.engine.answers import as_queue_error
from queue_runtime.engine.core import Core
from queue_runtime.engine.credit import Credit
from queue_runtime.engine.inputs import LockLost, SessionEnded, SessionGranted
from queue_runtime.engine.intake import Intake
from queue_runtime.engine.lanes import LaneKey
from queue_runtime.engine.leases import Leases
from queue_runtime.engine.recording import record_session
from queue_runtime.engine.settings import EngineSettings
from queue_runtime.journal.events import LapseReason
from queue_runtime.journal.state import MessageState
from queue_runtime.providers.errors import QueueError, SessionLockLost
from queue_runtime.providers.message import Delivery, QueueName
from queue_runtime.providers.port import Address, HeldSession, Provider

__all__ = ["Receiver", "SessionReceiver"]

logger = logging.getLogger("queue_runtime.engine")

T = TypeVar("T")

_TICK_S = 0.02
_FIRST_RETRY_S = 0.5
_LONGEST_RETRY_S = 30.0


class _Patience:
    """Waits longer from failure to failure of the broker, and starts over after a success."""

    def __init__(self, core: Core, queue: str) -> None:
        self._core = core
        self._queue = queue
        self._random = random.Random()  # noqa: S311 - jitter, not a secret
        self._failures = 0

    def succeeded(self) -> None:
        self._failures = 0

    async def failed(self, error: QueueError) -> None:
        self._failures += 1
        delay_s = min(_FIRST_RETRY_S * 2 ** min(self._failures - 1, 16), _LONGEST_RETRY_S)
        delay_s = error.retry_after_s or delay_s * self._random.uniform(0.8, 1.2)
        level = logging.WARNING if error.transient else logging.ERROR
        logger.log(level, "receiving from %s failed, and is tried again in %.1f s: %s", self._queue, delay_s, error)
        await self._core.clock.sleep(delay_s)


class Receiver:
    """Receives from one queue without sessions of the broker. `run` ends when it is cancelled."""

    def __init__(
        self, core: Core, provider: Provider, intake: Intake, credit: Credit, settings: EngineSettings
    ) -> None:
        self._core = core
        self._provider = provider
        self._intake = intake
        self._credit = credit
        self._settings = settings

    async def run(self, queue: QueueName) -> None:
        """Receive for ever. Cancelling loses nothing: the provider gives back what the broker hands over meanwhile."""
        source = Address(queue)
        patience = _Patience(self._core, queue)
        while True:
            await self._core.outage.over()
            room = await self._credit.take(self._settings.receive_batch)
            try:
                deliveries = await self._provider.receive(source, room, self._settings.receive_wait_s)
            except Exception as error:  # noqa: BLE001 - nobody else would read this queue
                await patience.failed(as_queue_error(self._provider.name, error))
                continue
            else:
                patience.succeeded()
                self._intake.accept(deliveries)
            finally:
                self._credit.give(room)


class SessionReceiver:
    """Works one broker session after the other. An engine runs several. `run` ends after `stop`."""

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

    async def run(self, queue: QueueName) -> None:
        """Accept sessions and work them until `stop`."""
        patience = _Patience(self._core, queue)
        while not self._stopping.is_set():
            await self._core.outage.over()
            try:
                accept = self._provider.accept_session(queue, None, self._settings.receive_wait_s)
                session = await _unless(self._stopping, accept)
            except Exception as error:  # noqa: BLE001 - nobody else would read this queue
                await _unless(self._stopping, patience.failed(as_queue_error(self._provider.name, error)))
                continue
            patience.succeeded()
            if session is not None:
                await self._work(queue, session)

    async def _work(self, queue: QueueName, session: HeldSession) -> None:
        lane = (str(queue), str(session.session_id))
        granted = SessionGranted(self._core.now(), *lane, session.locked_until)
        await record_session(self._core, lane, granted)
        self._leases.follow_session(queue, session)
        self._interrupts[lane] = asyncio.Event()
        lost: SessionLockLost | None = None
        try:
            await self._receive(queue, session, lane)
        except SessionLockLost as error:
            lost = error
            self._lapse(lane)
        finally:
            self._leases.drop_session(*lane)
            del self._interrupts[lane]
            self._lost.discard(lane)
        await record_session(self._core, lane, SessionEnded(self._core.now(), lost is not None, str(lost or "idle")))
        try:
            await session.close()
        except Exception as error:  # noqa: BLE001 - its lock ends anyhow
            why = as_queue_error(self._provider.name, error)
            logger.warning("session %s of %s could not be given back, its lock will run out: %s", *reversed(lane), why)

    async def _receive(self, queue: QueueName, session: HeldSession, lane: LaneKey) -> None:
        patience = _Patience(self._core, queue)
        outages = self._core.outage.count
        interrupt = self._interrupts[lane]
        idle_since = self._core.now()
        while lane not in self._lost:
            # What was received and could not be journaled comes again with the session, before what is behind it.
            if self._stopping.is_set() or self._core.outage.count != outages:
                if not self._is_busy(lane):
                    return
                await self._core.clock.sleep(_TICK_S)
                continue
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
                return
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

    def _of(self, lane: LaneKey) -> list[MessageState]:
        return [message for message in self._core.state.messages.values() if message.lane == lane]

    def _is_busy(self, lane: LaneKey) -> bool:
        return any(message.is_held or message.is_running or message.is_releasing for message in self._of(lane))

    def _lapse(self, lane: LaneKey) -> None:
        """Everything held of a lost session is lost with it, tail first."""
        now = self._core.now()
        for message in sorted(self._of(lane), key=lambda m: m.order, reverse=True):
            for copy in message.copies:
                self._core.submit(message.key, LockLost(now, copy.provider_id, LapseReason.SESSION_LOST))


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
