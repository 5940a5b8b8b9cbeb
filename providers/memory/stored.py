"""A message as the in-memory broker keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.message import DeadLetter, Message

__all__ = ["NEVER", "Place", "Stored", "later"]

NEVER = Timestamp(2**62)


def later(now: Timestamp, seconds: float) -> Timestamp:
    """Return the instant `seconds` after `now`."""
    return Timestamp(now + round(seconds * 1_000_000))


class Place(Enum):
    """Where a message is."""

    READY = auto()  # waits in its lane for a receiver
    LOCKED = auto()  # delivered; its receipt settles it until the lock ends
    HIDDEN = auto()  # abandoned with a delay that still runs
    SCHEDULED = auto()  # sent for later
    GONE = auto()  # left the queue; whoever still points at it drops it


@dataclass(slots=True, eq=False)
class Stored:
    """One message in one queue, and all that its broker knows about it."""

    provider_id: str
    sequence: int
    message: Message
    enqueued_at: Timestamp
    expires_at: Timestamp = NEVER
    place: Place = Place.READY
    due_at: Timestamp = NEVER  # when a hidden or scheduled message becomes ready
    delivery_count: int = 0
    first_delivered_at: Timestamp | None = None
    handle: str = ""
    locked_until: Timestamp = NEVER
    dead_letter: DeadLetter | None = None
