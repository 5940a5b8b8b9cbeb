"""`queue-runtime journal`: looking at a journal, beside the engine that writes it if one does."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Annotated, cast

import typer

from queue_runtime.journal import Entry, JournalError, JournalReader, verify

__all__ = ["journal_app"]

journal_app = typer.Typer(no_args_is_help=True, help="Look at a journal. Read-only; the engine may run meanwhile.")

Folder = Annotated[Path, typer.Argument(help="The journal's folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
_DEFAULT = Path("journal")
_FOLLOW_S = 0.5
_SECRET = frozenset({"receipt"})
_BODIES = frozenset({"body", "result", "state"})


@journal_app.command()
def stat(folder: Folder = _DEFAULT, as_json: AsJson = False) -> None:  # noqa: FBT002
    """Count what is in a journal."""
    with JournalReader(folder) as reader:
        statistics = asdict(reader.statistics())
    if as_json:
        _print(json.dumps(statistics))
        return
    _print(f"positions   {statistics['first_position']} to {statistics['last_position']}")
    _print(f"from        {_instant(statistics['first_at'])}")
    _print(f"to          {_instant(statistics['last_at'])}")
    _print(f"size        {statistics['file_bytes'] / 1_000_000:.1f} MB")
    for name, count in cast("dict[str, int]", statistics["events"]).items():
        _print(f"{count:>11} {name}")


@journal_app.command()
def tail(
    folder: Folder = _DEFAULT,
    lines: Annotated[int, typer.Option(min=1, help="How many events.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with what is appended.")] = False,  # noqa: FBT002
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Print the last events of a journal."""
    with JournalReader(folder) as reader:
        last = max(reader.last_position() - lines, 0)
        while True:
            for entry in reader.entries(after=last):
                _print_entry(entry, as_json=as_json, show_body=False)
                last = entry.position
            if not follow:
                return
            time.sleep(_FOLLOW_S)


@journal_app.command()
def show(
    message: Annotated[str, typer.Argument(help="Message id, or idempotency key with its queue.")],
    folder: Folder = _DEFAULT,
    show_body: Annotated[bool, typer.Option("--show-body", help="Print bodies and results too.")] = False,  # noqa: FBT002
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Print the history of one message."""
    with JournalReader(folder) as reader:
        keys = {message, *_keys_of(reader, message)}
        found = False
        for key in sorted(keys):
            for entry in reader.entries(key=key):
                found = True
                _print_entry(entry, as_json=as_json, show_body=show_body)
    if not found:
        msg = f"no message {message!r} in the journal {folder}: pass an id or a key as `journal tail` prints them"
        raise JournalError(msg)


@journal_app.command(name="verify")
def verify_command(folder: Folder = _DEFAULT, as_json: AsJson = False) -> None:  # noqa: FBT002
    """Recompute the hash chain, and name the first place that was altered."""
    verdict = verify(folder)
    if as_json:
        _print(json.dumps(asdict(verdict)))
    else:
        _print(("good: " if verdict.is_good else "ALTERED: ") + verdict.what)
    raise typer.Exit(0 if verdict.is_good else 1)


def _keys_of(reader: JournalReader, message_id: str) -> Iterator[str]:
    for entry in reader.entries(names=("Received", "Duplicate")):
        if getattr(entry.event, "message_id", None) == message_id and entry.key is not None:
            yield entry.key


def _print_entry(entry: Entry, *, as_json: bool, show_body: bool) -> None:
    details = dict(_details(entry.event, show_body=show_body)) if entry.event is not None else {}
    if as_json:
        _print(json.dumps({"position": entry.position, "event": entry.name, "at_us": entry.at, **details}))
        return
    shown = {name: value for name, value in details.items() if name != "at" and value not in (None, "", [], {})}
    text = " ".join(f"{name}={value}" for name, value in shown.items())
    _print(f"{entry.position:>8} {_instant(entry.at)} {entry.name:<16} {text}")


def _details(event: object, *, show_body: bool) -> Iterable[tuple[str, object]]:
    """Every field but receipts, which open the broker's door; and bodies only when they are asked for."""
    for field in fields(cast("type", type(event))):
        value = getattr(event, field.name)
        if field.name in _SECRET or (field.name in _BODIES and not show_body):
            continue
        yield field.name, _plain(value, show_body=show_body)


def _plain(value: object, *, show_body: bool) -> object:
    match value:
        case Enum():
            return cast("object", value.value)
        case bytes():
            return value.decode(errors="backslashreplace") if show_body else value.hex()
        case tuple() | list():
            return [_plain(item, show_body=show_body) for item in cast("Iterable[object]", value)]
        case dict():
            items = cast("dict[object, object]", value).items()
            return {str(name): _plain(item, show_body=show_body) for name, item in items}
        case _ if is_dataclass(value):
            return dict(_details(value, show_body=show_body))
        case _:
            return value


def _instant(microseconds: int | None) -> str:
    if microseconds is None:
        return "-"
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC).isoformat(timespec="milliseconds")


def _print(text: str) -> None:
    print(text)
