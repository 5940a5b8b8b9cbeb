"""Settling deliveries, for an application: what the clients of a queue, of a session and of dead letters share."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.errors import ErrorContext, InvalidReceipt, QueueError
from queue_runtime.providers.message import Delivery, Receipt
from queue_runtime.providers.port import Address, Provider, SettleKind, Settlement

__all__ = ["KnownReceipts", "Settling"]

REMEMBERED = 10_000  # receipts; what is older than so many is left to the broker to refuse


class KnownReceipts:
    """Which receipts were settled lately, and until when others were renewed.

    The port forgives a repeated settlement, and an application should hear of it. The port asks for the latest end of a
    lock, and an application has the delivery as it came.
    """

    def __init__(self) -> None:
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._renewed: OrderedDict[str, Receipt] = OrderedDict()

    def latest(self, receipt: Receipt) -> Receipt:
        """Return the receipt with the latest end of its lock."""
        return self._renewed.get(receipt.handle, receipt)

    def note_renewal(self, receipt: Receipt, end: Timestamp) -> None:
        """Note the new end of a lock."""
        self._renewed[receipt.handle] = replace(receipt, expires_at=end)
        self._renewed.move_to_end(receipt.handle)
        if len(self._renewed) > REMEMBERED:
            self._renewed.popitem(last=False)

    def claim(self, delivery: Delivery, operation: str) -> None:
        """Note that this receipt is being settled.

        Raises:
            InvalidReceipt: it was before.
        """
        receipt = delivery.receipt
        if receipt.handle in self._seen:
            context = ErrorContext(delivery.queue, delivery.message.message_id, delivery.message.session_id, operation)
            raise InvalidReceipt(receipt.provider_id, receipt.digest, context=context)
        self._seen[receipt.handle] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)

    def disclaim(self, delivery: Delivery) -> None:
        """Note that settling failed: it may be tried again."""
        self._seen.pop(delivery.receipt.handle, None)


class Settling:
    """Who received a delivery settles it, once. May be called by many tasks; a call that is cancelled may have settled.

    Every method raises `InvalidReceipt` if the delivery was settled before or its lock ended, `SessionLockLost` if that
    was its session's lock, and a transient error if the broker did not answer: the same call may then be repeated.
    """

    def __init__(self, provider: Provider, known: KnownReceipts) -> None:
        self._provider = provider
        self._known = known

    async def complete(self, delivery: Delivery) -> None:
        """Remove the message for good."""
        await self._settle(delivery, Settlement(SettleKind.COMPLETE, delivery.receipt))

    async def abandon(self, delivery: Delivery, *, after: timedelta = timedelta(0)) -> None:
        """Give the message back, to be delivered again, `after` a while where the broker can wait."""
        settlement = Settlement(SettleKind.ABANDON, delivery.receipt, delay_s=after.total_seconds())
        await self._settle(delivery, settlement)

    async def dead_letter(
        self,
        delivery: Delivery,
        reason: str,
        description: str = "",
        properties: Mapping[str, str] | None = None,
    ) -> None:
        """Move the message to the dead letters, with why."""
        added = tuple((properties or {}).items())
        settlement = Settlement(
            SettleKind.DEAD_LETTER, delivery.receipt, 0.0, reason, description, added, delivery.as_sent
        )
        await self._settle(delivery, settlement)

    async def renew(self, delivery: Delivery) -> Timestamp:
        """Extend the lock by the queue's lock duration from now; return its new end."""
        self._check_held()
        (answer,) = await self._provider.renew(_source_of(delivery), [self._known.latest(delivery.receipt)])
        if isinstance(answer, QueueError):
            raise answer
        self._known.note_renewal(delivery.receipt, answer)
        return answer

    def _check_held(self) -> None:
        """Refuse before asking the broker. A queue's client has nothing to refuse; a session's has."""

    async def _settle(self, delivery: Delivery, settlement: Settlement) -> None:
        self._check_held()
        self._known.claim(delivery, settlement.kind)
        refused: QueueError | None = None
        is_answered = False
        try:
            (refused,) = await self._provider.settle(_source_of(delivery), [settlement])
            is_answered = refused is None
        finally:
            if not is_answered:
                self._known.disclaim(delivery)
        if refused is not None:
            raise refused


def _source_of(delivery: Delivery) -> Address:
    return Address(delivery.queue, dead_letters=delivery.dead_letter is not None)
