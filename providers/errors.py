"""What can go wrong with a queue, in our words: no error here names an SDK.

Every error says whether trying the same call again can help (`transient`), how long to wait first (`retry_after_s`),
and of which `category` it is. Texts name the object, the value and the next step; they never hold a body, a receipt or
a secret.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Category", "QueueError"]


class Category(StrEnum):
    """Who has to act: time, nobody, the broker's redelivery, the operator, or whoever holds the keys."""

    TRANSIENT = "transient"
    PERMANENT = "permanent"
    LOCK = "lock"
    CONFIG = "config"
    CRYPTO = "crypto"


class QueueError(Exception):
    """Root of every error that queue-runtime raises about a queue or a message."""

    category = Category.PERMANENT
    retry_after_s: float | None = None

    @property
    def transient(self) -> bool:
        """True if the same call may succeed later."""
        return self.category is Category.TRANSIENT
