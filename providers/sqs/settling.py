"""How deliveries are settled and renewed: in batches, item by item, each checked first where the service would not."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from functools import partial

from queue_runtime.providers.clock import Clock, Timestamp
from queue_runtime.providers.errors import (
    InvalidReceipt,
    MessageTooLarge,
    QueueError,
    UnsupportedOperation,
)
from queue_runtime.providers.message import DeadLetter, Receipt
from queue_runtime.providers.port import Sent, SettleKind, Settlement
from queue_runtime.providers.sqs.batching import Item, chunks, one_by_one, settle_batch, side_by_side
from queue_runtime.providers.sqs.clients import Clients
from queue_runtime.providers.sqs.deletions import Deletions
from queue_runtime.providers.sqs.errors import About
from queue_runtime.providers.sqs.ledger import Ledger
from queue_runtime.providers.sqs.queues import Queue, Queues
from queue_runtime.providers.sqs.sending import Outgoing, Sender
from queue_runtime.providers.sqs.settings import LONGEST_LOCK_S

__all__ = ["Settler"]

CHANGE = "change_message_visibility_batch"
MAX_TEXT = 1_000  # of a reason or a description that has to be cut for a message that is nearly too large


class Settler:
    """Settles for one provider."""

    def __init__(self, clients: Clients, queues: Queues, sender: Sender, ledger: Ledger, clock: Clock) -> None:
        self._clients = clients
        self._deletions = Deletions(clients)
        self._queues = queues
        self._sender = sender
        self._ledger = ledger
        self._clock = clock

    async def settle(self, queue: Queue, settlements: Sequence[Settlement]) -> list[QueueError | None]:
        """Settle item by item; those of one kind go together, abandoned ones in the order given."""
        answers: list[QueueError | None] = []
        open_: list[int] = []
        for number, settlement in enumerate(settlements):
            needs_call, answer = self._checked(queue, settlement)
            answers.append(answer)
            if needs_call:
                open_.append(number)
        for kind, act in (
            (SettleKind.DEAD_LETTER, self._dead_letter),
            (SettleKind.COMPLETE, self._complete),
            (SettleKind.ABANDON, self._abandon),
        ):
            numbers = [number for number in open_ if settlements[number].kind is kind]
            done = await act(queue, [settlements[number] for number in numbers]) if numbers else []
            for number, answer in zip(numbers, done, strict=True):
                answers[number] = answer
                if answer is None:
                    self._ledger.settled(queue.address, settlements[number].receipt, kind)
        return answers

    def _checked(self, queue: Queue, settlement: Settlement) -> tuple[bool, QueueError | None]:
        """Say whether the service is to be asked; if not, what the answer is."""
        receipt, kind = settlement.receipt, settlement.kind
        about = About(kind.value, queue.name, receipt)
        if kind is SettleKind.DEFER:
            return False, UnsupportedOperation("defer", "SQS sets no message aside", context=about.context)
        if kind is SettleKind.DEAD_LETTER and queue.address.dead_letters:
            why = "the message is a dead letter already"
            return False, UnsupportedOperation("dead-letter", why, context=about.context)
        before = self._ledger.settled_as(receipt)
        if before is kind:
            return False, None
        if kind is SettleKind.COMPLETE or self._ledger.holds(queue.address, receipt, self._clock.now()):
            return True, None
        return False, _invalid(about, receipt)

    async def _complete(self, queue: Queue, settlements: Sequence[Settlement]) -> list[QueueError | None]:
        items = [_item(queue, settlement.receipt, SettleKind.COMPLETE.value) for settlement in settlements]
        return _errors(await self._deletions.delete(queue, items))

    async def _abandon(self, queue: Queue, settlements: Sequence[Settlement]) -> list[QueueError | None]:
        items: list[Item] = []
        for settlement in settlements:
            entry, about = _item(queue, settlement.receipt, SettleKind.ABANDON.value)
            hidden_s = min(math.ceil(settlement.delay_s), LONGEST_LOCK_S)
            items.append(({**entry, "VisibilityTimeout": hidden_s}, about))
        calls = [partial(settle_batch, self._clients, CHANGE, queue, chunk) for chunk in chunks(items)]
        # In order: a group comes back in order only if its tail is released before its head.
        return _errors(await one_by_one(calls))

    # --- dead letters ---

    async def _dead_letter(self, queue: Queue, settlements: Sequence[Settlement]) -> list[QueueError | None]:
        """Send copies, and complete the messages whose copies the service has confirmed."""
        try:
            target = await self._queues.dead_letters_of(queue)
        except QueueError as error:
            return [error] * len(settlements)
        answers: list[QueueError | None] = []
        sendable: list[tuple[int, Settlement]] = []
        for number, settlement in enumerate(settlements):
            if settlement.message is None:
                about = About("dead-letter", queue.name, settlement.receipt)
                why = "SQS has no such call, so a copy of the message is needed, and none was given"
                answers.append(UnsupportedOperation("dead-letter", why, context=about.context))
            else:
                answers.append(None)
                sendable.append((number, settlement))
        sent = await self._copy(queue, target, [settlement for _, settlement in sendable])
        confirmed: list[tuple[int, Settlement]] = []
        for (number, settlement), answer in zip(sendable, sent, strict=True):
            if isinstance(answer, QueueError):
                answers[number] = answer
            else:
                confirmed.append((number, settlement))
        deleted = await self._complete(queue, [settlement for _, settlement in confirmed]) if confirmed else []
        for (number, _), answer in zip(confirmed, deleted, strict=True):
            answers[number] = answer
        return answers

    async def _copy(self, queue: Queue, target: Queue, settlements: Sequence[Settlement]) -> list[Sent | QueueError]:
        answers = await self._sender.send(target, [self._outgoing(queue, each) for each in settlements])
        cut = [number for number, answer in enumerate(answers) if isinstance(answer, MessageTooLarge)]
        if cut:
            shorter = [self._outgoing(queue, settlements[number], is_cut=True) for number in cut]
            for number, answer in zip(cut, await self._sender.send(target, shorter), strict=True):
                answers[number] = answer
        return answers

    def _outgoing(self, queue: Queue, settlement: Settlement, *, is_cut: bool = False) -> Outgoing:
        receipt, message = settlement.receipt, settlement.message
        if message is None:
            msg = "a dead letter without its message was let through"
            raise AssertionError(msg)
        record = DeadLetter(
            reason=settlement.reason[:MAX_TEXT] if is_cut else settlement.reason,
            description=settlement.description[:MAX_TEXT] if is_cut else settlement.description,
            at=self._clock.now(),
            delivery_count=self._ledger.delivery_count(queue.address, receipt),
            properties=() if is_cut else settlement.properties,
        )
        # The same copy again after a lost answer or a crash is dropped by a FIFO queue; a later life of it is not.
        return Outgoing(message, _digest(f"dead-letter {receipt.provider_id}"), record)

    # --- locks ---

    async def renew(
        self, queue: Queue, receipts: Sequence[Receipt], for_s: float | None
    ) -> list[Timestamp | QueueError]:
        """Extend locks item by item, as far as the service keeps one."""
        wanted_s = queue.visibility_s if for_s is None else for_s
        now = self._clock.now()
        answers: list[Timestamp | QueueError] = []
        going: list[tuple[int, int]] = []
        for number, receipt in enumerate(receipts):
            longest_s = self._ledger.longest_s(queue.address, receipt, now)
            for_whole_s = math.floor(min(math.ceil(wanted_s), longest_s))
            answers.append(_invalid(About("renew", queue.name, receipt), receipt))
            if for_whole_s >= 1 and self._ledger.holds(queue.address, receipt, now):
                going.append((number, for_whole_s))
        items = [(_renewal(queue, receipts[number], for_s), number) for number, for_s in going]
        calls = [
            partial(settle_batch, self._clients, CHANGE, queue, chunk) for chunk in chunks([item for item, _ in items])
        ]
        for (number, for_whole_s), answer in zip(going, await side_by_side(calls), strict=True):
            if isinstance(answer, QueueError):
                answers[number] = answer
            else:
                # From before the call: the service counts from when it got it.
                answers[number] = until = Timestamp(now + for_whole_s * 1_000_000)
                self._ledger.renewed(queue.address, receipts[number], until)
        return answers


def _renewal(queue: Queue, receipt: Receipt, for_s: int) -> Item:
    entry, about = _item(queue, receipt, "renew")
    return {**entry, "VisibilityTimeout": for_s}, about


def _item(queue: Queue, receipt: Receipt, operation: str) -> Item:
    return {"ReceiptHandle": receipt.handle}, About(operation, queue.name, receipt)


def _invalid(about: About, receipt: Receipt) -> InvalidReceipt:
    return InvalidReceipt(receipt.provider_id, receipt.digest, context=about.context)


def _errors(answers: Sequence[Mapping[str, object] | QueueError]) -> list[QueueError | None]:
    return [answer if isinstance(answer, QueueError) else None for answer in answers]


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()
