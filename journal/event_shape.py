"""How the events of one type are taken apart and put together: worked out once, plain calls afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import Enum
from operator import attrgetter, itemgetter
from typing import NamedTuple, TypeAlias, cast

from queue_runtime.journal.adopted import Adopted
from queue_runtime.journal.engine_events import SendScheduled, SessionStateSet
from queue_runtime.journal.events import Event
from queue_runtime.journal.message_events import Completed, Outgoing, Received, StepRecorded
from queue_runtime.journal.message_state import AttemptRecord
from queue_runtime.journal.plain import packer, unpack
from queue_runtime.journal.shapes import Rebuild, field_types, items_of, rebuilder

__all__ = ["EventShape", "Stored"]


class Stored(NamedTuple):
    """An event taken apart, as its row holds it; what an upcaster turns into the same of the next version."""

    key: str | None
    session: str | None
    attempt: int | None
    at: int
    error_kind: str | None
    body: bytes | None
    fields: tuple[object, ...]  # every field that has no place above, in the order of the dataclass


Columns: TypeAlias = tuple[str | None, str | None, int | None, int, str | None]
"""Key, session, attempt, instant, kind of error."""

Taker: TypeAlias = Callable[[Event], bytes | None]
Giver: TypeAlias = Callable[[object, bytes | None], object]

_COLUMNS = ("key", "session_id", "attempt", "at", "error_kind")  # the first places of `Stored`
_BODY_FIELDS = {Received.KIND: "body", StepRecorded.KIND: "result", SessionStateSet.KIND: "state"}
_SCALARS = (str, int, bool, bytes, str | None, int | None, bytes | None)


class EventShape:
    """One event type: which field is stored where, and what it must be when it comes back."""

    def __init__(self, cls: type[Event]) -> None:
        """Work it out from the fields of `cls`."""
        types = field_types(cls)
        body_field = _BODY_FIELDS.get(cls.KIND)
        rest = [name for name in types if name not in _COLUMNS and name != body_field]
        places = [*_COLUMNS, body_field, *rest]
        columns = [name for name in _COLUMNS if name in types]
        self.kind = cls.KIND
        self.version = cls.VERSION
        self.values = _values_of([*columns, *rest])
        """Take the values of an event that are not its body: first those that are columns, then the others."""
        self.column_count = len(columns)
        places_or_none = (columns.index(name) if name in types else -1 for name in _COLUMNS)
        self.columns = cast("Callable[[tuple[object, ...]], Columns]", itemgetter(*places_or_none))
        """Pick every column from the values and a None after them, which stands for fields that the event has not."""
        self._within = [len(columns) + place for place, name in enumerate(rest) if not _is_scalar(types[name])]
        self.body: Taker | None = attrgetter(body_field) if body_field else None
        self._outgoing: tuple[int, Giver] | None = None
        if cls.KIND in _OUTGOING:
            name, self.body, give = _OUTGOING[cls.KIND]
            self._outgoing = list(types).index(name), give
        self._make = cast("Callable[..., Event]", cls)
        self._in_order = itemgetter(*map(places.index, types))
        self._field_count = len(rest)
        self._rebuild = [rebuilder(annotation, _SPECIAL) for annotation in types.values()]
        self._deep = [place for place, annotation in enumerate(types.values()) if annotation not in _SCALARS]
        self._known: set[tuple[type, ...]] = set()
        self.proven: set[tuple[object, ...]] = set()
        """Signatures of events that were seen to come back equal."""

    def signature(self, values: tuple[object, ...]) -> tuple[object, ...]:
        """Return the types of values and of what is in them: if one event comes back, so do all with the same."""
        types = tuple(map(type, values))
        for place in self._within:
            if value := values[place]:
                types += (_types_within(value),)
        return types

    def build(self, stored: Stored) -> Event:
        """Return the event that was taken apart.

        Raises:
            ValueError, TypeError: a value is missing or not of its field's type.
        """
        if len(stored.fields) != self._field_count:
            msg = f"{len(stored.fields)} values for {self._field_count} fields"
            raise ValueError(msg)
        values: list[object] = list(self._in_order((*stored[:6], *stored.fields)))
        types = tuple(map(type, values))
        if types in self._known:  # scalars of these types are right; what holds values of its own is looked into again
            for place in self._deep:
                values[place] = self._rebuild[place](values[place])
        else:
            values = [rebuild(value) for rebuild, value in zip(self._rebuild, values, strict=True)]
            self._known.add(types)
        if self._outgoing is not None:
            place, give = self._outgoing
            values[place] = give(values[place], stored.body)
        return self._make(*values)


def _values_of(names: list[str]) -> Callable[[Event], tuple[object, ...]]:
    """As `attrgetter(*names)`, which returns no tuple for fewer than two names."""
    if len(names) > 1:
        return attrgetter(*names)
    getters = [attrgetter(name) for name in names]
    return lambda event: tuple(get(event) for get in getters)


_MAPPINGS = (dict, Mapping)  # dict first: to ask a protocol takes ten times as long


def _is_scalar(annotation: object) -> bool:
    return annotation in _SCALARS or (isinstance(annotation, type) and issubclass(annotation, Enum))


def _types_within(value: object) -> object:
    """Return the types of the entries of a mapping or a sequence, each once; of a scalar nothing."""
    if isinstance(value, tuple):
        return frozenset(map(_types_of_parts, cast("tuple[object, ...]", value)))
    if isinstance(value, _MAPPINGS):
        entries = cast("Mapping[object, object]", value)
        return frozenset(map(type, entries)), frozenset(map(type, entries.values()))
    return _types_of_parts(value)


def _types_of_parts(entry: object) -> object:
    if isinstance(entry, tuple):
        return tuple(map(type, cast("tuple[object, ...]", entry)))
    if isinstance(entry, Outgoing):
        return (type(entry.body), _types_within(entry.attributes), *map(type, _outgoing_values(entry)))
    return type(entry)


# --- outgoing messages: their bodies are kept in the row's body, so that they can be destroyed without the rest ------

_outgoing_types = {name: annotation for name, annotation in field_types(Outgoing).items() if name != "body"}
_outgoing_values = attrgetter(*_outgoing_types)
_record_values = attrgetter(*field_types(AttemptRecord))
_outgoing_rebuild = [rebuilder(annotation, {}) for annotation in _outgoing_types.values()]


def _without_body(value: object) -> object:
    """Rebuild an outgoing message whose body is still to be given."""
    values = [rebuild(item) for rebuild, item in zip(_outgoing_rebuild, items_of(value), strict=True)]
    return cast("Callable[..., Outgoing]", Outgoing)(*values, body=b"")


_SPECIAL: dict[object, Rebuild] = {Outgoing: _without_body}


def plain_value(value: object) -> object:
    """Turn what msgpack does not know into what it does, without bodies.

    Raises:
        TypeError: it is nothing that events hold.
    """
    if isinstance(value, Outgoing):
        return _outgoing_values(value)
    if isinstance(value, Enum):
        return cast("object", value.value)
    if isinstance(value, AttemptRecord):
        return _record_values(value)
    msg = f"a value of type {type(value).__name__}"
    raise TypeError(msg)


pack_fields = packer(plain_value)
"""Pack what `EventShape.fields` returned."""


def _take_one(event: Event) -> bytes | None:
    return cast("SendScheduled", event).message.body


def _give_one(message: object, body: bytes | None) -> object:
    return replace(cast("Outgoing", message), body=_required(body))


def _take_all(event: Event) -> bytes | None:
    outgoing = cast("Completed | Adopted", event).outgoing
    return pack_fields([message.body for message in outgoing]) if outgoing else None


def _give_all(messages: object, body: bytes | None) -> object:
    outgoing = cast("tuple[Outgoing, ...]", messages)
    if body == b"":  # they were left out when their segment was rewritten
        return outgoing
    bodies = () if body is None else items_of(unpack(body))
    return tuple(replace(message, body=_required(one)) for message, one in zip(outgoing, bodies, strict=True))


def _required(body: object) -> bytes:
    if not isinstance(body, bytes):
        msg = "the body of an outgoing message is missing"
        raise ValueError(msg)  # noqa: TRY004 - one error type for whatever is wrong with stored bytes
    return body


_OUTGOING: dict[int, tuple[str, Taker, Giver]] = {
    SendScheduled.KIND: ("message", _take_one, _give_one),
    Completed.KIND: ("outgoing", _take_all, _give_all),
    Adopted.KIND: ("outgoing", _take_all, _give_all),
}
"""By kind: the field that holds outgoing messages, and how their bodies are taken out of it and given back."""
