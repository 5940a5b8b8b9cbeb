"""Events as text and as plain data: receipts never, bodies only when they are asked for, no control characters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import cast

from queue_runtime.journal import Entry, Event
from queue_runtime.journal.events import Adopted, AttemptFailed, Completed, DeadLettered, Forgotten, Received, Redriven
from queue_runtime.journal.message_state import Copy

__all__ = ["as_data", "as_life", "as_line", "instant", "safe"]

_NEVER = frozenset({"receipt"})  # opens the broker's door
_BODIES = frozenset({"body", "result", "state"})
_BESIDE = frozenset({"at", "key", "error_text", "frames"})  # shown in a place of their own
_FOR_PROGRAMS = frozenset(
    {"body_digest", "result_digest", "settings_digest", "suspect_until", "locked_until", "leases", "copies", "history"}
)
_OF_THE_MESSAGE = frozenset(
    {"queue", "message_id", "session_id", "content_type", "correlation_id", "attributes", "enqueued_at", "sequence"}
)


def as_data(entry: Entry, *, show_body: bool) -> dict[str, object]:
    """Return an event as plain data for JSON: its place, its name, its instant, and every field that may be shown."""
    event = {} if entry.event is None else dict(_data(entry.event, show_body=show_body))
    event.pop("at", None)
    return {"position": entry.position, "event": entry.name, "at": instant(entry.at), "at_us": entry.at, **event}


def as_line(entry: Entry) -> str:
    """Return an event as one line: where, when, what, to which message, and the details that tell it from others."""
    key = safe(entry.key) if entry.key is not None else "-"
    details = _details(entry, _FOR_PROGRAMS | _OF_THE_MESSAGE)
    return f"{entry.position:>8} {instant(entry.at)} {entry.name:<15} {key} {details}".rstrip()


def as_life(entries: Sequence[Entry], *, show_body: bool) -> Iterator[str]:
    """Yield the lines that tell a message's life: what it is, how it ended, and everything that happened to it.

    Args:
        entries: all events of one key, in order; at least one.
        show_body: with the bodies, step results and outgoing messages.
    """
    events = [entry.event for entry in entries if entry.event is not None]
    yield f"key         {safe(str(entries[0].key))}"
    for event in events:
        if isinstance(event, Received):
            is_stripped = any(entry.is_stripped for entry in entries if entry.event is event)
            yield from _heading(event, show_body=show_body, is_stripped=is_stripped)
            break
    yield f"outcome     {_outcome(events)}"
    yield ""
    start = entries[0].at
    for entry in entries:
        after_s = (entry.at - start) / 1_000_000
        details = _details(entry, _FOR_PROGRAMS | _OF_THE_MESSAGE)
        yield f"{after_s:>+12.3f} s {entry.position:>8}  {entry.name:<15} {details}".rstrip()
        if isinstance(entry.event, AttemptFailed):
            yield f"{'':26}{safe(entry.event.error_text)}"
            yield from (f"{'':28}{safe(frame)}" for frame in entry.event.frames)
        if show_body and entry.event is not None and not isinstance(entry.event, Received):
            yield from (f"{'':26}{name} {safe(text)}" for name, text in _bodies(entry.event))


def instant(microseconds: int | None) -> str:
    """Return an instant in microseconds since 1970 as ISO 8601 in UTC, to the millisecond; `-` for none."""
    if microseconds is None:
        return "-"
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC).isoformat(timespec="milliseconds")


def _heading(event: Received, *, show_body: bool, is_stripped: bool) -> Iterator[str]:
    yield f"message     {safe(event.message_id)}"
    yield f"queue       {safe(event.queue)}"
    yield f"session     {safe(event.session_id or '-')}"
    yield f"attributes  {safe(', '.join(f'{name}={value}' for name, value in event.attributes.items()) or '-')}"
    yield f"enqueued    {instant(event.enqueued_at)}"
    if is_stripped:
        yield "body        left out after it was completed"
        return
    yield f"body        {len(event.body):,} bytes of {safe(event.content_type or 'unknown type')}"
    if show_body:
        yield safe(event.body.decode(errors="backslashreplace"), keep="\n\t")


def _outcome(events: Sequence[Event]) -> str:
    for event in reversed(events):
        match event:
            case Completed():
                return f"completed in attempt {event.attempt}"
            case Adopted():
                return f"{event.outcome}, by the journal {safe(event.source)}, from which it was adopted"
            case DeadLettered():
                return f"dead-lettered: {safe(event.reason)}, {safe(event.description)}"
            case Redriven():
                return f"sent again as {safe(event.new_message_id)} by {safe(event.who)}"
            case Forgotten():
                return f"forgotten: {safe(event.why)}"
            case _:
                pass
    return "none yet"


def _details(entry: Entry, without: frozenset[str]) -> str:
    if entry.event is None:
        return "(written by a newer version)"
    shown = _data(entry.event, show_body=False)
    texts = ((name, _text(name, value)) for name, value in shown if name not in without | _BESIDE)
    return " ".join(f"{name}={text}" for name, text in texts if text)


def _text(name: str, value: object) -> str:
    match value:
        case None | "" | [] | {} | False:
            return ""
        case True:
            return "yes"
        case int() if name == "until" or name.endswith(("_at", "_until")):
            return instant(value)
        case _:
            return safe(str(value))


def _data(event: object, *, show_body: bool) -> Iterator[tuple[str, object]]:
    for field in fields(cast("type", type(event))):
        value: object = getattr(event, field.name)
        if field.name in _BODIES and isinstance(value, bytes):
            if show_body:
                yield field.name, value.decode(errors="backslashreplace")
        elif field.name not in _NEVER:
            yield field.name, _plain(value, show_body=show_body)


def _plain(value: object, *, show_body: bool) -> object:
    match value:
        case Enum():
            return cast("object", value.value)
        case bytes():
            return value.hex()
        case Copy():
            named = value._asdict().items()
            return {name: _plain(item, show_body=show_body) for name, item in named if name not in _NEVER}
        case tuple() | list():
            return [_plain(item, show_body=show_body) for item in cast("Sequence[object]", value)]
        case Mapping():
            items = cast("Mapping[object, object]", value).items()
            return {str(name): _plain(item, show_body=show_body) for name, item in items}
        case _ if is_dataclass(value):
            return dict(_data(value, show_body=show_body))
        case _:
            return value


def _bodies(event: Event) -> Iterator[tuple[str, str]]:
    """Yield what `show_body` adds to an event: its own body or result, and those of what it sends."""
    holders = (event, *(event.outgoing if isinstance(event, Completed | Adopted) else ()))
    for holder in holders:
        for name, value in _data(holder, show_body=True):
            if name in _BODIES:
                yield name, str(value)


def safe(text: str, keep: str = "") -> str:
    """Escape what would move a terminal's cursor, or worse: texts come from whoever sent the message."""
    return "".join(
        char if char.isprintable() or char in keep else char.encode("unicode_escape").decode() for char in text
    )
