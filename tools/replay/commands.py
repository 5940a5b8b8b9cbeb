"""`queue-runtime replay`: what a journal says of messages, sessions and failures, and why."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from queue_runtime.tools.replay.options import AsJson, Folders

if TYPE_CHECKING:
    from queue_runtime.tools.replay.explain import Explanation

__all__ = ["replay_app"]

replay_app = typer.Typer(no_args_is_help=True, help="Find out from journals what happened to messages, and why.")

Message = Annotated[str, typer.Argument(help="Message id, or idempotency key with its queue.")]

# The commands import what they need: `version` and a mistyped command are not to wait for the whole journal.


@replay_app.command()
def explain(message: Message, folders: Folders = None, as_json: AsJson = False) -> None:  # noqa: FBT002
    """Say why a message is where it is: each event and decision, and what led to it."""
    from queue_runtime.tools.replay.explain import explained  # noqa: PLC0415
    from queue_runtime.tools.replay.output import played, put, put_json  # noqa: PLC0415

    with played(folders) as recording:
        found = explained(recording, message)
    if recording.unknown:
        print(f"passed over: {recording.unknown} events that a newer version wrote", file=sys.stderr)
    _require(found, message)
    for number, explanation in enumerate(found):
        if as_json:
            put_json(_plain(explanation))
            continue
        if number:
            put()
        _put_explanation(explanation)


def _put_explanation(explanation: Explanation) -> None:
    from queue_runtime.tools.replay.output import lines, put  # noqa: PLC0415
    from queue_runtime.tools.replay.words import counted, when  # noqa: PLC0415

    life = explanation.life
    put(f"message {life.message_id} of queue {life.queue}, in journal {life.journal}", style="bold")
    put(explanation.verdict)
    lines("attempts", explanation.charges)
    lines("runs", explanation.settings)
    if explanation.renewals:
        lines("locks", [f"extended {counted(explanation.renewals, 'time')}"])
    put()
    put("what happened (UTC)", style="bold")
    for link in explanation.links:
        put(f"  {when(link.at)} {link.position:>8}  {link.text}")
        for cause in link.causes:
            put(f"{'':36}- {cause}", style="dim")


def _plain(explanation: Explanation) -> dict[str, object]:
    life = explanation.life
    names = {"journal": life.journal, "key": life.key, "message_id": life.message_id, "state": str(life.state)}
    rest = {
        "verdict": explanation.verdict,
        "attempts": explanation.charges,
        "runs": explanation.settings,
        "renewals": explanation.renewals,
        "links": [asdict(link) for link in explanation.links],
    }
    return {**names, **rest}


def _require(found: object, message: str) -> None:
    """Refuse a message that is in none of the journals."""
    from queue_runtime.tools.replay.errors import ReplayError  # noqa: PLC0415

    if not found:
        msg = f"no message {message!r} in the journals: pass an id or a key as `journal tail` prints them"
        raise ReplayError(msg)
