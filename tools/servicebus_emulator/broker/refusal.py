"""What the broker says when it will not: the conditions that the SDKs know."""

from __future__ import annotations

__all__ = ["Condition", "Refused"]

from enum import StrEnum


class Condition(StrEnum):
    """A condition of an AMQP error. Source: Service Bus, "AMQP errors in Azure Service Bus"."""

    BUSY = "com.microsoft:server-busy"
    DETACHED = "amqp:link:detach-forced"
    DISABLED = "com.microsoft:entity-disabled"
    FORCED = "amqp:connection:forced"
    INTERNAL = "amqp:internal-error"
    LOCK_LOST = "com.microsoft:message-lock-lost"
    MESSAGE_NOT_FOUND = "com.microsoft:message-not-found"
    NOT_ALLOWED = "amqp:not-allowed"
    NOT_FOUND = "amqp:not-found"
    NOT_IMPLEMENTED = "amqp:not-implemented"
    QUOTA = "amqp:resource-limit-exceeded"
    SESSION_LOCKED = "com.microsoft:session-cannot-be-locked"
    SESSION_LOST = "com.microsoft:session-lock-lost"
    TIMEOUT = "com.microsoft:timeout"
    TOO_LARGE = "amqp:link:message-size-exceeded"
    UNAUTHORIZED = "amqp:unauthorized-access"
    INVALID = "amqp:invalid-field"


class Refused(Exception):  # noqa: N818 - it is the broker's answer, not a fault of its own
    """An operation was refused, and nothing changed.

    Args:
        condition: what kind of refusal.
        text: names the object, the value and the next step.
    """

    def __init__(self, condition: Condition, text: str) -> None:
        super().__init__(text)
        self.condition = condition
        self.text = text
