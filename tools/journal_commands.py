"""`queue-runtime journal`: looking at a journal, beside the engine that writes it if one does; and repairing one."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from queue_runtime.journal import Entry, JournalReader

__all__ = ["journal_app"]

journal_app = typer.Typer(no_args_is_help=True, help="Look at a journal, beside its engine; or repair it.")

Folder = Annotated[Path, typer.Argument(help="The journal's folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
_DEFAULT = Path("journal")
_FOLLOW_S = 0.2
_OUTCOMES = {
    "received": "Received",
    "completed": "Completed",
    "dead-lettered": "DeadLettered",
    "duplicates": "Duplicate",
}

# The commands import what they need: `version` and a mistyped command are not to wait for the whole journal.


@journal_app.command()
def stat(folder: Folder = _DEFAULT, as_json: AsJson = False) -> None:  # noqa: FBT002
    """Count what is in a journal."""
    from queue_runtime.journal import JournalReader  # noqa: PLC0415
    from queue_runtime.tools.journal_text import instant  # noqa: PLC0415

    with JournalReader(folder) as reader:
        found = reader.statistics()
    messages = {name: found.events.get(kind, 0) for name, kind in _OUTCOMES.items()}
    if as_json:
        _print(json.dumps({**asdict(found), "messages": messages}))
        return
    _print(f"positions   {found.first_position} to {found.last_position}")
    _print(f"from        {instant(found.first_at)}")
    _print(f"to          {instant(found.last_at)}")
    _print(f"size        {found.file_bytes / 1_000_000:.1f} MB in {found.segments} segments")
    _print(f"messages    {', '.join(f'{count} {name}' for name, count in messages.items())}")
    for name, count in found.events.items():
        _print(f"{count:>11} {name}")


@journal_app.command()
def tail(
    folder: Folder = _DEFAULT,
    lines: Annotated[int, typer.Option(min=1, help="How many events.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with what is appended.")] = False,  # noqa: FBT002
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Print the last events of a journal."""
    from queue_runtime.journal import JournalReader  # noqa: PLC0415

    with JournalReader(folder) as reader, suppress(KeyboardInterrupt):  # which is how one ends following
        last = max(reader.last_position() - lines, 0)
        while True:
            for entry in reader.entries(after=last):
                _print_entry(entry, as_json=as_json)
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
    from queue_runtime.journal import JournalError, JournalReader  # noqa: PLC0415
    from queue_runtime.tools.journal_text import as_life  # noqa: PLC0415

    with JournalReader(folder) as reader:
        lives = _lives(reader, message)
    if not lives:
        msg = f"no message {message!r} in the journal {folder}: pass an id or a key as `journal tail` prints them"
        raise JournalError(msg)
    for number, entries in enumerate(lives):
        if as_json:
            for entry in entries:
                _print_entry(entry, as_json=True, show_body=show_body)
            continue
        if number:
            _print("")
        for line in as_life(entries, show_body=show_body):
            _print(line)


@journal_app.command(name="verify")
def verify_command(
    folder: Folder = _DEFAULT,
    chain_only: Annotated[bool, typer.Option("--chain-only", help="Do not audit the events.")] = False,  # noqa: FBT002
    anchor: Annotated[list[str] | None, typer.Option(help="POSITION:HEX of an engine's log; repeatable.")] = None,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Recompute the hash chain, audit the events, and name the first place that was altered or cannot be."""
    from queue_runtime.journal import audit, parse_anchor, verify  # noqa: PLC0415

    try:
        anchors = [parse_anchor(text) for text in anchor or ()]
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--anchor") from error
    verdict = verify(folder, head_key=_head_key(), anchors=anchors)
    # What was altered proves nothing beyond the place where it was: the audit ends there.
    violation = None if chain_only else audit(folder, until=verdict.good_until)
    is_good = verdict.is_good and violation is None
    if as_json:
        found = None if violation is None else asdict(violation)
        _print(json.dumps({"is_good": is_good, **asdict(verdict), "violation": found}))
        raise typer.Exit(0 if is_good else 1)
    if verdict.is_good:
        _print(f"good: {verdict.what}")
    else:
        _print(f"ALTERED at position {verdict.altered_at}, good up to {verdict.good_until}: {verdict.what}")
    for position in verdict.dropped_anchors:
        _print(f"not there any more: position {position}, so its anchor proves nothing")
    if violation is not None:
        _print(f"IMPOSSIBLE at position {violation.position}: {violation.text}. The rule: {violation.rule}")
    elif not chain_only:
        _print(f"good: no event up to {verdict.good_until} breaks a rule")
    raise typer.Exit(0 if is_good else 1)


@journal_app.command()
def repair(
    accept_loss_after: Annotated[int, typer.Option(min=0, help="The last position to keep; later ones are lost.")],
    folder: Folder = _DEFAULT,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,  # noqa: FBT002
) -> None:
    """Keep a damaged journal up to a position, and move the rest aside. No engine may run."""
    from queue_runtime.journal.repair import Repair  # noqa: PLC0415
    from queue_runtime.tools.control_commands import user_name  # noqa: PLC0415

    with Repair(folder, accept_loss_after, _head_key()) as begun:
        if begun.plan is None:
            _print("a repair that was begun earlier is ended")
        else:
            for fault in begun.plan.faults:
                _print(f"damaged: {fault}")
            _print(f"kept up to position {accept_loss_after}; {begun.plan.loss}")
            _ask(yes=yes)
        aside = begun.carry_out(user_name())
    _print(f"repaired: what was there before is in {aside}, with all bodies; remove it when you need it no more")


def _ask(*, yes: bool) -> None:
    """Go on only if somebody wants it."""
    if yes:
        return
    if not sys.stdin.isatty():
        print("error: nothing was done: pass --yes, or run this in a terminal", file=sys.stderr)
        raise typer.Exit(2)
    typer.confirm("Repair the journal?", abort=True)


def _head_key() -> bytes | None:
    """Return the key that the engine's settings have: a secret on a command line is one that others can read."""
    from queue_runtime.engine.settings import EngineSettings  # noqa: PLC0415

    return EngineSettings.load().journal_settings().head_key


def _lives(reader: JournalReader, message: str) -> list[list[Entry]]:
    """All that happened to the message of this key, or to those of this message id: several queues may know it."""
    if life := list(reader.entries(key=message)):
        return [life]
    keys = dict.fromkeys(_keys_of(reader.entries(names=("Received", "Duplicate")), message))
    return [list(reader.entries(key=key)) for key in keys]


def _keys_of(entries: Iterable[Entry], message_id: str) -> Iterable[str]:
    for entry in entries:
        if getattr(entry.event, "message_id", None) == message_id and entry.key is not None:
            yield entry.key


def _print_entry(entry: Entry, *, as_json: bool, show_body: bool = False) -> None:
    from queue_runtime.tools.journal_text import as_data, as_line  # noqa: PLC0415

    _print(json.dumps(as_data(entry, show_body=show_body)) if as_json else as_line(entry))


def _print(text: str) -> None:
    print(text, flush=True)  # whoever follows through a pipe waits for each line
