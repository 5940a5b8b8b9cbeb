"""Events for the tests of journals, files as a dead process leaves them, and a look into a database behind our back."""

import asyncio
import os
import shutil
import sqlite3
import types
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Union, cast, get_args, get_origin

from hypothesis import strategies as st

from queue_runtime.journal.chain import record
from queue_runtime.journal.events import EVENT_TYPES, Event
from queue_runtime.journal.log import SqliteJournal
from queue_runtime.journal.message_events import AttemptStarted, Completed, Outgoing, Received, StepRecorded
from queue_runtime.journal.segments import Layout
from queue_runtime.journal.settings import JournalSettings
from queue_runtime.journal.shapes import field_types
from queue_runtime.journal.verify import Verdict, verify
from queue_runtime.journal.writer import GroupEnd, Writer

SEGMENT = "00000001.segment.sqlite"
SECRET = b"the body that nobody may see"


def started(number: int) -> Event:
    return AttemptStarted(f"pulls/{number}", number, 1, "run", "route", alone=False)


def step(number: int, size: int = 100) -> Event:
    return StepRecorded(f"pulls/{number}", number, 1, "step", os.urandom(size))


def received(number: int, body: bytes = SECRET * 20) -> Event:
    return Received(
        f"pulls/{number}", number, "pulls", f"m{number}", f"p{number}", f"octo/{number % 3}", None, 1, None, None, None,
        None, {"event": "pull_request"}, 2**60, 0, b"digest", "receipt", body,
    )  # fmt: skip


def life(number: int) -> tuple[Event, ...]:
    outgoing = Outgoing("m", "labels", None, None, None, {}, None, None, SECRET)
    return received(number), started(number), Completed(f"pulls/{number}", number, 1, None, (outgoing,))


async def write(folder: Path, *groups: Sequence[Event], settings: JournalSettings | None = None) -> None:
    """Write a journal, one commit a group, and close it."""
    journal = await SqliteJournal.open(folder, settings)
    for group in groups:
        await journal.wait(journal.append(group))
    await journal.close()


async def read(folder: Path) -> list[Event]:
    """Return every event that the engine would be given."""
    journal = await SqliteJournal.open(folder)
    try:
        return [cast("Event", event) async for _, event in journal.load()]
    finally:
        await journal.close()


async def prove(folder: Path, *, head_key: bytes | None = None, anchors: Sequence[GroupEnd] = ()) -> Verdict:
    """Verify a journal, off the loop: it reads the disk."""
    return await asyncio.to_thread(verify, folder, head_key=head_key, anchors=anchors)


async def write_foreign(folder: Path, kind: int) -> None:
    """Write a journal of one event that is known and one, at position 2, that a newer version may know."""
    await write(folder, [started(1)])
    head = (kind, 1, "pulls/2", "octo/2", None, 2, None, b"\x90")
    writer = Writer(folder / SEGMENT, JournalSettings())
    await writer.open()
    await writer.commit([(head, record((*head, None, None)), None)])
    await writer.close()


def files(folder: Path) -> list[str]:
    """Return what a journal's folder holds, without the logs of databases that are open."""
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(("-wal", "-shm")))


def image(folder: Path, name: str) -> Path:
    """Copy a journal, as if its process had died just now."""
    return shutil.copytree(folder, folder.with_name(name))


@contextmanager
def database(folder: Path, segment: int = 1) -> Generator[sqlite3.Connection]:
    """Open a segment as anybody with another SQLite tool would."""
    with closing(sqlite3.connect(Layout(folder).segment(segment), isolation_level=None)) as connection:
        yield connection


@contextmanager
def tampering(folder: Path, segment: int = 1) -> Generator[sqlite3.Connection]:
    """Open a segment as somebody who knows how to get around its triggers."""
    with database(folder, segment) as connection:
        triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        yield connection
        for _, sql in triggers:
            connection.execute(sql)


# --- any event that can be -------------------------------------------------------------------------------------------

_TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
_SQL_INTEGERS = st.integers(-(2**63) + 1, 2**63 - 1)
_SCALARS: dict[object, st.SearchStrategy[object]] = {
    str: _TEXT,
    int: st.integers(-(10**25), 10**25),  # the sequence numbers of SQS FIFO queues have 20 digits
    bool: st.booleans(),
    bytes: st.binary(max_size=300),
    type(None): st.none(),
}


def values(annotation: Any) -> st.SearchStrategy[object]:
    """Return a strategy for the values of a field."""
    origin, args = get_origin(annotation), get_args(annotation)
    if annotation in _SCALARS:
        return _SCALARS[annotation]
    if origin in (Union, types.UnionType):
        return st.one_of(*map(values, args))
    if origin is tuple and args[1:] == (...,):
        return st.lists(values(args[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*map(values, args))
    if origin is Mapping:
        return st.dictionaries(values(args[0]), values(args[1]), max_size=3)
    if issubclass(annotation, Enum):
        return st.sampled_from(list(annotation))
    assert is_dataclass(annotation) or issubclass(annotation, tuple), annotation
    return instances(cast("type", annotation))


def instances(cls: type) -> st.SearchStrategy[Any]:
    """Return a strategy for the instances of a dataclass; what is a column of its own fits SQLite."""
    columns = ("at", "attempt")
    return st.builds(
        cls, **{name: _SQL_INTEGERS if name in columns else values(kind) for name, kind in field_types(cls).items()}
    )


EVENTS: st.SearchStrategy[Event] = st.one_of(*map(instances, EVENT_TYPES))
