"""What was pulled from FIFO queues for whoever will want it: kept in order, renewed, and never given back meanwhile.

A message that was given back would be counted, and dead-lettered in the end without having been looked at.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from queue_runtime.providers.clock import Clock, Timestamp
from queue_runtime.providers.errors import QueueError
from queue_runtime.providers.message import Delivery, SessionId
from queue_runtime.providers.sqs.intake import Intake
from queue_runtime.providers.sqs.queues import Queue
from queue_runtime.providers.sqs.receiving import Receiving
from queue_runtime.providers.sqs.settings import MAX_BATCH
from queue_runtime.providers.sqs.settling import Settler

__all__ = ["Pool"]

T = TypeVar("T")

MAX_KEPT = 1_000  # messages of groups that nobody wants; from there on nothing more is pulled
PAUSE_S = 0.2


class Pool:
    """Pulls for one provider. `unheld` hands the messages of held groups to their holders, and returns the others."""

    def __init__(
        self,
        receiving: Receiving,
        intake: Intake,
        settler: Settler,
        clock: Clock,
        unheld: Callable[[Queue, list[Delivery]], list[Delivery]],
    ) -> None:
        self._receiving = receiving
        self._intake = intake
        self._settler = settler
        self._clock = clock
        self._unheld = unheld
        self._kept: defaultdict[Queue, list[Delivery]] = defaultdict(list)  # by sequence
        self._polls: dict[Queue, asyncio.Task[None]] = {}
        self._keepers: dict[Queue, asyncio.Task[None]] = {}

    def oldest(self, queue: Queue) -> SessionId | None:
        """Name the group of the oldest message that is kept."""
        kept = self._kept[queue]
        return kept[0].message.session_id if kept else None

    def take_group(self, queue: Queue, session_id: SessionId) -> list[Delivery]:
        """Take what is kept of one group."""
        kept = self._kept[queue]
        taken = [delivery for delivery in kept if delivery.message.session_id == session_id]
        kept[:] = [delivery for delivery in kept if delivery.message.session_id != session_id]
        return taken

    def take(self, queue: Queue, max_messages: int) -> list[Delivery]:
        """Take what is kept, of whichever group."""
        kept = self._kept[queue]
        taken, kept[:] = kept[:max_messages], kept[max_messages:]
        return taken

    async def until(self, queue: Queue, wait_s: float, take: Callable[[], T | None]) -> T | None:
        """Pull until `take` finds what it is after, for `wait_s` and once at least."""
        deadline = self._clock.now() + round(wait_s * 1_000_000)
        found, left_s = take(), wait_s
        while found is None and left_s >= 0:
            await self._pull(queue, left_s)
            found = take()
            left_s = (deadline - self._clock.now()) / 1_000_000 if wait_s > 0 else -1.0
        return found

    async def _pull(self, queue: Queue, wait_s: float) -> None:
        """Wait for messages of any group: one poll a queue, whoever waits for it. It goes on when nobody does."""
        if len(self._kept[queue]) >= MAX_KEPT:
            await self._clock.sleep(min(wait_s, PAUSE_S))
            return
        poll = self._polls.get(queue)
        if poll is not None:
            await asyncio.wait({poll}, timeout=wait_s)
        else:
            poll = self._polls[queue] = asyncio.ensure_future(self._poll(queue, wait_s))
            poll.add_done_callback(lambda done: self._polled(queue, done))
            await asyncio.wait({poll})
        if poll.done():
            poll.result()

    def _polled(self, queue: Queue, poll: asyncio.Task[None]) -> None:
        del self._polls[queue]
        if not poll.cancelled():
            poll.exception()  # is raised where it is waited for, if anybody waits

    async def _poll(self, queue: Queue, wait_s: float) -> None:
        kept = self._kept[queue]
        kept += self._unheld(queue, await self._receiving.receive(queue, MAX_BATCH, wait_s))
        kept.sort(key=lambda delivery: delivery.sequence or 0)
        if kept and queue not in self._keepers:
            keeper = self._keepers[queue] = asyncio.ensure_future(self._keep(queue))
            keeper.add_done_callback(lambda _: self._keepers.pop(queue, None))

    async def _keep(self, queue: Queue) -> None:
        """Renew what nobody has asked for yet, as long as there is any."""
        while kept := self._kept[queue]:
            await self._clock.sleep(queue.visibility_s / 3)
            asked = tuple(kept)
            answers = await self._settler.renew(queue, [delivery.receipt for delivery in asked], None)
            renewed = {delivery.receipt.handle: answer for delivery, answer in zip(asked, answers, strict=True)}
            lost = {
                delivery.message.session_id
                for delivery in asked
                if isinstance(answer := renewed[delivery.receipt.handle], QueueError) and not answer.transient
            }
            out = [delivery for delivery in kept if delivery.message.session_id in lost]
            kept[:] = [_until(d, renewed.get(d.receipt.handle)) for d in kept if d.message.session_id not in lost]
            await self._intake.give_back(queue, out)

    async def close(self) -> None:
        """Give back what is kept. After the receives have ended."""
        for keeper in tuple(self._keepers.values()):
            keeper.cancel()
        if waiting := {*self._keepers.values(), *self._polls.values()}:
            await asyncio.wait(waiting)
        for queue, kept in self._kept.items():
            await self._intake.give_back(queue, kept)
        self._kept.clear()


def _until(delivery: Delivery, answer: Timestamp | QueueError | None) -> Delivery:
    """Return a delivery with the new end of its lock, if it got one."""
    if answer is None or isinstance(answer, QueueError):
        return delivery
    return replace(delivery, receipt=replace(delivery.receipt, expires_at=answer))
