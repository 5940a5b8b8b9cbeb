"""Opens a journal and goes on where it ended. Not a special path: the fold, the decider and `owed` do all of it."""

from __future__ import annotations

import logging
import os
import socket
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from queue_runtime.engine.core import Core
from queue_runtime.engine.inputs import Restarted, SessionEnded
from queue_runtime.engine.settings import EngineSettings
from queue_runtime.journal.errors import JournalUnavailable
from queue_runtime.journal.events import RunStarted
from queue_runtime.journal.invariants import Audit
from queue_runtime.journal.port import Journal
from queue_runtime.journal.state import EngineState, MessageState

__all__ = ["Recovered", "compare_with_fold", "library_version", "load", "perform_all", "recover", "resume", "snapshot"]

logger = logging.getLogger("queue_runtime.engine")


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a start found: did the run before it crash, how many messages were live, and how long all of it took."""

    after_crash: bool
    live: int
    seconds: float


async def recover(core: Core, settings: EngineSettings, receipts_survive: Mapping[str, bool]) -> Recovered:
    """Fold the journal, journal this run, and decide what the restart means for every live message.

    A message of a session is looked at after those behind it, so that one whose lock is lost hands back only what can
    still be handed back. Nothing is performed before all of it is durable.

    Args:
        core: takes the state over.
        settings: of this run.
        receipts_survive: by queue, whether a receipt of another process still settles; False for one not listed.

    Raises:
        JournalError: the journal cannot be read or written.
    """
    began = time.perf_counter()
    state = await load(core.journal)
    after_crash = state.run_id is not None
    core.adopt(state)
    core.run_id = uuid.uuid4().hex[:12]
    now = core.now()
    core.commit((_run_started(core.run_id, now, settings),))
    for message in sorted(state.messages.values(), key=_order, reverse=True):
        survive = receipts_survive.get(message.origin.queue, False)
        core.submit(message.key, Restarted(now, survive))
    for lane, session in tuple(state.sessions.items()):
        if session.locked_until is not None:
            core.submit_session(lane, SessionEnded(now, lost=True, why="the run that held it ended"))
    if core.outage.error is not None:
        raise JournalUnavailable(str(core.outage.error))
    await core.journal.wait(core.journal.position)
    return Recovered(after_crash, len(state.messages), time.perf_counter() - began)


async def resume(core: Core) -> None:
    """After a failed commit: fold what is durable, and go on from there with the outcomes that were seen meanwhile.

    Raises:
        JournalUnavailable: it still cannot be written.
    """
    await core.journal.recover()
    core.adopt(await load(core.journal))
    for key, given in core.outage.end():
        core.submit(key, given)
    perform_all(core)
    core.pump()
    logger.warning("the journal can be written again; going on at position %d", core.state.position)


def perform_all(core: Core) -> None:
    """Have everything performed that is owed and durable."""
    for key in tuple(core.state.messages):
        core.perform(key)
    core.wakeups.all()


async def load(journal: Journal) -> EngineState:
    """Fold a journal: its newest snapshot, and the events after it.

    Raises:
        JournalCorrupt: names the first position that is not what was written.
        UnknownEvent: a newer version of this project wrote an event that this one does not know.
    """
    state = EngineState()
    async for _, item in journal.load():
        if isinstance(item, EngineState):
            state = item
        else:
            state.apply(item)
    return state


async def snapshot(core: Core) -> None:
    """Spare the next start the history; without it that start only takes longer."""
    try:
        await core.journal.snapshot(core.state)
    except JournalUnavailable as error:
        logger.warning("no snapshot was stored, so the next start reads the whole journal: %s", error)


async def compare_with_fold(core: Core) -> None:
    """The debug setting: the live state has to be what the journal says, and the journal has to break no rule.

    Audited are the events since the newest snapshot, which is of the last stop in good order: so each is audited once.

    Raises:
        AssertionError: it is not; a fault of this library. Names the first event that breaks a rule.
    """
    await core.journal.wait(core.state.position)
    state, audit = EngineState(), Audit()
    async for position, item in core.journal.load():
        if isinstance(item, EngineState):
            state, audit = item, Audit(item)
        else:
            audit.see(position, item)
            state.apply(item)
    if audit.found:
        first = audit.found[0]
        msg = f"the journal breaks a rule at position {first.position}: {first.text} ({first.rule}); please report this"
        raise AssertionError(msg)
    if state != core.state:
        msg = f"the live state at position {core.state.position} is not the fold of the journal; please report this"
        raise AssertionError(msg)


def _order(message: MessageState) -> int:
    return message.order


def _run_started(run_id: str, now: int, settings: EngineSettings) -> RunStarted:
    return RunStarted(
        run_id=run_id,
        at=now,
        version=library_version(),
        settings_digest=settings.digest(),
        host=socket.gethostname(),
        pid=os.getpid(),
        window_us=round(settings.idempotency_window_s * 1_000_000),
    )


def library_version() -> str:
    """The installed version of queue-runtime; `0+unknown` when it runs from a tree that is not installed."""
    try:
        return version("queue-runtime")
    except PackageNotFoundError:
        return "0+unknown"
