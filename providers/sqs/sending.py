"""How messages are sent: sized, cut into batches, and what failed for the moment sent again."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from queue_runtime.providers.clock import Clock, Timestamp
from queue_runtime.providers.errors import (
    MessageTooLarge,
    OutOfRange,
    QueueError,
    RequiredField,
    UnsupportedOperation,
)
from queue_runtime.providers.message import DeadLetter, Message
from queue_runtime.providers.port import Sent
from queue_runtime.providers.sqs.batching import Item, call_batch, chunks, one_by_one, side_by_side
from queue_runtime.providers.sqs.clients import Clients, Use
from queue_runtime.providers.sqs.errors import About
from queue_runtime.providers.sqs.queues import Queue, capabilities_of
from queue_runtime.providers.sqs.settings import LONGEST_DELAY_S, MAX_BATCH_BYTES, SqsSettings
from queue_runtime.providers.sqs.stamps import Stamps
from queue_runtime.providers.sqs.wire import group_id, token, wire_of

__all__ = ["Outgoing", "Sender"]

ROUNDS = 3  # of what a batch answered with a failure that may pass; the SDK repeats calls that fail as a whole
PAUSE_S = 0.2


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to send. `dead_letter`: why, if it goes to the dead letters, where no size of ours holds."""

    message: Message
    deduplication_id: str
    dead_letter: DeadLetter | None = None


@dataclass(frozen=True, slots=True)
class _Ready:
    """An entry, its group, and its size on the wire."""

    item: Item
    group: str | None
    size: int
    message_id: str


class Sender:
    """Sends for one provider."""

    def __init__(self, clients: Clients, settings: SqsSettings, clock: Clock) -> None:
        self._clients = clients
        self._settings = settings
        self._clock = clock
        self._stamps = Stamps(clock)

    async def send(
        self, queue: Queue, outgoing: Sequence[Outgoing], at: Timestamp | None = None
    ) -> list[Sent | QueueError]:
        """Send, and answer item by item in the order given."""
        delay_s = 0 if at is None else max(0, math.ceil((at - self._clock.now()) / 1_000_000))
        limit = capabilities_of(queue, self._settings).max_message_bytes
        prepared = [self._prepared(queue, each, delay_s, limit) for each in outgoing]
        ready = [each for each in prepared if isinstance(each, _Ready)]
        answers = iter(await self._send_ready(queue, ready))
        return [each if isinstance(each, QueueError) else next(answers) for each in prepared]

    def _prepared(self, queue: Queue, outgoing: Outgoing, delay_s: int, limit: int) -> _Ready | QueueError:
        message = outgoing.message
        about = About("send", queue.name, message=message)
        if outgoing.dead_letter is None and message.size_bytes > limit:
            return MessageTooLarge(message.size_bytes, limit, context=about.context)
        # What is sent for later is not part of the order of sends, nor is a dead letter; a FIFO queue needs no help.
        is_stamped = not (queue.is_fifo or delay_s or outgoing.dead_letter is not None)
        stamp = self._stamps.stamp(queue.name, message) if is_stamped else None
        wire = wire_of(message, outgoing.dead_letter, stamp, is_fifo=queue.is_fifo)
        if wire.size_bytes > queue.max_wire_bytes:
            return MessageTooLarge(wire.size_bytes, queue.max_wire_bytes, context=about.context)
        if delay_s and (refused := _refused_delay(queue, delay_s, about)) is not None:
            return refused
        entry = wire.entry()
        if delay_s:
            entry["DelaySeconds"] = delay_s
        if not queue.is_fifo:
            return _Ready((entry, about), None, wire.size_bytes, message.message_id)
        if message.session_id is None:
            problem = f"is required: FIFO queue {str(queue.name)!r} orders its messages by session"
            return RequiredField("session_id", problem)
        group = group_id(message.session_id)
        if group is None:
            return OutOfRange(
                "session_id", "is too long for a message group: spaces count three", context=about.context
            )
        entry |= {"MessageGroupId": group, "MessageDeduplicationId": token(outgoing.deduplication_id)}
        return _Ready((entry, about), group, wire.size_bytes, message.message_id)

    async def _send_ready(self, queue: Queue, ready: list[_Ready]) -> list[Sent | QueueError]:
        if not queue.is_fifo:
            calls = [partial(self._send_batch, queue, batch) for batch in _batches(ready)]
            return await side_by_side(calls)
        stuck: dict[str, QueueError] = {}
        return await one_by_one([partial(self._send_in_order, queue, batch, stuck) for batch in _batches(ready)])

    async def _send_in_order(
        self, queue: Queue, batch: list[_Ready], stuck: dict[str, QueueError]
    ) -> list[Sent | QueueError]:
        """Send a batch of a FIFO queue, but nothing of a group behind a message that may yet be sent."""
        going = [each for each in batch if each.group not in stuck]
        sent = iter(await self._send_batch(queue, going) if going else [])
        answers = [stuck[each.group] if each.group in stuck else next(sent) for each in batch]
        for each, answer in zip(batch, answers, strict=True):
            if each.group is not None and isinstance(answer, QueueError) and answer.transient:
                stuck.setdefault(each.group, answer)
        return answers

    async def _send_batch(self, queue: Queue, batch: list[_Ready]) -> list[Sent | QueueError]:
        """Send up to ten, and again those that failed and may pass."""
        answers: dict[int, Sent | QueueError] = {}
        waiting = list(range(len(batch)))
        for left in reversed(range(ROUNDS)):
            items = [batch[number].item for number in waiting]
            try:
                results = await call_batch(self._clients, Use.SEND, "send_message_batch", queue, items)
            except QueueError as error:  # the SDK has tried it again already
                answers.update((number, error) for number in waiting)
                break
            for number, result in zip(waiting, results, strict=True):
                answers[number] = result if isinstance(result, QueueError) else _sent(batch[number], result)
                self._note(queue, batch[number], answers[number])
            waiting = _worth_another(batch, answers)
            if not waiting or not left:
                break
            await asyncio.sleep(PAUSE_S)
        return [answers[number] for number in range(len(batch))]

    def _note(self, queue: Queue, sent: _Ready, answer: Sent | QueueError) -> None:
        _, about = sent.item
        if about.message is not None and (isinstance(answer, Sent) or not answer.transient):
            self._stamps.answered(queue.name, about.message)


def _worth_another(batch: Sequence[_Ready], answers: Mapping[int, Sent | QueueError]) -> list[int]:
    """Return what may be sent again: not what somebody behind it in its group has overtaken."""
    again: list[int] = []
    for number, answer in answers.items():
        if not isinstance(answer, QueueError) or not answer.transient:
            continue
        group = batch[number].group
        behind = (later for later in range(number + 1, len(batch)) if group is not None and batch[later].group == group)
        if not any(isinstance(answers[later], Sent) for later in behind):
            again.append(number)
    return sorted(again)


def _batches(ready: list[_Ready]) -> list[list[_Ready]]:
    return chunks(ready, [each.size for each in ready], MAX_BATCH_BYTES)


def _sent(ready: _Ready, result: Mapping[str, object]) -> Sent:
    return Sent(ready.message_id, str(result["MessageId"]))


def _refused_delay(queue: Queue, delay_s: int, about: About) -> QueueError | None:
    if queue.is_fifo:
        why = f"FIFO queue {str(queue.name)!r} delays no single message: let an engine's journal hold it"
    elif delay_s > LONGEST_DELAY_S:
        why = f"SQS holds a message for {LONGEST_DELAY_S} s at most: let an engine's journal hold it"
    else:
        return None
    return UnsupportedOperation("scheduled send", why, context=about.context)
