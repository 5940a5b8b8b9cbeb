"""Restores the order of each sender on queues that keep none: an early message waits a while for what is missing.

The message waits in its lane, held, journaled, renewed and counted like any other; all that it waits for is to start.
What never comes - it expired, was dead-lettered, or went to another engine - costs one wait.
"""

from __future__ import annotations

from queue_runtime.engine.collaborators import Live
from queue_runtime.engine.timers import Timers
from queue_runtime.journal.events import Overtaken
from queue_runtime.journal.sender_order import Turn, stamp_of, turn
from queue_runtime.journal.state import MessageState

__all__ = ["SenderOrder"]


class SenderOrder:
    """Whose turn it is among the messages of one sender.

    Args:
        core: whose messages they are.
        timers: wake it when a wait is over.
        wait_us: how long an early message waits, from when it was handed over or, if that is later, from `begin`.
    """

    def __init__(self, core: Live, timers: Timers, wait_us: int) -> None:
        self._core = core
        self._timers = timers
        self._wait_us = wait_us
        self._begun = 0
        self._waking: set[str] = set()

    def begin(self) -> None:
        """A run begins, or goes on after an outage: what is missing had no chance to come before."""
        self._begun = self._core.now()

    def holds(self, message: MessageState, now: int) -> bool:
        """Say whether a message that may start otherwise waits for its predecessor; it is offered again after that."""
        stamp = stamp_of(message.origin)
        if stamp is None or turn(self._core.state.senders, stamp) is not Turn.EARLY:
            return False
        until = max(message.since, self._begun) + self._wait_us
        if until <= now:
            return False
        if message.key not in self._waking:
            self._waking.add(message.key)
            self._timers.at(until, lambda: self._waited(message.key))
        return True

    def _waited(self, key: str) -> None:
        self._waking.discard(key)
        self._core.lanes.offer(key)
        self._core.pump()

    def overtaken(self, message: MessageState, now: int) -> tuple[Overtaken, ...]:
        """Return what the journal is told before a message starts behind a later one of its sender."""
        senders, stamp = self._core.state.senders, stamp_of(message.origin)
        if stamp is None or turn(senders, stamp) is not Turn.LATE:
            return ()
        place = senders[stamp.sender]
        return (Overtaken(message.key, now, stamp.sender[2], place.epoch, place.number),)
