"""The messages to measure with: bodies, the events of their lives, and the bytes that the codec makes of them.

All of it is made before the clock starts, for the limit, the journal and the engine alike.
"""

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from queue_runtime.journal.codec import CODEC
from queue_runtime.journal.events import AttemptStarted, Completed, Disposition, Event, Received, Settled
from queue_runtime.providers.clock import SystemClock
from queue_runtime.providers.message import Message, QueueName
from queue_runtime.tools.demo import recorded

QUEUE = QueueName("bench")
SMALL, MIDDLE, WEBHOOKS = "200 B", "2 KB", "webhooks"
_SIZES = {SMALL: 200, MIDDLE: 2_000}
_DIFFERENT = 300
_MEDIAN_BYTES, _SIGMA, _MOST_BYTES = (
    7_700,
    0.7,
    60_000,
)  # GitHub's: half under 7.7 KB, 5 % over 25
_WHAT = ("pulls", "issues", "comments", "labels", "milestones", "statuses", "deployments", "releases", "hooks", "keys")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A message's body, the events of its life up to its completion, and the records that the hash chain covers."""

    body: bytes
    events: tuple[Received, AttemptStarted, Completed]
    records: tuple[bytes, bytes, bytes]


def load_bodies(webhooks: Path | None) -> dict[str, list[bytes]]:
    """Return bodies by kind: recorded webhooks if there are any, else generated ones of the same sizes."""
    generated = _generated()
    real = [event.message.body for event in recorded(webhooks)] if webhooks else generated
    long = [body for body in generated if len(body) >= max(_SIZES.values())]
    return {**{name: [body[:size] for body in long] for name, size in _SIZES.items()}, WEBHOOKS: real}


def _generated() -> list[bytes]:
    """Make bodies that look, weigh and compress (six times) as GitHub's webhooks do; the same every time."""
    chance = random.Random(20_260_101)
    bodies: list[bytes] = []
    for number in range(_DIFFERENT):
        size = min(chance.lognormvariate(0, _SIGMA) * _MEDIAN_BYTES, _MOST_BYTES)
        entries: list[dict[str, object]] = []
        length = 0
        while length < size:
            entry = _entry(chance)
            length += len(json.dumps(entry)) + 2
            entries.append(entry)
        bodies.append(json.dumps({"action": "opened", "number": number, "entries": entries}).encode())
    return bodies


def _entry(chance: random.Random) -> dict[str, object]:
    what, number = chance.choice(_WHAT), chance.randrange(5_000)
    at = f"https://api.github.com/repos/octo/demo/{what}/{number}"
    names = ("url", "html_url", "events_url", "labels_url")
    urls = {name: f"{at}{{/{name}}}" for name in names}
    return {"id": chance.getrandbits(32), "sha": f"{chance.getrandbits(128):032x}", "state": "open", **urls}


def messages(bodies: Sequence[bytes], count: int, *, sessions: int = 0, first: int = 0) -> list[Message]:
    """Make `count` messages numbered from `first`, in turn over `sessions` sessions if there are any."""
    return [
        Message(
            bodies[number % len(bodies)],
            message_id=f"{number:08d}",
            session_id=f"s{number % sessions}" if sessions else None,
            attributes={"event": "pull_request.opened"},
        )
        for number in range(first, first + count)
    ]


def prepared(bodies: Sequence[bytes], count: int) -> list[Prepared]:
    """Make what is appended for each of `count` messages, and what the codec makes of it."""
    return [_prepared(number, bodies[number % len(bodies)]) for number in range(count)]


def life(number: int, body: bytes) -> tuple[Received, AttemptStarted, Completed, Settled]:
    """Return the events of one message of which nothing is special, up to its settlement."""
    now, name = int(SystemClock().now()), f"{number:08d}"
    key, provider_id = f"{QUEUE}/{name}", f"m{number}"
    received = Received(
        key=key,
        at=now,
        queue=QUEUE,
        message_id=name,
        provider_id=provider_id,
        session_id=None,
        sequence=number,
        delivery_count=1,
        enqueued_at=now,
        expires_at=None,
        correlation_id=None,
        content_type=None,
        attributes={"event": "pull_request.opened"},
        locked_until=now + 30_000_000,
        suspect_until=0,
        body_digest=hashlib.sha256(body).digest(),
        receipt=f"{provider_id}.1",
        body=body,
    )
    started = AttemptStarted(key, now, 1, "0123456789ab", "bench", alone=False)
    return received, started, Completed(key, now, 1, None, ()), Settled(key, now, provider_id, Disposition.COMPLETE)


def _prepared(number: int, body: bytes) -> Prepared:
    received, started, completed, _ = life(number, body)
    return Prepared(body, (received, started, completed), (_record(received), _record(started), _record(completed)))


def _record(event: Event) -> bytes:
    return CODEC.encode(event)[1]
