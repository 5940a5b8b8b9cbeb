"""What the demo sends: webhook-shaped events that are always the same, or recorded ones from a file."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

from queue_runtime.plugins import github_message
from queue_runtime.providers.errors import ConfigurationError
from queue_runtime.providers.message import Message
from queue_runtime.tools.webhooks import Webhook, parse_webhooks, read_text

__all__ = ["BEHAVIOUR", "DemoEvent", "generated", "recorded"]

BEHAVIOUR = "demo_behaviour"
"""The field of a payload that tells the demo's bot what to do."""

PULL_REQUESTS = 50
TWICE = 0.02
FAILS_ONCE = 0.02
_LATE = 200  # events between the two sends of one that comes again late: long enough to be completed by then
_WORDS_MIN, _WORDS_MAX = 300, 2_100  # makes bodies of 2 to 12 KB, as most real webhooks are
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

    One in fifty is sent twice, at once or late in turn; one in fifty fails at its first attempt, one always fails, one
    is no JSON.

    Args:
        count: how many, 2 or more; what is sent twice is counted once.
    """
    chance = random.Random(20_260_101)  # noqa: S311 - a fixed seed: the events are the same every time
    always, broken, *others = chance.sample(range(count), count)
    again = others[: round(count * TWICE)]
    once = set(chance.sample(others, round(count * FAILS_ONCE)))
    copies = _copies(again, count)
    events: list[DemoEvent] = []
    sent: list[Message] = []
    for number in range(count):
        behaviour = "fails always" if number == always else "fails once" if number in once else "works"
        message = _message(number, behaviour, chance)
        if number == broken:
            message = replace(message, body=message.body[: len(message.body) // 2])
        sent.append(message)
        events.append(DemoEvent(message, is_dead_letter=number in {always, broken}))
        # A broker with a duplicate window would drop the second; the demo shows that the engine does not need one.
        events.extend(
            DemoEvent(replace(sent[copied], deduplication_id=f"{sent[copied].message_id}-again"), is_again=True)
            for copied in copies[number]
        )
    return events


def _copies(again: list[int], count: int) -> dict[int, list[int]]:
    """After which event which ones are sent again: every other one at once, the rest late."""
    copies: defaultdict[int, list[int]] = defaultdict(list)
    for turn, number in enumerate(again):
        copies[number if turn % 2 == 0 else min(number + _LATE, count - 1)].append(number)
    return copies


def _message(number: int, behaviour: str, chance: random.Random) -> Message:
    pull_request = chance.randrange(PULL_REQUESTS) + 1
    login = f"dev{chance.randrange(20)}"
    text = " ".join(chance.choices(_WORDS, k=chance.randrange(_WORDS_MIN, _WORDS_MAX)))
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
        ConfigurationError: the file cannot be read, holds nothing, or a line is not of that form; names the line.
    """
    webhooks = list(parse_webhooks(read_text(path), str(path)))
    if not webhooks:
        msg = f'file {path} holds no webhook; write lines of {{"event": "...", "payload": {{...}}}}'
        raise ConfigurationError(msg)
    return [DemoEvent(_ordered(webhook)) for webhook in webhooks]


def _ordered(webhook: Webhook) -> Message:
    """Give what has no order a session of its own: the demo's queue is FIFO, and such queues ask for one."""
    message = github_message(webhook.event, webhook.payload, delivery_id=f"webhook-{webhook.line:06d}")
    return message if message.session_id is not None else replace(message, session_id=message.message_id)
