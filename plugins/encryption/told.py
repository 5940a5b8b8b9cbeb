"""What the log says of encrypted and plain bodies: ids and key ids, and never a body, a nonce or a key."""

from __future__ import annotations

import logging
from collections import Counter

from queue_runtime.providers.clock import Clock, Timestamp
from queue_runtime.providers.message import Message, QueueName

__all__ = ["Told"]

logger = logging.getLogger("queue_runtime.encryption")

_EVERY_US = 60_000_000  # a sender that does not encrypt yet would fill the log at the rate of the queue


class Told:
    """Tells of each message, of plain ones at most once a minute and queue. Records carry `encrypted` as a field."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last: dict[tuple[str, QueueName], Timestamp] = {}
        self._untold: Counter[tuple[str, QueueName]] = Counter()

    def received_encrypted(self, queue: QueueName, message: Message, key_id: str) -> None:
        """Level info, for each."""
        if logger.isEnabledFor(logging.INFO):
            extra = {**_ids(queue, message), "encrypted": True, "key_id": key_id}
            logger.info("message %s of %s was opened with key %r", message.message_id, queue, key_id, extra=extra)

    def received_plain(self, queue: QueueName, message: Message, *, is_alert: bool) -> None:
        """Level warning now and then; level error for each if that is wanted."""
        if is_alert:
            logger.error("message %s of %s came plain", message.message_id, queue, extra=_plain(queue, message))
        else:
            self._now_and_then("message %s of %s came plain", queue, message)

    def refused_plain(self, queue: QueueName, message: Message) -> None:
        """Level error, for each."""
        text = "message %s of %s came plain, and is refused"
        logger.error(text, message.message_id, queue, extra=_plain(queue, message))

    def sent_plain(self, queue: QueueName, message: Message) -> None:
        """Level warning, now and then."""
        self._now_and_then("message %s is sent to %s plain: encryption is off", queue, message)

    def _now_and_then(self, text: str, queue: QueueName, message: Message) -> None:
        kind, now = (text, queue), self._clock.now()
        last = self._last.get(kind)
        if last is not None and now - last < _EVERY_US:
            self._untold[kind] += 1
            return
        self._last[kind] = now
        untold = self._untold.pop(kind, 0)
        text = f"{text} (and {untold} more since the last such line)" if untold else text
        logger.warning(text, message.message_id, queue, extra=_plain(queue, message))


def _ids(queue: QueueName, message: Message) -> dict[str, object]:
    return {
        "queue_name": str(queue),
        "message_id": str(message.message_id),
        "session_id": message.session_id,
    }


def _plain(queue: QueueName, message: Message) -> dict[str, object]:
    return {**_ids(queue, message), "encrypted": False}
