"""What becomes of what the service hands over: deliveries, and what is not to be delivered.

A message whose time to live has passed goes to the dead letters, or is dropped where there are none. A broken envelope
is poison: it goes to the dead letters as it came, byte for byte.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from queue_runtime.providers.clock import Clock, Timestamp
from queue_runtime.providers.errors import QueueError, SerializationError
from queue_runtime.providers.message import DeadLetter, Delivery, Message, Receipt
from queue_runtime.providers.port import SettleKind, Settlement
from queue_runtime.providers.sqs.ledger import Ledger
from queue_runtime.providers.sqs.queues import Queue
from queue_runtime.providers.sqs.settings import PROVIDER
from queue_runtime.providers.sqs.settling import Settler
from queue_runtime.providers.sqs.wire import dead_letter_of, foreign_message_of, message_of, stamp_of, system_attributes

__all__ = ["EXPIRED", "TOO_MANY_DELIVERIES", "UNDECODABLE", "Intake", "Raw"]

logger = logging.getLogger("queue_runtime.providers")

TOO_MANY_DELIVERIES = "max deliveries exceeded"
EXPIRED = "time to live expired"
UNDECODABLE = "undecodable"

Raw = Mapping[str, object]
"""A message as the service hands it over."""


class Intake:
    """Takes in for one provider."""

    def __init__(self, settler: Settler, ledger: Ledger, clock: Clock) -> None:
        self._settler = settler
        self._ledger = ledger
        self._clock = clock

    async def accept(self, queue: Queue, raws: Sequence[Raw]) -> list[Delivery]:
        """Return what is to be delivered, in the service's order; deal with the rest."""
        if not raws:
            return []
        now = self._clock.now()
        deliveries: list[Delivery] = []
        unwanted: list[Settlement] = []
        for raw in raws:
            broken: SerializationError | None = None
            try:
                message = message_of(queue.name, raw, is_fifo=queue.is_fifo)
            except SerializationError as error:
                message, broken = foreign_message_of(raw, is_fifo=queue.is_fifo), error
            delivery = _delivery(queue, raw, message, now)
            if foreign := self._ledger.taken(queue.address, delivery):
                delivery = replace(delivery, foreign_deliveries=foreign)
            if queue.address.dead_letters:  # whatever it is, it is to be looked at
                deliveries.append(delivery)
            elif broken is not None:
                unwanted.append(_burial(delivery, UNDECODABLE, str(broken)))
            elif delivery.expires_at is not None and delivery.expires_at <= now:
                unwanted.append(_burial(delivery, EXPIRED, "it was not delivered within its time to live"))
            else:
                deliveries.append(delivery)
        if unwanted:
            await self._bury(queue, unwanted)
        if queue.is_fifo:
            deliveries.sort(key=_sequence)  # polls side by side bring different groups; each stays in order
        return deliveries

    async def _bury(self, queue: Queue, unwanted: Sequence[Settlement]) -> None:
        if queue.dead_letters is None:
            expired = [each for each in unwanted if each.reason == EXPIRED]
            unwanted = [Settlement(SettleKind.COMPLETE, each.receipt) for each in expired]
        for settlement, answer in zip(unwanted, await self._settler.settle(queue, unwanted), strict=True):
            if isinstance(answer, QueueError):
                provider_id, reason = settlement.receipt.provider_id, settlement.reason or EXPIRED
                logger.error(
                    "message %s of queue %s (%s) stays where it is: %s", provider_id, queue.name, reason, answer
                )

    async def give_back(self, queue: Queue, deliveries: Sequence[Delivery]) -> None:
        """Release what nobody waits for any more, tail to head, so that groups come again in order."""
        settlements = [Settlement(SettleKind.ABANDON, delivery.receipt) for delivery in reversed(deliveries)]
        for answer in await self._settler.settle(queue, settlements):
            if isinstance(answer, QueueError):
                logger.warning("a message of queue %s waits for its lock to end: %s", queue.name, answer)


def _burial(delivery: Delivery, reason: str, description: str) -> Settlement:
    return Settlement(
        SettleKind.DEAD_LETTER, delivery.receipt, reason=reason, description=description, message=delivery.message
    )


def _receipt(queue: Queue, raw: Raw, now: Timestamp) -> Receipt:
    until = Timestamp(now + queue.visibility_s * 1_000_000)
    return Receipt(str(raw["ReceiptHandle"]), str(raw["MessageId"]), until, PROVIDER)


def _delivery(queue: Queue, raw: Raw, message: Message, now: Timestamp) -> Delivery:
    system = system_attributes(raw)
    sent_at = _instant(system.get("SentTimestamp"))
    first_at = _instant(system.get("ApproximateFirstReceiveTimestamp")) or now
    ttl = message.time_to_live
    expires_at = None
    if ttl is not None and sent_at is not None:
        expires_at = Timestamp(sent_at + round(ttl.total_seconds() * 1_000_000))
    dead_letter: DeadLetter | None = None
    if queue.address.dead_letters:
        dead_letter = dead_letter_of(raw, TOO_MANY_DELIVERIES)
    return Delivery(
        queue=queue.name,
        message=message,
        receipt=_receipt(queue, raw, now),
        delivery_count=int(system.get("ApproximateReceiveCount", "1")),
        sequence=_number(system.get("SequenceNumber")),
        enqueued_at=sent_at,
        expires_at=expires_at,
        first_delivered_at=first_at,
        delivered_at=Timestamp(max(now, first_at)),  # the service's clock may be ahead of ours
        dead_letter=dead_letter,
        stamp=None if queue.is_fifo else stamp_of(raw),
    )


def _instant(milliseconds: str | None) -> Timestamp | None:
    return None if milliseconds is None else Timestamp(int(milliseconds) * 1_000)


def _number(sequence: str | None) -> int | None:
    """Return a sequence number in 63 bits, which is what a journal keeps.

    The service's are of 20 digits, begin just above 2**64, and grow by some 2**46 a day: what is cut off is the same
    for all of them.
    """
    return None if not sequence or not sequence.isdecimal() else int(sequence) % 2**63


def _sequence(delivery: Delivery) -> int:
    return delivery.sequence or 0
