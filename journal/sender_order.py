"""The order in which a sender sent the messages of a session, on queues that keep none: next, early or late. Pure.

A sender numbers what it sends of each session, 1, 2, 3, inside an epoch that grows when it begins to count anew. What
is remembered is the latest message of each sender and session whose attempt started: the next number is in turn, a
higher one is early, a lower one is late.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from queue_runtime.journal.message_events import Duplicate, Received

__all__ = ["MAX_SENDERS", "SENDER_MEMORY_US", "SenderKey", "SenderPlace", "Stamp", "Turn", "latest", "stamp_of", "turn"]

SENDER_MEMORY_US = 3_600 * 1_000_000
"""A sender that is silent for this long has begun a new epoch when it is heard again: see `providers.stamps`."""
MAX_SENDERS = 100_000

SenderKey: TypeAlias = tuple[str, str, str]
"""Queue, session, sender."""


class Turn(StrEnum):
    """How a message stands to what its sender sent of its session before."""

    NEXT = "next"  # or nothing says that it is not
    EARLY = "early"  # something before it has not started
    LATE = "late"  # something after it has


class Stamp(NamedTuple):
    """Which message of which sender and session it is."""

    sender: SenderKey
    epoch: int
    number: int


@dataclass(frozen=True, slots=True)
class SenderPlace:
    """The latest message of a sender, in one session, whose attempt started, and when it did."""

    epoch: int
    number: int
    at: int


def stamp_of(origin: Received | Duplicate) -> Stamp | None:
    """Return the stamp of a message; None if it has none."""
    if type(origin) is not Received or origin.sender is None or origin.session_id is None:
        return None
    return Stamp((origin.queue, origin.session_id, origin.sender), origin.sender_epoch, origin.sender_number)


def turn(senders: dict[SenderKey, SenderPlace], stamp: Stamp) -> Turn:
    """Say whether it is the turn of a message. The first of an epoch is always next: what was before is not known."""
    place = senders.get(stamp.sender)
    if place is not None and (stamp.epoch, stamp.number) < (place.epoch, place.number):
        return Turn.LATE
    before = place.number if place is not None and place.epoch == stamp.epoch else 0
    return Turn.NEXT if stamp.number <= before + 1 else Turn.EARLY


def latest(senders: dict[SenderKey, SenderPlace], stamp: Stamp, at: int) -> None:
    """Remember that an attempt of a message starts at `at`, and forget senders that have been silent for long."""
    place = senders.pop(stamp.sender, None)
    new = SenderPlace(stamp.epoch, stamp.number, at)
    if place is not None and (place.epoch, place.number) > (stamp.epoch, stamp.number):
        new = SenderPlace(place.epoch, place.number, at)
    while senders and (next(iter(senders.values())).at < at - SENDER_MEMORY_US or len(senders) >= MAX_SENDERS):
        del senders[next(iter(senders))]
    senders[stamp.sender] = new
