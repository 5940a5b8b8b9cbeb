"""Where messages come from and go to: the port, its words, and the in-memory provider."""

from queue_runtime.providers.clock import Clock, SystemClock, Timestamp
from queue_runtime.providers.message import DeadLetter, Delivery, Message, MessageId, QueueName, Receipt, SessionId
from queue_runtime.providers.port import (
    Address,
    Capabilities,
    CountsMessages,
    HeldSession,
    Provider,
    QueueCounts,
    Sent,
    SettleKind,
    Settlement,
)

__all__ = [
    "Address",
    "Capabilities",
    "Clock",
    "CountsMessages",
    "DeadLetter",
    "Delivery",
    "HeldSession",
    "Message",
    "MessageId",
    "Provider",
    "QueueCounts",
    "QueueName",
    "Receipt",
    "Sent",
    "SessionId",
    "SettleKind",
    "Settlement",
    "SystemClock",
    "Timestamp",
]
