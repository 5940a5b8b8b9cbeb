"""How the service is reached, and the numbers of a queue that AMQP does not tell."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["LONGEST_LOCK_S", "MAX_BATCH", "PROVIDER", "ServiceBusSettings"]

PROVIDER = "azure"

# Source: Service Bus, "Azure Service Bus quotas", read November 2026.
LONGEST_LOCK_S = 300.0
MAX_BATCH = 100


@dataclass(frozen=True, slots=True)
class ServiceBusSettings:
    """How a provider reaches its queues, and what they are like.

    Data connections do not tell how a queue is set up, and asking the management API needs the right to change it. So
    what the engine has to know of a queue is said here, and holds for every queue of the provider.

    Attributes:
        connection_string: of the namespace, with a key or a signature. A secret.
        lock_s: the queues' lock duration, in seconds.
        max_deliveries: the queues' maximum delivery count.
        dead_letters_expired: whether the queues dead-letter what expires, or drop it.
        deduplicates: whether the queues detect duplicates, by message id.
        max_message_bytes: bodies and attributes above this are refused. The tier's limit counts ids as well: leave
            them room.
    """

    connection_string: str = field(repr=False)
    lock_s: float = 60.0
    max_deliveries: int = 10
    dead_letters_expired: bool = False
    deduplicates: bool = False
    max_message_bytes: int = 245_760
