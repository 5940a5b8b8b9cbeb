"""`queue-runtime control`: asking a live engine, or telling it what an operator decided, which its journal keeps.

While no engine runs, a decision is journaled under the journal's lock, for the next run to perform.
"""

from __future__ import annotations

import asyncio
import json
import os
import pwd
from pathlib import Path
from typing import Annotated, cast

import typer

__all__ = ["ControlError", "control_app", "user_name"]

control_app = typer.Typer(no_args_is_help=True, help="Ask or tell the engine of a journal; the next one, if none runs.")

Folder = Annotated[Path, typer.Option("--journal", help="The folder of the engine's journal.")]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
Why = Annotated[str, typer.Option(help="The reason, for the journal.")]
Who = Annotated[str | None, typer.Option(help="Who decided it, instead of your user name.")]
Queue = Annotated[str, typer.Argument(help="The queue.")]
Session = Annotated[str, typer.Argument(help="The session's id.")]
_DEFAULT = Path("journal")


class ControlError(Exception):
    """What was asked for cannot be done; says why and what to do."""


class NoEngineError(ControlError):
    """No engine answers there."""


@control_app.command()
def status(folder: Folder = _DEFAULT, as_json: AsJson = False) -> None:  # noqa: FBT002
    """Say whether the engine is ready, what it holds, and what is parked or open."""
    answer = cast("dict[str, object]", _ask(folder, {"op": "status"})["status"])
    if as_json:
        print(json.dumps(answer))
        return
    for name, value in answer.items():
        if value not in ("", [], {}):
            print(f"{name:<16} {_text(value)}")


@control_app.command()
def resume(queue: Queue, session: Session, why: Why, who: Who = None, folder: Folder = _DEFAULT) -> None:
    """Let a parked session go on."""
    _act(folder, who, {"op": "resume", "queue": queue, "session": session, "why": why})


@control_app.command()
def release(queue: Queue, session: Session, why: Why, who: Who = None, folder: Folder = _DEFAULT) -> None:
    """Hand what waits of a session back to the broker."""
    _act(folder, who, {"op": "release", "queue": queue, "session": session, "why": why})


@control_app.command()
def reset(
    route: Annotated[str, typer.Argument(help="The route, as `control status` names it.")],
    why: Why,
    who: Who = None,
    folder: Folder = _DEFAULT,
) -> None:
    """Close the open circuit breaker of a route."""
    _act(folder, who, {"op": "reset", "route": route, "why": why})


@control_app.command(name="dead-letter")
def dead_letter(
    key: Annotated[str, typer.Argument(help="The message's key, as `journal show` names it.")],
    why: Why,
    who: Who = None,
    folder: Folder = _DEFAULT,
) -> None:
    """Dead-letter a message that waits."""
    _act(folder, who, {"op": "dead-letter", "key": key, "why": why})


def _act(folder: Path, who: str | None, request: dict[str, str]) -> None:
    from queue_runtime.engine.operators import Refused, act_alone  # noqa: PLC0415 - keeps `version` quick
    from queue_runtime.engine.settings import EngineSettings  # noqa: PLC0415
    from queue_runtime.journal import JournalError  # noqa: PLC0415

    asked = {**request, "who": who or user_name()}
    try:
        _ask(folder, asked)
    except NoEngineError:
        try:
            asyncio.run(act_alone(folder, asked, EngineSettings.load().journal_settings()))
        except (Refused, JournalError) as error:
            raise ControlError(str(error)) from error
        print("journaled: no engine runs, the next one does it")
    else:
        print("done")


def _ask(folder: Path, request: dict[str, str]) -> dict[str, object]:
    from queue_runtime.engine.control import ask  # noqa: PLC0415 - keeps `version` quick

    try:
        answer = asyncio.run(ask(folder, request))
    except (OSError, ValueError) as error:
        msg = f"no engine answers at the journal {folder}: start one on it, or name its folder with --journal"
        raise NoEngineError(msg) from error
    if not answer["ok"]:
        raise ControlError(str(answer["error"]))
    return answer


def user_name() -> str:
    """Return who runs this, for the journal."""
    uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # containers run as users without a name
        return f"user {uid}"


def _text(value: object) -> str:
    match value:
        case dict():
            return ", ".join(f"{name}: {item}" for name, item in cast("dict[str, object]", value).items())
        case list():
            return ", ".join(str(item) for item in cast("list[object]", value))
        case _:
            return str(value)
