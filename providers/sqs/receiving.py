"""How messages are received: long polls that are never cut off, more of them at a time while there is a backlog.

Whoever cancels a long poll loses the next message of the queue: the service hands it to a connection that nobody reads
and hides it until its lock ends; in a FIFO queue it blocks its group. So a poll that nobody waits for any more goes on
in the background, and what it brings is given back, tail to head.

Source: aws-sdk-java-v2#1395, aws-sdk-js#2350, aws-sdk-go-v2#2068.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Coroutine, Sequence
from typing import cast

from queue_runtime.providers.clock import Clock
from queue_runtime.providers.errors import ProviderClosed, QueueError
from queue_runtime.providers.message import Delivery
from queue_runtime.providers.sqs.clients import Clients, Use
from queue_runtime.providers.sqs.errors import About
from queue_runtime.providers.sqs.intake import Intake, Raw
from queue_runtime.providers.sqs.queues import Queue, Queues
from queue_runtime.providers.sqs.settings import MAX_BATCH, PROVIDER

__all__ = ["Receiving"]

logger = logging.getLogger("queue_runtime.providers")

MOST_AT_ONCE = 10  # polls of one queue: a hundred messages
PAUSE_S = 0.2  # between two looks in what is left of a wait below the service's whole seconds
SYSTEM_ATTRIBUTES = [
    "ApproximateReceiveCount",
    "ApproximateFirstReceiveTimestamp",
    "SentTimestamp",
    "MessageGroupId",
    "SequenceNumber",
    "AWSTraceHeader",
    "DeadLetterQueueSourceArn",
]


class Receiving:
    """Receives for one provider."""

    def __init__(self, clients: Clients, queues: Queues, intake: Intake, clock: Clock, longest_poll_s: int) -> None:
        self._clients = clients
        self._queues = queues
        self._intake = intake
        self._clock = clock
        self._longest_poll_s = longest_poll_s
        self._widths: dict[str, int] = {}
        self._closing = asyncio.Event()
        self._receives: set[asyncio.Future[None]] = set()  # done when a receive has let go of its polls
        self._left_alone: set[asyncio.Task[None]] = set()

    async def receive(self, queue: Queue, max_messages: int, wait_s: float) -> list[Delivery]:
        """Take up to `max_messages`, waiting up to `wait_s` for the first.

        Raises:
            QueueError: nothing was taken.
            ProviderClosed: the provider closes.
        """
        left_s = wait_s
        while True:
            width = min(self._widths.get(queue.url, 1), math.ceil(max_messages / MAX_BATCH))
            # Where there was a backlog a moment ago nobody has to wait; where there is none, one poll waits for all.
            poll_s = min(math.floor(left_s), self._longest_poll_s) if width == 1 and left_s > 0 else 0
            deliveries, is_empty = await self._kept(queue, self._take(queue, max_messages, width, poll_s))
            if deliveries:
                return deliveries
            left_s -= poll_s
            if not is_empty or width > 1:
                continue  # none of what came was to be delivered, or there was no waiting
            if left_s <= 0:
                return []
            if left_s < 1:
                await self._clock.sleep(min(left_s, PAUSE_S))
                left_s -= PAUSE_S

    async def _take(self, queue: Queue, max_messages: int, width: int, poll_s: int) -> tuple[list[Delivery], bool]:
        """Poll once, side by side; answers what is to be delivered, and whether the service had nothing at all."""
        counts = [MAX_BATCH] * (max_messages // MAX_BATCH) + [max_messages % MAX_BATCH]
        polls = [self._poll(queue, count, poll_s) for count in counts[:width] if count]
        answers = await asyncio.gather(*polls, return_exceptions=True)
        raws = [raw for answer in answers if not isinstance(answer, BaseException) for raw in answer]
        errors = [answer for answer in answers if isinstance(answer, BaseException)]
        if errors:
            self._widths[queue.url] = 1
            self._queues.checked(queue, errors)
            if not raws:
                raise errors[0]
        return await self._intake.accept(queue, raws), not raws

    async def _kept(
        self, queue: Queue, taking: Coroutine[object, object, tuple[list[Delivery], bool]]
    ) -> tuple[list[Delivery], bool]:
        """Wait for `taking`, and have somebody else wait for it if this is cancelled or the provider closes."""
        if self._closing.is_set():
            taking.close()
            raise ProviderClosed(PROVIDER)
        task = asyncio.ensure_future(taking)
        closing = asyncio.ensure_future(self._closing.wait())
        let_go: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._receives.add(let_go)
        is_waited_for = False
        try:
            await asyncio.wait({task, closing}, return_when=asyncio.FIRST_COMPLETED)
            is_waited_for = not self._closing.is_set()
        finally:
            closing.cancel()
            if not is_waited_for:
                self._leave_alone(queue, task)
            self._receives.discard(let_go)
            let_go.set_result(None)
        if not is_waited_for:
            raise ProviderClosed(PROVIDER)
        return task.result()

    # --- how many at a time ---

    async def _poll(self, queue: Queue, count: int, wait_s: int) -> Sequence[Raw]:
        answer = await self._clients.call(
            Use.POLL,
            "receive_message",
            About("receive", queue.name),
            QueueUrl=queue.url,
            MaxNumberOfMessages=count,
            WaitTimeSeconds=wait_s,
            VisibilityTimeout=queue.visibility_s,
            MessageSystemAttributeNames=SYSTEM_ATTRIBUTES,
            MessageAttributeNames=["All"],
        )
        raws = cast("Sequence[Raw]", answer.get("Messages") or [])
        self._adapt(queue, asked=count, got=len(raws))
        return raws

    def _adapt(self, queue: Queue, *, asked: int, got: int) -> None:
        """A full answer says that there is more: ask wider. An empty one ends that."""
        width = self._widths.get(queue.url, 1)
        if got == 0:
            width = 1
        elif got == asked == MAX_BATCH:
            width = min(width + 1, MOST_AT_ONCE)
        self._widths[queue.url] = width

    # --- what nobody waits for ---

    def _leave_alone(self, queue: Queue, taking: asyncio.Task[tuple[list[Delivery], bool]]) -> None:
        task = asyncio.ensure_future(self._give_back(queue, taking))
        self._left_alone.add(task)
        task.add_done_callback(self._left_alone.discard)

    async def _give_back(self, queue: Queue, taking: asyncio.Task[tuple[list[Delivery], bool]]) -> None:
        try:
            deliveries, _ = await taking
            await self._intake.give_back(queue, deliveries)
        except QueueError as error:
            logger.warning("a poll of queue %s that nobody waits for failed: %s", queue.name, error)

    async def close(self) -> None:
        """End every receive, and wait for the polls under way: for as long as the longest poll, at most."""
        self._closing.set()
        while waiting := self._receives | self._left_alone:
            await asyncio.wait(waiting)
