"""How a queue of the in-memory broker behaves: one knob for each thing in which brokers differ."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from queue_runtime.providers.errors import ConfigurationError

__all__ = ["QueueKind", "QueueSettings"]

FIFO_DUPLICATE_WINDOW_S = 300.0  # SQS FIFO: five minutes from the first send, whether or not the message still exists


class QueueKind(StrEnum):
    """Which broker's rules of order a queue follows."""

    STANDARD = "standard"  # SQS standard, Service Bus without sessions: no promise of order once something fails
    FIFO = "fifo"  # SQS FIFO: a message in flight blocks the later ones of its session
    SESSIONS = "sessions"  # Service Bus with sessions: received only by whoever holds the session's lock


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """The rules of one queue. Times in seconds, sizes in bytes, attributes included.

    `max_deliveries`: a message that was delivered so often is dead-lettered instead of delivered again; None for never.
    `default_ttl_s`: for messages that bring none; None for no end. `dead_letter_expired`: whether a message whose time
    to live ends is dead-lettered or dropped. `duplicate_window_s`: how long after a first send a second one under the
    same deduplication id is dropped; None for never; a FIFO queue always has one. `duplicates_per_session`: whether an
    id is one of its session alone, or of the whole queue. `late_receipts`: whether a receipt outlives its lock, until
    the message is delivered again, as on standard SQS. `max_messages`: what the queue holds before it refuses sends,
    whatever state the messages are in; its dead letters have the same bound.

    Raises:
        ConfigurationError: a number makes no sense, or a knob is not for this kind of queue.
    """

    kind: QueueKind = QueueKind.STANDARD
    lock_s: float = 30.0
    session_lock_s: float = 300.0
    max_deliveries: int | None = 5
    default_ttl_s: float | None = None
    dead_letter_expired: bool = True
    duplicate_window_s: float | None = None
    duplicates_per_session: bool = False
    late_receipts: bool = False
    max_message_bytes: int = 10 * 1024 * 1024
    max_messages: int = 100_000

    def __post_init__(self) -> None:
        """Refuse numbers that would make a queue that never delivers."""
        must_be_positive = {
            "lock_s": self.lock_s,
            "session_lock_s": self.session_lock_s,
            "max_deliveries": self.max_deliveries,
            "default_ttl_s": self.default_ttl_s,
            "duplicate_window_s": self.duplicate_window_s,
            "max_message_bytes": self.max_message_bytes,
            "max_messages": self.max_messages,
        }
        for name, value in must_be_positive.items():
            if value is not None and value <= 0:
                msg = f"queue setting {name}={value:g} must be above zero"
                raise ConfigurationError(msg)
        if self.late_receipts and self.kind is not QueueKind.STANDARD:
            msg = f"queue setting late_receipts=True is for standard queues: a {self.kind} queue has no late receipts"
            raise ConfigurationError(msg)

    @property
    def window_s(self) -> float | None:
        """The duplicate window in force."""
        if self.duplicate_window_s is None and self.kind is QueueKind.FIFO:
            return FIFO_DUPLICATE_WINDOW_S
        return self.duplicate_window_s
