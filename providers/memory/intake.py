"""What a queue does with a message before it takes it in: the checks, and the duplicate window."""

from __future__ import annotations

from collections import OrderedDict

from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.errors import ErrorContext, MessageTooLarge, RequiredField
from queue_runtime.providers.memory.settings import QueueKind, QueueSettings
from queue_runtime.providers.memory.stored import later
from queue_runtime.providers.message import Message, QueueName

__all__ = ["DuplicateWindow", "check"]


def check(queue: QueueName, settings: QueueSettings, message: Message) -> None:
    """Refuse what the queue does not take.

    Raises:
        MessageTooLarge: body and attributes are over the queue's limit.
        RequiredField: the queue orders by session, and the message has none.
    """
    if message.size_bytes > settings.max_message_bytes:
        context = ErrorContext(queue=queue, message_id=message.message_id, operation="send")
        raise MessageTooLarge(message.size_bytes, settings.max_message_bytes, context=context)
    if settings.kind is not QueueKind.STANDARD and message.session_id is None:
        problem = f"is required: {settings.kind} queue {queue!r} orders its messages by session"
        raise RequiredField(field="session_id", problem=problem)


class DuplicateWindow:
    """Drops a second send under one deduplication id, for a while after the first.

    The window counts from the first send; duplicates do not extend it, and it outlives the message. The message id
    stands in for a deduplication id. An id counts in the whole queue, or `per_session` in its session alone.

    Source: recordings against SQS, published in LocalStack's snapshot tests: test_deduplication_interval,
    test_fifo_deduplication_arrives_once_after_delete, test_fifo_deduplication_not_on_message_group_id,
    test_sqs_fifo_same_dedup_id_different_message_groups.
    """

    def __init__(self, window_s: float, *, per_session: bool) -> None:
        self._window_s = window_s
        self._per_session = per_session
        self._first: OrderedDict[tuple[str | None, str], tuple[Timestamp, str]] = OrderedDict()

    def original(self, message: Message, now: Timestamp) -> str | None:
        """Return the provider id of the message that this one repeats."""
        while self._first:
            key, (ends_at, _) = next(iter(self._first.items()))
            if ends_at > now:
                break
            del self._first[key]
        known = self._first.get(self._key(message))
        return None if known is None else known[1]

    def remember(self, message: Message, provider_id: str, now: Timestamp) -> None:
        """Open the window of a first send."""
        self._first[self._key(message)] = (later(now, self._window_s), provider_id)

    def _key(self, message: Message) -> tuple[str | None, str]:
        session_id = message.session_id if self._per_session else None
        return session_id, message.deduplication_id or message.message_id
