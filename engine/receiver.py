"""Pulls messages, never more than there is room for, and through broker sessions where the queue has them."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Coroutine

from queue_runtime.engine.core import Core
from queue_runtime.engine.credit import Credit
from queue_runtime.engine.inputs import LockLost, SessionEnded, SessionGranted
from queue_runtime.engine.intake import Intake
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
            room = await self._credit.take()
            try:
                deliveries = await self._provider.receive(source, room, self._settings.receive_wait_s)
            except QueueError as error:
                await patience.failed(error)
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
        self._lost: dict[tuple[str, str], asyncio.Event] = {}
        self._stopping = asyncio.Event()

    def lost(self, queue: str, session_id: str) -> None:
        """The lock of a session could not be renewed: let go of it now."""
        event = self._lost.get((queue, session_id))
        if event is not None:
            event.set()

    def stop(self) -> None:
        """Accept no further session; those that are held are given back when nothing of them is under way."""
        self._stopping.set()

    async def run(self, queue: QueueName) -> None:
        """Accept sessions and work them until `stop`."""
        patience = _Patience(self._core, queue)
        while not self._stopping.is_set():
            await self._core.outage.over()
            try:
                accept = self._provider.accept_session(queue, None, self._settings.receive_wait_s)
                session = await self._unless_stopped(accept)
            except QueueError as error:
                await patience.failed(error)
                continue
            patience.succeeded()
            if session is not None:
                await self._work(queue, session)

    async def _unless_stopped(self, accept: Coroutine[object, object, HeldSession | None]) -> HeldSession | None:
        accepting = asyncio.ensure_future(accept)
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait((accepting, stopping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
        if not accepting.done():
            accepting.cancel()
            await asyncio.wait((accepting,))
        return None if accepting.cancelled() else accepting.result()

    async def _work(self, queue: QueueName, session: HeldSession) -> None:
        lane = (str(queue), str(session.session_id))
        granted = SessionGranted(self._core.now(), *lane, session.locked_until)
        await record_session(self._core, lane, granted)
        self._leases.follow_session(queue, session)
        self._lost[lane] = asyncio.Event()
        lost: SessionLockLost | None = None
        try:
            await self._receive(session, lane)
        except SessionLockLost as error:
            lost = error
            self._lapse(lane)
        finally:
            self._leases.drop_session(*lane)
            del self._lost[lane]
        self._core.submit_session(lane, SessionEnded(self._core.now(), lost is not None, str(lost or "idle")))
        try:
            await session.close()
        except QueueError as error:
            logger.warning(
                "session %s of %s could not be given back, its lock will run out: %s", *reversed(lane), error
            )

    async def _receive(self, session: HeldSession, lane: tuple[str, str]) -> None:
        idle_since = self._core.now()
        wait_s = min(self._settings.receive_wait_s, self._settings.session_idle_s)
        while True:
            if self._lost[lane].is_set():
                raise SessionLockLost(session.session_id, queue=lane[0])
            if self._stopping.is_set():
                if not self._is_busy(lane):
                    return
                await self._core.clock.sleep(0.01)
                continue
            room = await self._credit.take()
            try:
                deliveries: list[Delivery] = await session.receive(room, wait_s)
                self._intake.accept(deliveries, is_session=True)
            finally:
                self._credit.give(room)
            if deliveries or self._is_busy(lane):
                idle_since = self._core.now()
            elif self._core.now() - idle_since >= self._settings.session_idle_s * 1_000_000:
                return

    def _of(self, lane: tuple[str, str]) -> list[MessageState]:
        return [message for message in self._core.state.messages.values() if message.lane == lane]

    def _is_busy(self, lane: tuple[str, str]) -> bool:
        return any(message.is_held or message.is_running or message.is_releasing for message in self._of(lane))

    def _lapse(self, lane: tuple[str, str]) -> None:
        """Everything held of a lost session is lost with it, tail first."""
        now = self._core.now()
        for message in sorted(self._of(lane), key=lambda m: m.order, reverse=True):
            for copy in message.copies:
                self._core.submit(message.key, LockLost(now, copy.provider_id, LapseReason.SESSION_LOST))
