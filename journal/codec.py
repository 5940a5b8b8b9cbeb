"""Between an event and the row that stores it.

What people query is a column of its own: key, session, attempt, instant, error kind. The fields that carry a sender's
bytes become the row's body. The rest is a msgpack array in the order of the fields, so a field may never move: a new
shape is a new `VERSION`, and an upcaster from the version before it in `UPCASTERS`.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from queue_runtime.journal.bodies import PackedBody, body_digest, pack_body, unpack_body
from queue_runtime.journal.chain import Row, record
from queue_runtime.journal.errors import EventRefused, JournalCorrupt, UnknownEvent
from queue_runtime.journal.event_shape import EventShape, Stored, pack_fields
from queue_runtime.journal.events import EVENT_TYPES, AttemptStarted, Duplicate, Event, Received
from queue_runtime.journal.plain import unpack
from queue_runtime.journal.shapes import items_of

__all__ = ["CODEC", "UPCASTERS", "Codec", "Draft", "Encoded", "Ending", "Stored", "Upcaster", "ending"]

Encoded: TypeAlias = tuple[Row, bytes]
"""A row, and the record of it that the hash chain covers."""

Draft: TypeAlias = tuple[
    tuple[int, int, str | None, str | None, int | None, int, str | None, bytes], bytes, bytes | None
]
"""The columns of a row before the body's; the record of a row that has no body, else nothing; the body as it came."""

Ending: TypeAlias = tuple[int | None, bytes | None, int, bytes | None]
"""The columns of a row from the body's form on: form, digest, checksum, body."""

Upcaster: TypeAlias = Callable[[Stored], Stored]


def _with_unknown_body(stored: Stored) -> Stored:
    *before, receipt = stored.fields
    return stored._replace(fields=(*before, b"", receipt))


def _without_sender(stored: Stored) -> Stored:
    return stored._replace(fields=(*stored.fields, None, 0, 0))


def _with_nothing_more(stored: Stored) -> Stored:
    return stored._replace(fields=(*stored.fields, None))


UPCASTERS: Mapping[tuple[int, int], Upcaster] = {
    (AttemptStarted.KIND, 1): _with_nothing_more,
    (Duplicate.KIND, 1): _with_unknown_body,
    (Received.KIND, 1): _without_sender,
    (Received.KIND, 2): _with_nothing_more,
}
"""By kind and version: a pure function from that version to the next. Stored rows are never rewritten."""

_FIRST, _END = -(1 << 63), 1 << 63  # SQLite's integers have 64 bits


class Codec:
    """Encodes and decodes events of the given types. Not for several threads at once."""

    def __init__(self, event_types: Sequence[type[Event]], upcasters: Mapping[tuple[int, int], Upcaster]) -> None:
        """Take the types in their present version, and the steps that lead to it."""
        self._shapes = {cls: EventShape(cls) for cls in event_types}
        self._by_kind = {shape.kind: shape for shape in self._shapes.values()}
        self._upcasters = upcasters

    def encode(self, event: Event) -> Encoded:
        """Return the row of an event and its record.

        Raises:
            EventRefused: a value is of a type or range that no journal holds; the caller's fault.
        """
        draft = self.draft(event)
        end, covered = ending(draft, None if draft[2] is None else pack_body(draft[2]))
        return (*draft[0], *end), covered

    def draft(self, event: Event, max_bytes: int = _END) -> Draft:
        """Return all of the row of an event that does not need its body packed: packing takes longer than all of that.

        Raises:
            EventRefused: as of `encode`; or it takes more than `max_bytes` with its body as it came.
        """
        shape = self._shapes.get(type(event))
        if shape is None:
            msg = f"{type(event).__name__} is no event of this journal"
            raise EventRefused(msg)
        try:
            values = shape.values(event)
            columns = shape.columns((*values, None))
            head = (shape.kind, shape.version, *columns, pack_fields(values[shape.column_count :]))
            body = None if shape.body is None else _checked(shape.body(event))
            draft: Draft = head, record((*head, None, None)) if body is None else b"", body
            signature = shape.signature(values)
            if signature not in shape.proven:
                self._prove(event, draft)
                shape.proven.add(signature)
        except (TypeError, ValueError, OverflowError, JournalCorrupt) as error:
            msg = f"{type(event).__name__} cannot be stored: {error}"
            raise EventRefused(msg) from error
        attempt, at = columns[2], columns[3]
        if not _FIRST <= at < _END or (attempt and not _FIRST <= attempt < _END):
            msg = f"{type(event).__name__} cannot be stored: an instant or attempt beyond 63 bits"
            raise EventRefused(msg)
        size = len(draft[1]) if body is None else len(head[-1]) + len(body)
        if size > max_bytes:
            msg = (
                f"{type(event).__name__} takes {size} bytes and the journal up to {max_bytes}; "
                "raise max_event_bytes, or let the message carry a reference to its body"
            )
            raise EventRefused(msg)
        return draft

    def _prove(self, event: Event, draft: Draft) -> None:
        """What was never written before must prove that it can be read."""
        end, _ = ending(draft, None if draft[2] is None else pack_body(draft[2]))
        if self.decode((*draft[0], *end), 0) != event:
            msg = "it would not come back equal"
            raise ValueError(msg)

    def decode(self, row: Row, position: int) -> Event:
        """Return the event of the row stored at `position`, brought up to its present version.

        Raises:
            UnknownEvent: a newer version of this project wrote it.
            JournalCorrupt: the row is not what `encode` made.
        """
        kind, version, key, session, attempt, at, error_kind, data, form, _, _, body = row
        shape = self._by_kind.get(kind)
        if shape is None or version > shape.version:
            raise UnknownEvent(kind, version)
        try:
            if body is not None:
                body = unpack_body(form, body)
            elif form is not None:
                body = b""  # it was left out when its segment was rewritten
            stored = Stored(key, session, attempt, at, error_kind, body, items_of(unpack(data)))
            for step in range(version, shape.version):
                stored = self._upcaster(kind, step)(stored)
            return shape.build(stored)
        except (ValueError, TypeError) as error:
            raise JournalCorrupt(position, f"the event does not decode: {error}") from error

    def _upcaster(self, kind: int, version: int) -> Upcaster:
        step = self._upcasters.get((kind, version))
        if step is None:
            raise UnknownEvent(kind, version)
        return step


def _checked(body: object) -> bytes | None:
    if body is not None and not isinstance(body, bytes):
        msg = f"a body of type {type(body).__name__}"
        raise TypeError(msg)
    return body


def ending(draft: Draft, packed: PackedBody | None) -> tuple[Ending, bytes]:
    """Return what the row of a draft lacks, with its packed body if it has one, and the record of the whole row."""
    head, covered, _ = draft
    if packed is None:
        return (None, None, zlib.crc32(covered), None), covered
    form, body = packed
    digest = body_digest(body)
    covered = record((*head, form, digest))
    return (form, digest, zlib.crc32(covered), body), covered


CODEC = Codec(EVENT_TYPES, UPCASTERS)
"""The codec of this version's events."""
