"""What a broker tells about a queue's own set-up, for whoever asks before work begins: a start, or `doctor`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from queue_runtime.providers.message import QueueName

__all__ = ["Inspector", "Inspects", "QueueSetup"]


@dataclass(frozen=True, slots=True)
class QueueSetup:
    """How a queue is set up, as far as its broker tells. None is always: it does not.

    Attributes:
        takes_dead_letters: whether a message that is dead-lettered has a place to go.
        dead_letters: that place, or why there is none or none is known.
        retention_s: how long the queue keeps a message, in seconds; infinite where it keeps it without end.
    """

    takes_dead_letters: bool | None
    dead_letters: str
    retention_s: float | None


class Inspector(Protocol):
    """Looks at queues without touching a message. For the loop that opened the provider, while it is open."""

    async def setup(self, queue: QueueName) -> QueueSetup:
        """Return how `queue` is set up.

        Raises:
            QueueNotFound: there is no such queue.
            QueueError: the broker cannot be asked.
        """
        ...

    async def permissions(self, queue: QueueName) -> Mapping[str, bool | None]:
        """Return operation -> whether the broker lets these credentials do it; None where that cannot be seen.

        Takes, sends and settles nothing. Empty where the broker has no permissions.

        Raises:
            QueueNotFound: there is no such queue.
        """
        ...


@runtime_checkable
class Inspects(Protocol):
    """What a provider is as well, if its broker tells how a queue is set up."""

    @property
    def inspector(self) -> Inspector:
        """Who looks."""
        ...
