"""What every error says: who has to act, when to try again, and what it was about."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from queue_runtime.providers.clock import SystemClock, Timestamp

__all__ = ["NOTHING_KNOWN", "Category", "ErrorContext", "QueueError"]


class Category(StrEnum):
    """Who has to act: time, nobody, the broker's redelivery, the operator, or whoever holds the keys."""

    TRANSIENT = "transient"
    PERMANENT = "permanent"
    LOCK = "lock"
    CONFIG = "config"
    CRYPTO = "crypto"


@dataclass(frozen=True, slots=True)
class ErrorContext:
    """What an error is about, as far as whoever raised it knew.

    `at` is when the error was made; it does not count when contexts are compared.
    """

    queue: str | None = None
    message_id: str | None = None
    session_id: str | None = None
    operation: str | None = None
    at: Timestamp | None = field(default=None, compare=False)


NOTHING_KNOWN = ErrorContext()


class QueueError(Exception):
    """Root of every error that queue-runtime raises about a queue or a message.

    `retry_after_s` is the least wait before the same call makes sense, in seconds; None leaves it to the caller. What
    led to it is its `__cause__`. `context.at` is read from the machine's clock here unless the context brings it: it
    is for people who compare logs, and nothing is decided by it.
    """

    category = Category.PERMANENT
    retry_after_s: float | None = None
    context: ErrorContext = NOTHING_KNOWN

    def __init__(self, text: str, *, context: ErrorContext = NOTHING_KNOWN) -> None:
        super().__init__(text)
        self.context = context if context.at is not None else replace(context, at=SystemClock().now())

    @property
    def transient(self) -> bool:
        """True if the same call may succeed later."""
        return self.category is Category.TRANSIENT
