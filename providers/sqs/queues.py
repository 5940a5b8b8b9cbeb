"""What is known about queues: where they are, and how they are set up. Asked of the service once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar, cast

from queue_runtime.providers.errors import ConfigurationError, ProviderClosed, QueueNotFound
from queue_runtime.providers.message import QueueName
from queue_runtime.providers.port import Address, Capabilities, QueueCounts
from queue_runtime.providers.sqs.clients import Clients, Use
from queue_runtime.providers.sqs.errors import About
from queue_runtime.providers.sqs.settings import LONGEST_DELAY_S, LONGEST_LOCK_S, MAX_BATCH, PROVIDER, SqsSettings

T = TypeVar("T")

__all__ = ["Queue", "Queues", "capabilities_of"]

# What an envelope adds to a message: the names of its parts, ids of usual length, and later why it was dead-lettered.
ENVELOPE_BYTES = 4_096
_ARN_PARTS = 6


@dataclass(frozen=True, slots=True)
class Queue:
    """One queue of the service, or the one that takes its dead letters.

    `max_wire_bytes`: the most that the queue takes, as SQS counts it. `dead_letters`: the queue of its redrive policy,
    or of the settings. `max_deliveries`: of the redrive policy.
    """

    address: Address
    url: str
    is_fifo: bool
    visibility_s: int
    max_wire_bytes: int
    dead_letters: str | None
    dead_letters_account: str | None
    max_deliveries: int | None
    retention_s: float

    @property
    def name(self) -> QueueName:
        """The name that the application knows."""
        return self.address.queue


class Queues:
    """The queues that were asked for. For one loop.

    Attributes:
        is_open: nothing is found while it is False.
    """

    def __init__(self, clients: Clients, settings: SqsSettings) -> None:
        self._clients = clients
        self._settings = settings
        self._found: dict[Address, Queue] = {}
        self._asking = asyncio.Lock()
        self.is_open = False

    async def find(self, address: Address) -> Queue:
        """Return the queue at `address`.

        Raises:
            ProviderClosed: the provider is not open.
            QueueNotFound: the service has no such queue.
            ConfigurationError: its dead letters are asked for, and nothing says where they go.
        """
        if not self.is_open:
            raise ProviderClosed(PROVIDER)
        found = self._found.get(address)
        if found is not None:
            return found
        async with self._asking:
            if address not in self._found:
                self._found[address] = await self._ask(address)
            return self._found[address]

    async def dead_letters_of(self, queue: Queue) -> Queue:
        """Return the queue that takes the dead letters of `queue`."""
        return await self.find(Address(queue.name, dead_letters=True))

    def checked(self, queue: Queue, answers: list[T]) -> list[T]:
        """Return `answers`; if one says that the queue is not there any more, ask anew next time."""
        if any(isinstance(answer, QueueNotFound) for answer in answers):
            self._found.pop(queue.address, None)
        return answers

    async def _ask(self, address: Address) -> Queue:
        if not address.dead_letters:
            return await self._set_up(address, await self._url_of(address.queue))
        main = self._found.get(Address(address.queue)) or await self._ask(Address(address.queue))
        if main.dead_letters is None:
            msg = (
                f"queue {str(address.queue)!r} has no queue for its dead letters: give it a redrive policy, "
                "or set QUEUE_SQS_DEAD_LETTER_QUEUE"
            )
            raise ConfigurationError(msg)
        url = await self._url_of(QueueName(main.dead_letters), main.dead_letters_account)
        return await self._set_up(address, url)

    async def _url_of(self, name: QueueName, account: str | None = None) -> str:
        given = self._settings.queue_urls.get(name)
        if given is not None:
            return given
        owner = account or self._settings.owner_account
        owned = {} if owner is None else {"QueueOwnerAWSAccountId": owner}
        answer = await self._clients.call(Use.CALL, "get_queue_url", About("find", name), QueueName=str(name), **owned)
        return str(answer["QueueUrl"])

    async def _set_up(self, address: Address, url: str) -> Queue:
        attributes = await self.attributes(address, url)
        policy = _policy(attributes.get("RedrivePolicy"))
        arn = str(policy.get("deadLetterTargetArn", "")).split(":")  # arn:aws:sqs:region:account:name
        name, account = (arn[5], arn[4]) if len(arn) == _ARN_PARTS else (None, None)
        most = policy.get("maxReceiveCount")
        is_fifo = attributes.get("FifoQueue") == "true"
        if name is None and not address.dead_letters and self._settings.dead_letter_queue != address.queue:
            name = self._settings.dead_letter_queue
        return Queue(
            address=address,
            url=url,
            is_fifo=is_fifo,
            visibility_s=self._settings.visibility_s or int(attributes.get("VisibilityTimeout", "30")),
            max_wire_bytes=int(attributes.get("MaximumMessageSize", "262144")),
            dead_letters=name,
            dead_letters_account=account,
            max_deliveries=int(str(most)) if most is not None else None,
            retention_s=float(attributes.get("MessageRetentionPeriod", "345600")),
        )

    async def attributes(self, address: Address, url: str) -> Mapping[str, str]:
        """Return the attributes of a queue as the service tells them now."""
        about = About("get attributes", address.queue)
        answer = await self._clients.call(Use.CALL, "get_queue_attributes", about, QueueUrl=url, AttributeNames=["All"])
        return cast("Mapping[str, str]", answer.get("Attributes") or {})

    async def counts(self, name: QueueName) -> QueueCounts:
        """Return how full a queue is; the service's numbers are approximate, and late by up to a minute."""
        queue = await self.find(Address(name))
        now = await self.attributes(queue.address, queue.url)
        dead = 0
        if queue.dead_letters is not None:
            buried = await self.dead_letters_of(queue)
            dead = _visible(await self.attributes(buried.address, buried.url))
        return QueueCounts(
            active=_visible(now),
            in_flight=int(now.get("ApproximateNumberOfMessagesNotVisible", "0")),
            scheduled=int(now.get("ApproximateNumberOfMessagesDelayed", "0")),
            dead_letters=dead,
        )


def _visible(attributes: Mapping[str, str]) -> int:
    return int(attributes.get("ApproximateNumberOfMessages", "0"))


def _policy(text: str | None) -> Mapping[str, object]:
    return cast("Mapping[str, object]", json.loads(text)) if text else {}


def capabilities_of(queue: Queue, settings: SqsSettings) -> Capabilities:
    """Say what a queue can do, by its kind and by how it is set up."""
    # Any body of this size fits: in an envelope it grows by a third.
    fits = (queue.max_wire_bytes - ENVELOPE_BYTES) * 3 // 4
    return Capabilities(
        native_sessions=False,
        emulated_sessions=queue.is_fifo,
        ordered_groups=queue.is_fifo,
        ordered=queue.is_fifo,
        sender_order=not queue.is_fifo,
        deduplicates=queue.is_fifo,
        scheduled_send=not queue.is_fifo,
        max_delay_s=0.0 if queue.is_fifo else float(LONGEST_DELAY_S),
        abandon_delay=True,
        uncounted_release=False,
        native_dead_letter=False,
        drops_expired=queue.dead_letters is None,
        peek=False,
        defer=False,
        session_state=False,
        receipts_survive_restart=True,
        max_batch=MAX_BATCH,
        max_message_bytes=min(settings.max_message_bytes, fits),
        variable_lock=True,
        max_lock_s=float(LONGEST_LOCK_S),
        max_deliveries=queue.max_deliveries,
        lock_s=float(queue.visibility_s),
        cancel_scheduled=False,
        late_complete=not queue.is_fifo,
    )
