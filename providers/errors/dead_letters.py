"""What goes wrong with dead letters."""

from __future__ import annotations

from queue_runtime.providers.errors.root import ErrorContext, QueueError

__all__ = ["DeadLetterError"]


class DeadLetterError(QueueError):
    """A dead letter was not redriven, or not to the end. Redrive it again: the copy has the same id every time.

    Its `cause` says why, by its own kind: `QueueNotFound`, `SerializationError`, `InvalidReceipt`,
    `UnsupportedOperation`, `ConfigurationError`, or one of the link's. Category and wait are the cause's.

    Attributes:
        was_sent: whether the copy is in the queue by now; the dead letter is still one either way.
        cause: what the broker said.
    """

    def __init__(self, message_id: str, cause: QueueError, *, was_sent: bool, context: ErrorContext) -> None:
        what = "was sent again but is still among the dead letters" if was_sent else "was not sent again"
        queue = f" of queue {context.queue!r}" if context.queue is not None else ""
        super().__init__(f"dead letter {message_id!r}{queue} {what}: {cause}; redrive it again", context=context)
        self.was_sent = was_sent
        self.cause = cause
        self.category = cause.category
        self.retry_after_s = cause.retry_after_s
