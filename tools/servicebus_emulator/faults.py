"""Faults on command: what the service does rarely, and a test needs now."""

from __future__ import annotations

from typing import Protocol

from queue_runtime.tools.servicebus_emulator.broker.refusal import Condition, Refused

__all__ = ["Faults", "Surgery"]


class Surgery(Protocol):
    """What faults do to a running emulator."""

    def detach(self, path: str | None) -> int:
        """Detach the links of a queue, or of all, by force, and return how many."""
        ...

    def drop(self) -> int:
        """Cut every connection without a word, and return how many."""
        ...

    def close_idle(self) -> int:
        """Close every connection as if it had been idle for too long, and return how many."""
        ...

    def expire_tokens(self) -> None:
        """Let every token that was put expire."""
        ...

    def expire_locks(self, path: str) -> None:
        """Let every lock of a queue end, of messages and of sessions."""
        ...

    def disable(self, path: str, *, is_disabled: bool) -> None:
        """Disable a queue, or enable it."""
        ...


class Faults:
    """The faults of one emulator. To be used on its event loop; at once in effect.

    Args:
        surgery: the emulator's connections and queues.
    """

    def __init__(self, surgery: Surgery) -> None:
        self._surgery = surgery
        self._busy = 0
        self._lost_settlements = 0
        self.answer_delay_s = 0.0
        """How much later than written every byte is sent, in seconds: a round trip of that length."""
        self.is_silent = False
        """While set nothing is read or sent on any connection, and none is closed."""

    def busy(self, operations: int) -> None:
        """Refuse the next sends and management requests as a busy server does; 0 takes it back."""
        self._busy = operations

    def lose_settlements(self, settlements: int) -> None:
        """Apply the next settlements and cut their connection instead of answering; 0 takes it back."""
        self._lost_settlements = settlements

    def detach(self, queue: str | None = None) -> int:
        """Detach all links of a queue, or of every queue, with `amqp:link:detach-forced`, and return how many."""
        return self._surgery.detach(queue)

    def drop_connections(self) -> int:
        """Cut every connection without a word, and return how many."""
        return self._surgery.drop()

    def close_idle(self) -> int:
        """Close every connection with `amqp:connection:forced`, as idle ones are, and return how many."""
        return self._surgery.close_idle()

    def expire_tokens(self) -> None:
        """Let every token expire now: the links that it allowed are detached with `amqp:unauthorized-access`."""
        self._surgery.expire_tokens()

    def expire_locks(self, queue: str) -> None:
        """Let every lock of a queue end now, of messages and of sessions.

        Raises:
            Refused: there is no such queue.
        """
        self._surgery.expire_locks(queue)

    def disable(self, queue: str) -> None:
        """Refuse everything on a queue with `com.microsoft:entity-disabled`, and detach its links.

        Raises:
            Refused: there is no such queue.
        """
        self._surgery.disable(queue, is_disabled=True)

    def enable(self, queue: str) -> None:
        """Take `disable` back.

        Raises:
            Refused: there is no such queue.
        """
        self._surgery.disable(queue, is_disabled=False)

    def check_busy(self) -> None:
        """Let an operation pass, unless it is to meet a busy server.

        Raises:
            Refused: it is.
        """
        if self._busy > 0:
            self._busy -= 1
            raise Refused(Condition.BUSY, "the server is busy, as it was told to be; try again in a moment")

    def loses_settlement(self) -> bool:
        """Return whether the answer to a settlement is to be lost."""
        if self._lost_settlements > 0:
            self._lost_settlements -= 1
            return True
        return False
