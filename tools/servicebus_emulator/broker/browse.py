"""Looking at what a queue has, without touching it."""

from __future__ import annotations

from collections import Counter
from itertools import islice

from queue_runtime.tools.servicebus_emulator.broker.message import State, Stored
from queue_runtime.tools.servicebus_emulator.broker.queue import Queue

__all__ = ["Counts", "count", "next_session", "peek", "session_names"]

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Counts:
    """How many messages a queue has.

    Args:
        active: ready to be delivered.
        locked: with a receiver.
        deferred: set aside by a receiver.
        scheduled: not due yet.
        dead_lettered: in its dead-letter sub-queue.
    """

    active: int
    locked: int
    deferred: int
    scheduled: int
    dead_lettered: int


def peek(queue: Queue, first: int, most: int, session: str | None = None) -> list[Stored]:
    """Return up to `most` messages from number `first` on, in any state. Source: Service Bus, "Message browsing"."""
    found = (
        stored
        for number, stored in queue.store.messages.items()
        if number >= first and (session is None or stored.content.session_id == session)
    )
    return list(islice(found, most))


def next_session(queue: Queue) -> str | None:
    """Return the free session whose next message waits longest, or None.

    The service promises no order among sessions; the oldest first leaves none behind.
    """
    if queue.sessions is None:
        return None
    heads = (
        (head.sequence, name)
        for name in list(queue.store.lanes)
        if name is not None and queue.sessions.is_free(name) and (head := queue.store.head(name)) is not None
    )
    return min(heads, default=(0, None))[1]


def session_names(queue: Queue, updated_since: int | None) -> list[str]:
    """Return the sessions with messages, or those whose state was set since an instant."""
    if queue.sessions is not None and updated_since is not None:
        return sorted(queue.sessions.names(updated_since))
    names = {stored.content.session_id for stored in queue.store.messages.values()}
    return sorted(name for name in names if name is not None)


def count(queue: Queue, dead_letters: Queue) -> Counts:
    """Count the messages of a queue by what may happen to them."""
    found = Counter("locked" if stored.token is not None else stored.state for stored in queue.store.messages.values())
    return Counts(
        active=found[State.ACTIVE],
        locked=found["locked"],
        deferred=found[State.DEFERRED],
        scheduled=found[State.SCHEDULED],
        dead_lettered=len(dead_letters.store.messages),
    )
