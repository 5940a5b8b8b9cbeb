"""How the messages of a session are numbered by their sender, for a standard queue, which keeps no order of its own.

A stamp travels as an attribute: sender, epoch, number and instant, with slashes between. One that makes no sense was
written by somebody else, and is taken for none.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass
from uuid import uuid4

from queue_runtime.providers.clock import Clock, Timestamp
from queue_runtime.providers.message import Message, QueueName, SendStamp, SessionId

__all__ = ["Stamps", "parsed", "text_of"]

SILENCE_US = 600 * 1_000_000
"""A session of which nothing was sent for so long is counted anew: whoever receives may have forgotten its number."""
MAX_SESSIONS = 50_000
MAX_UNANSWERED = 10_000

_TEXT = re.compile(r"([0-9a-f]{16})/([0-9]{1,18})/([0-9]{1,18})/([0-9]{1,18})")


def text_of(stamp: SendStamp) -> str:
    """Return a stamp as it travels."""
    return f"{stamp.sender}/{stamp.epoch}/{stamp.number}/{stamp.at}"


def parsed(text: str | None) -> SendStamp | None:
    """Return what `text_of` made; None for everything else."""
    found = None if text is None else _TEXT.fullmatch(text)
    return None if found is None else SendStamp(found[1], int(found[2]), int(found[3]), int(found[4]))


@dataclass(slots=True)
class _Count:
    epoch: int
    number: int
    at: int


class Stamps:
    """What one sender has sent: one provider, from when it was made. For one loop.

    A message that is sent again after a failure that may pass keeps its stamp: it may be there, or may yet have to come
    before those that were sent meanwhile.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sender = uuid4().hex[:16]
        self._counts: OrderedDict[tuple[QueueName, SessionId], _Count] = OrderedDict()
        self._unanswered: OrderedDict[tuple[QueueName, str], SendStamp] = OrderedDict()

    def stamp(self, queue: QueueName, message: Message) -> SendStamp | None:
        """Number a message; None if it has no session."""
        if message.session_id is None:
            return None
        known = self._unanswered.get((queue, message.message_id))
        if known is not None:
            return known
        stamp = self._next(queue, message.session_id)
        self._unanswered[queue, message.message_id] = stamp
        if len(self._unanswered) > MAX_UNANSWERED:
            self._unanswered.popitem(last=False)
        return stamp

    def _next(self, queue: QueueName, session_id: SessionId) -> SendStamp:
        now = self._clock.now()
        count = self._counts.pop((queue, session_id), None)
        if count is None or count.at < now - SILENCE_US:
            count = _Count(now, 0, 0)
        count.number += 1
        count.at = max(now, count.at + 1)
        self._counts[queue, session_id] = count
        if len(self._counts) > MAX_SESSIONS:
            self._counts.popitem(last=False)
        return SendStamp(self._sender, count.epoch, count.number, Timestamp(count.at))

    def answered(self, queue: QueueName, message: Message) -> None:
        """The service took a message, or never will: sent again it is another one."""
        self._unanswered.pop((queue, message.message_id), None)
