"""How a queue of SQS is set up, and what these credentials may do with it."""

from __future__ import annotations

from collections.abc import Mapping

from queue_runtime.providers.errors import AuthorizationFailed, ConfigurationError, QueueError, QueueNotFound
from queue_runtime.providers.inspection import QueueSetup
from queue_runtime.providers.message import QueueName
from queue_runtime.providers.port import Address
from queue_runtime.providers.sqs.clients import Clients, Use
from queue_runtime.providers.sqs.errors import About
from queue_runtime.providers.sqs.queues import Queue, Queues

__all__ = ["SqsInspector"]

# Calls that cannot do anything, by what they would be allowed for: a batch of none is refused, as is a receive of none.
# Whether the service looks at permissions before it looks at that is not documented: a refusal proves that one is
# missing, anything else proves nothing.
_PROBES: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "sqs:ReceiveMessage": (
        "receive_message",
        {"MaxNumberOfMessages": 0, "WaitTimeSeconds": 0, "VisibilityTimeout": 0},
    ),
    "sqs:SendMessage": ("send_message_batch", {"Entries": []}),
    "sqs:DeleteMessage": ("delete_message_batch", {"Entries": []}),
    "sqs:ChangeMessageVisibility": ("change_message_visibility_batch", {"Entries": []}),
}
_ON_DEAD_LETTERS = "sqs:SendMessage"


class SqsInspector:
    """Looks at queues over the clients of a provider."""

    def __init__(self, clients: Clients, queues: Queues) -> None:
        self._clients = clients
        self._queues = queues

    async def setup(self, queue: QueueName) -> QueueSetup:
        """Return how a queue is set up, and whether the queue of its dead letters is there and of the same kind."""
        found = await self._queues.find(Address(queue))
        takes, where = await self._dead_letters(found)
        return QueueSetup(takes_dead_letters=takes, dead_letters=where, retention_s=found.retention_s)

    async def _dead_letters(self, queue: Queue) -> tuple[bool | None, str]:
        try:
            buried = await self._queues.dead_letters_of(queue)
        except ConfigurationError as error:
            return False, str(error)
        except QueueNotFound:
            return False, f"queue {queue.dead_letters!r}, which is to take them, does not exist: create it"
        except AuthorizationFailed:
            return None, f"these credentials may not look at queue {queue.dead_letters!r}, which is to take them"
        if buried.is_fifo != queue.is_fifo:
            kinds = ("a standard queue", "a FIFO queue")
            is_, needs = kinds[buried.is_fifo], kinds[queue.is_fifo]
            return False, f"queue {queue.dead_letters!r} is {is_} and has to be {needs}: name another"
        return True, f"queue {queue.dead_letters!r}"

    async def permissions(self, queue: QueueName) -> Mapping[str, bool | None]:
        """Make calls that can do nothing, and see which of them are refused for want of a permission."""
        found = await self._queues.find(Address(queue))
        told = {permission: await self._probe(found, permission) for permission in _PROBES}
        if (await self._dead_letters(found))[0]:
            buried = await self._queues.dead_letters_of(found)
            told[f"{_ON_DEAD_LETTERS} on {found.dead_letters}"] = await self._probe(buried, _ON_DEAD_LETTERS)
        return told

    async def _probe(self, queue: Queue, permission: str) -> bool | None:
        method, parameters = _PROBES[permission]
        try:
            await self._clients.call(Use.CALL, method, About("probe", queue.name), QueueUrl=queue.url, **parameters)
        except AuthorizationFailed:
            return False
        except QueueError as error:
            if error.transient:
                raise
        return None
