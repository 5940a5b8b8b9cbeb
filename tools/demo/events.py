"""What the demo sends: webhook-shaped events that are always the same, or recorded ones from a file."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from queue_runtime.plugins import github_message
from queue_runtime.providers.errors import ConfigurationError
from queue_runtime.providers.message import Message

__all__ = ["BEHAVIOUR", "DemoEvent", "generated", "recorded"]

BEHAVIOUR = "demo_behaviour"
"""The field of a payload that tells the demo's bot what to do."""

PULL_REQUESTS = 50
TWICE = 0.02
FAILS_ONCE = 0.02
_ACTIONS = ("opened", "synchronize", "labeled", "edited", "closed")
_WORDS = (
    *("the", "queue", "hands", "over", "what", "a", "sender", "wrote", "and", "journal", "keeps", "it", "until"),
    *("somebody", "asks", "why", "reviewer", "was", "named", "twice", "or", "check", "never", "came", "back"),
)


@dataclass(frozen=True, slots=True)
class DemoEvent:
    """One message to send. `is_again`: the same message once more, as a webhook sender does after a time-out."""

    message: Message
    is_again: bool = False
    is_dead_letter: bool = False


def generated(count: int) -> list[DemoEvent]:
    """Make `count` events over 50 pull requests, and some of them twice. The same every time.

    One in fifty is sent twice, one in fifty fails at its first attempt, one always fails, one is no JSON.
    """
    chance = random.Random(20_260_101)  # noqa: S311 - a fixed seed: the events are the same every time
    again = set(chance.sample(range(count), round(count * TWICE)))
    once = set(chance.sample(range(count), round(count * FAILS_ONCE)))
    always, broken = chance.sample(range(count), 2) if count > 1 else (-1, -1)
    events: list[DemoEvent] = []
    for number in range(count):
        behaviour = "fails always" if number == always else "fails once" if number in once else "works"
        message = _message(number, behaviour, chance)
        if number == broken:
            message = replace(message, body=message.body[: len(message.body) // 2])
        event = DemoEvent(message, is_dead_letter=number in {always, broken})
        events.append(event)
        if number in again and not event.is_dead_letter:
            # A broker with a duplicate window would drop it; the demo shows that the engine does not need one.
            copy = replace(message, deduplication_id=f"{message.message_id}-again")
            events.append(DemoEvent(copy, is_again=True))
    return events


def _message(number: int, behaviour: str, chance: random.Random) -> Message:
    pull_request = chance.randrange(PULL_REQUESTS) + 1
    login = f"dev{chance.randrange(20)}"
    text = " ".join(chance.choices(_WORDS, k=chance.randrange(200, 1_600)))
    payload: dict[str, object] = {
        "action": _ACTIONS[number % len(_ACTIONS)],
        "number": pull_request,
        "pull_request": {
            "number": pull_request,
            "title": f"feat: change number {number}",
            "body": text,
            "state": "open",
            "user": {"login": login, "id": 1_000 + chance.randrange(20), "type": "User"},
            "head": {"ref": f"topic-{pull_request}", "sha": f"{chance.getrandbits(160):040x}"},
            "base": {"ref": "main", "sha": f"{chance.getrandbits(160):040x}"},
            "changed_files": chance.randrange(1, 40),
        },
        "repository": {"name": "demo", "full_name": "octo/demo", "owner": {"login": "octo", "id": 1}},
        "sender": {"login": login},
        BEHAVIOUR: behaviour,
    }
    return github_message("pull_request", payload, delivery_id=f"demo-{number:06d}")


def recorded(path: Path) -> list[DemoEvent]:
    """Read `{"event": ..., "payload": {...}}` lines.

    Raises:
        ConfigurationError: the file cannot be read, or a line is not of that form; names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        msg = f"webhooks file {path} cannot be read: {error}"
        raise ConfigurationError(msg) from error
    return [DemoEvent(_recorded(path, number, line)) for number, line in enumerate(lines, 1) if line.strip()]


def _recorded(path: Path, number: int, line: str) -> Message:
    try:
        item: object = json.loads(line)
    except ValueError as error:
        msg = f"line {number} of {path} is no JSON: {error}"
        raise ConfigurationError(msg) from error
    fields = cast("dict[str, object]", item) if isinstance(item, dict) else {}
    event, payload = fields.get("event"), fields.get("payload")
    if not isinstance(event, str) or not event or not isinstance(payload, dict):
        msg = f'line {number} of {path} is not of the form {{"event": "...", "payload": {{...}}}}'
        raise ConfigurationError(msg)
    return github_message(event, cast("dict[str, object]", payload), delivery_id=f"webhook-{number:06d}")
