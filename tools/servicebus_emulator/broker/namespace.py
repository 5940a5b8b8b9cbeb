"""The queues of a namespace, by their paths, and the ways between them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from queue_runtime.tools.servicebus_emulator.broker.message import Content, Stored
from queue_runtime.tools.servicebus_emulator.broker.queue import Queue
from queue_runtime.tools.servicebus_emulator.broker.refusal import Condition, Refused
from queue_runtime.tools.servicebus_emulator.emulated_queue import EmulatedQueue

__all__ = ["DEAD_LETTERS", "TRANSFER_DEAD_LETTERS", "Namespace"]

DEAD_LETTERS = "/$deadletterqueue"
TRANSFER_DEAD_LETTERS = "/$transfer/$deadletterqueue"
MAX_HOPS = 4
"""Source: Service Bus, "Chaining Service Bus entities with autoforwarding"."""


class Namespace:
    """Queues and their sub-queues. Paths are compared without case, as the service does.

    Args:
        tokens: yields the tokens of locks: 16 bytes, never twice the same.
    """

    def __init__(self, tokens: Iterator[bytes]) -> None:
        self.queues: dict[str, Queue] = {}
        self.stirred: set[Queue] = set()
        """Queues that have something new for a receiver; cleared by who serves them."""
        self.disabled: set[str] = set()
        """Paths of queues that take and give nothing."""
        self._tokens = tokens
        self._hops = 0

    def add(self, settings: EmulatedQueue) -> None:
        """Make a queue, with its sub-queues.

        Raises:
            Refused: there is one of that name.
        """
        path = settings.name.lower()
        if path in self.queues:
            raise Refused(Condition.NOT_ALLOWED, f"there is a queue {settings.name} already; use another name")
        self.queues[path] = Queue(settings.name, settings, self._tokens, self)
        below = replace(settings, sessions=False, ttl_s=None, forward_to=None, duplicate_window_s=None)
        for sub_queue in (DEAD_LETTERS, TRANSFER_DEAD_LETTERS):
            self.queues[path + sub_queue] = Queue(settings.name + sub_queue, below, self._tokens, self, is_last=True)

    def remove(self, name: str) -> list[Queue]:
        """Delete a queue, with its sub-queues and all that they hold, and return what is gone.

        Raises:
            Refused: there is none of that name.
        """
        self.find(name)
        return [self.queues.pop(name.lower() + sub_queue) for sub_queue in ("", DEAD_LETTERS, TRANSFER_DEAD_LETTERS)]

    def find(self, path: str) -> Queue:
        """Return the queue of a path.

        Raises:
            Refused: there is none, or it is disabled.
        """
        queue = self.queues.get(path.lower())
        if queue is None:
            raise Refused(Condition.NOT_FOUND, f"there is no queue {path}: create it, or correct the name")
        if path.lower().partition("/$")[0] in self.disabled:
            raise Refused(Condition.DISABLED, f"queue {path} is disabled; enable it first")
        return queue

    def send(self, queue: Queue, contents: Sequence[Content], now: int) -> list[int]:
        """Put messages into a queue: all of them, or none. Return their numbers, 0 for a duplicate.

        Raises:
            Refused: the queue takes none of them.
        """
        queue.check(contents)
        self.stirred.add(queue)
        return [queue.put(content, now) or 0 for content in contents]

    def bury(self, queue: Queue, stored: Stored, reason: str, description: str, now: int) -> None:
        """Move a message to the dead letters of its queue. Source: Service Bus, "Service Bus dead-letter queues"."""
        self._bury(queue, stored, DEAD_LETTERS, (reason, description), now)

    def _bury(self, queue: Queue, stored: Stored, where: str, why: tuple[str, str], now: int) -> None:
        target = self.queues.get(queue.name.lower() + where)
        if target is None:
            return  # the queue was deleted, and this with it
        target.adopt(stored, now).dead_letter = why
        self.stirred.add(target)

    def forward(self, queue: Queue, stored: Stored, now: int) -> None:
        """Move a message on, or to the transfer dead letters if it cannot be.

        Source: Service Bus, "Chaining Service Bus entities with autoforwarding".
        """
        self._hops += 1
        try:
            if self._hops > MAX_HOPS:
                raise Refused(Condition.NOT_ALLOWED, f"a message was forwarded more than {MAX_HOPS} times")  # noqa: TRY301
            target = self.find(queue.settings.forward_to or "")
            for number in self.send(target, [stored.content], now):
                if (moved := target.store.messages.get(number)) is not None:
                    moved.first_sequence = stored.first_sequence or stored.sequence
        except Refused as refused:
            self._bury(queue, stored, TRANSFER_DEAD_LETTERS, (refused.condition, refused.text), now)
        finally:
            self._hops -= 1
