"""Takes over what journals beside this one left: fewer workers than before, or a replaced pod on the same volume.

Taken are messages that have an outcome, with what is left of their outbox and settlement, and scheduled sends. Not
taken is what has no outcome: its broker delivers it again, to whoever receives then, and its attempts and steps begin
anew. The idempotency window stays where it is too.

What is adopted is durable here before the other journal is told that it is, so that a crash in between loses nothing:
the next start finds it known here, and only tells the other journal.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

from queue_runtime.engine.recovery import load
from queue_runtime.engine.settings import EngineSettings
from queue_runtime.journal.errors import JournalError, JournalOwned
from queue_runtime.journal.events import Adopted, Event, Forgotten, Received, SendCancelled
from queue_runtime.journal.log import SqliteJournal
from queue_runtime.journal.port import Journal
from queue_runtime.journal.segments import Layout
from queue_runtime.journal.settled_keys import key_digest
from queue_runtime.journal.state import EngineState, MessageState, Outcome

__all__ = ["adopt_siblings", "events_of", "open_journal"]

logger = logging.getLogger("queue_runtime.engine")

_TRIES = 25  # 5 s: an adoption reads what is live and writes a few rows
_PAUSE_S = 0.2


async def open_journal(settings: EngineSettings) -> SqliteJournal:
    """Open the engine's journal. Where siblings adopt, one of them may be looking at it: it lets go soon.

    Raises:
        JournalOwned: another process has it open.
        JournalError: it cannot be opened.
    """
    for _ in range(_TRIES if settings.adopt_siblings else 0):
        try:
            return await _open(settings.journal, settings)
        except JournalOwned:
            await asyncio.sleep(_PAUSE_S)
    return await _open(settings.journal, settings)


async def _open(folder: Path, settings: EngineSettings) -> SqliteJournal:
    return await SqliteJournal.open(folder, settings.journal_settings())


async def adopt_siblings(journal: Journal, settings: EngineSettings, now: int) -> None:
    """Adopt from every journal in the folder of this one's folder that nobody has open. Durable when this returns.

    A journal that cannot be read, or told, is left alone and reported; its work is adopted by a later start.

    Args:
        journal: this engine's, before its run has begun.
        settings: `journal` is its folder, `queues` says whose messages are taken; scheduled sends are taken all.
        now: microseconds since 1970, UTC.

    Raises:
        JournalError: this engine's own journal cannot be read or written.
    """
    folders = await asyncio.to_thread(_siblings, settings.journal)
    state = await load(journal) if folders else EngineState()
    for folder in folders:
        try:
            other = await _open(folder, settings)
        except JournalOwned:
            continue  # it is at work
        except (JournalError, OSError) as error:
            logger.warning("journal %s beside this one is not adopted from: %s", folder, error)
            continue
        try:
            left = await _left(other, folder)
            if left is not None:
                await _adopt(journal, state, _Sibling(folder, other, left), settings, now)
        finally:
            await _close(other, folder)


class _Sibling:
    """A journal beside this one, under its lock."""

    def __init__(self, folder: Path, journal: SqliteJournal, state: EngineState) -> None:
        self.folder = folder
        self.journal = journal
        self.state = state


async def _adopt(journal: Journal, state: EngineState, sibling: _Sibling, settings: EngineSettings, now: int) -> None:
    """Journal here what is new here, and then there what is known here."""
    here: list[Event] = []
    there: list[Event] = []
    why = f"adopted by {settings.journal.name}"
    for message in _with_outcome(sibling.state, settings.queues):
        if _is_done_here(state, message):
            there.append(Forgotten(message.key, now, why))
        elif message.key in state.messages:
            logger.warning(
                "%s of the journal %s is not adopted: it is at work here, and has no such outcome yet",
                message.key,
                sibling.folder,
            )
        else:
            here += events_of(message, sibling.folder.name, now)
            there.append(Forgotten(message.key, now, why))
    for key, scheduled in sibling.state.scheduled.items():
        if key not in state.scheduled:
            here.append(replace(scheduled, at=now))
        there.append(SendCancelled(key, now, why))
    if not there:
        return
    await journal.wait(journal.append(here))
    for event in here:
        state.apply(event)
    try:
        await sibling.journal.wait(sibling.journal.append(there))
    except JournalError as error:
        logger.warning("journal %s could not be told what was adopted from it: %s", sibling.folder, error)
        return
    logger.warning("took %d messages and scheduled sends over from the journal %s", len(there), sibling.folder)


def _with_outcome(state: EngineState, queues: Collection[str]) -> Iterator[MessageState]:
    for message in state.messages.values():
        if message.outcome is not None and message.origin.queue in queues:
            yield message


def _is_done_here(state: EngineState, message: MessageState) -> bool:
    """Whether the same end is known here: after an adoption that was interrupted, or after a run of our own."""
    known = state.messages.get(message.key)
    if known is not None:
        return known.outcome is message.outcome
    return message.outcome is Outcome.COMPLETED and state.settled.find(key_digest(message.key)) is not None


def events_of(message: MessageState, source: str, now: int) -> tuple[Event, Event]:
    """Return the events that put a message which has an outcome in another journal where it stands in `source`."""
    return (
        _origin(message, now),
        Adopted(
            key=message.key,
            at=now,
            source=source,
            attempt=message.attempt,
            route=message.route,
            outcome=message.outcome or Outcome.COMPLETED,
            reason=message.reason,
            description=message.description,
            sent=message.sent,
            history=message.history,
            outgoing=message.outgoing,
            copies=message.copies,
        ),
    )


def _origin(message: MessageState, now: int) -> Received:
    """What brought the message, as far as it is known: of a duplicate of a settled message only its copy is."""
    origin = message.origin
    if isinstance(origin, Received):
        return replace(origin, at=now)
    return Received(
        key=origin.key,
        at=now,
        queue=origin.queue,
        message_id=origin.message_id,
        provider_id=origin.provider_id,
        session_id=origin.session_id,
        sequence=None,
        delivery_count=origin.delivery_count,
        enqueued_at=None,
        expires_at=None,
        correlation_id=None,
        content_type=None,
        attributes={},
        locked_until=origin.locked_until,
        suspect_until=0,
        body_digest=origin.body_digest,
        receipt=origin.receipt,
        body=b"",
    )


async def _left(journal: SqliteJournal, folder: Path) -> EngineState | None:
    try:
        return await load(journal)
    except JournalError as error:
        logger.warning("journal %s beside this one is not adopted from: %s", folder, error)
        return None


async def _close(journal: SqliteJournal, folder: Path) -> None:
    try:
        await journal.close()
    except JournalError as error:
        logger.warning("journal %s beside this one was not closed in good order: %s", folder, error)


def _siblings(folder: Path) -> list[Path]:
    """The journals in the folder of this one's folder. A link is none: who can move it could hand us any work."""
    own = folder.resolve()
    return [
        path
        for path in sorted(own.parent.iterdir())
        if path != own and not path.is_symlink() and path.is_dir() and Layout(path).lock.is_file() and _segments(path)
    ]


def _segments(folder: Path) -> list[Path]:
    try:
        return Layout(folder).segments()
    except PermissionError:  # of another user
        return []
