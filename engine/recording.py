"""Journals what somebody waits for: a step's result, a session's state. It lasts as long as an outage lasts."""

from __future__ import annotations

from collections.abc import Callable

from queue_runtime.engine.core import Core
from queue_runtime.engine.inputs import Input, SessionInput
from queue_runtime.engine.lanes import LaneKey
from queue_runtime.journal.errors import JournalUnavailable
from queue_runtime.journal.events import Event
from queue_runtime.providers.errors import ShutdownInProgress

__all__ = ["record", "record_events", "record_session"]


async def record(core: Core, key: str, given: Input) -> None:
    """Submit what was seen of a message, and return when it is durable.

    Raises:
        ShutdownInProgress: the engine has closed meanwhile; nothing was journaled.
    """
    await _durably(core, lambda: core.submit(key, given, is_awaited=True))


async def record_session(core: Core, lane: LaneKey, given: SessionInput) -> None:
    """Submit what was seen of a session, and return when it is durable.

    Raises:
        ShutdownInProgress: as of `record`.
    """
    await _durably(core, lambda: core.submit_session(lane, given))


async def record_events(core: Core, *events: Event) -> None:
    """Journal what was decided elsewhere, and return when it is durable.

    Raises:
        ShutdownInProgress: as of `record`.
    """
    await _durably(core, lambda: core.commit(events))


async def _durably(core: Core, submit: Callable[[], int | None]) -> None:
    while True:
        await core.outage.over()
        position = submit()
        if position is None and core.is_closed:
            operation = "journal anything more"
            raise ShutdownInProgress(operation)
        if position is None and core.outage.error is None:
            return  # it decides nothing
        if position is None:
            continue
        try:
            await core.journal.wait(position)
        except JournalUnavailable:
            continue  # said again, after the outage
        return
