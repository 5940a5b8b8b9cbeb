"""Keeps memory and starts small while an engine runs: recent keys go into key files, and the state into a snapshot.

Nothing is lost without it: whatever does not get done here, by a crash or a full disk, is done by the next round.
"""

from __future__ import annotations

import asyncio
import logging

from queue_runtime.engine.core import Core
from queue_runtime.engine.settings import EngineSettings
from queue_runtime.journal.errors import JournalUnavailable
from queue_runtime.journal.events import KeysSealed, KeysSealing

__all__ = ["Housekeeping"]

logger = logging.getLogger("queue_runtime.engine")

_HOUR_S = 3_600.0
_RETRY_S = 10.0


class Housekeeping:
    """One task beside the engine. It is woken by commits, and every hour in which something was journaled."""

    def __init__(self, core: Core, settings: EngineSettings) -> None:
        self._core = core
        self._recent_keys = settings.recent_keys
        self._every = settings.snapshot_every_events
        self._snapshot_at = 0
        self._due = asyncio.Event()
        self._is_resting = False  # after a failure, until it is tried again
        self._writing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        core.journal.on_commit(self._committed)

    def start(self) -> None:
        """After the recovery: go on with what the run before this one did not finish."""
        core = self._core
        self._snapshot_at = core.state.position
        settled = core.state.settled
        for after, until in core.journal.keys.gaps(settled.sealed_until, self._since()):
            logger.warning(
                "the key files of positions %d to %d are missing: what was completed then is run again "
                "if it is delivered again",
                after + 1,
                until,
            )
        if settled.batch is not None:
            self._due.set()
        self._task = asyncio.get_running_loop().create_task(self._run(), name="queue-runtime housekeeping")
        core.wakeups.later(_HOUR_S, self._hour_passed)

    def _since(self) -> int:
        return self._core.now() - self._core.state.window_us

    def _committed(self, durable: int, error: BaseException | None) -> None:
        is_due = durable - self._snapshot_at >= self._every or self._are_keys_full()
        if is_due and error is None and not self._is_resting:
            self._due.set()

    def _are_keys_full(self) -> bool:
        settled = self._core.state.settled
        return settled.batch is None and len(settled.recent) >= self._recent_keys

    def _hour_passed(self) -> None:
        if self._core.state.position > self._snapshot_at:
            self._due.set()
        self._core.wakeups.later(_HOUR_S, self._hour_passed)

    async def _run(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                await self._round()
                self._due.clear()  # what was due meanwhile is done; what is due since then the next commit says
            except JournalUnavailable as error:
                logger.warning("housekeeping could not be done and is tried again in %g s: %s", _RETRY_S, error)
                self._is_resting = True
                self._core.wakeups.later(_RETRY_S, self._rested)

    def _rested(self) -> None:
        self._is_resting = False
        self._due.set()

    async def _round(self) -> None:
        """Seal what is due, then store the state, which is small by then.

        Raises:
            JournalUnavailable: something could not be written; what was done so far stands.
        """
        core = self._core
        await core.outage.over()
        if core.state.settled.batch is None and core.state.settled.recent:
            self._commit(KeysSealing(core.now(), len(core.state.settled.recent)))
        await core.journal.wait(core.state.position)
        batch = core.state.settled.batch
        if batch is not None:
            await core.journal.keys.seal(batch)
            self._commit(KeysSealed(core.now(), batch.until))
            await core.journal.wait(core.state.position)
            await core.journal.keys.compact(self._since())
        await core.outage.over()
        async with self._writing:
            position = core.state.position
            await core.journal.snapshot(core.state)
            self._snapshot_at = position

    def _commit(self, event: KeysSealing | KeysSealed) -> None:
        if self._core.commit((event,)) is None:
            raise JournalUnavailable(str(self._core.outage.error))

    async def stop(self) -> None:
        """End; a snapshot that is being written is finished first. Twice is harmless."""
        if self._task is not None:
            async with self._writing:
                self._task.cancel()
            await asyncio.wait([self._task])
            if not self._task.cancelled() and (error := self._task.exception()) is not None:
                logger.critical("housekeeping ended, which is a fault of this library", exc_info=error)
            self._task = None
