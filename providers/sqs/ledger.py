"""Which receipts are good: what this process knows of its deliveries, because the service does not say.

A standard queue renews and releases on receipts whose lock ended long ago, and so takes a message away from whoever
holds it by then. So those two are asked for here first. Completing is not: whoever completes has the work done, and the
service is to be told in any case.

Source: recordings of SQS; ChangeMessageVisibility after the visibility time-out succeeds on standard queues.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, replace

from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.message import Delivery, Receipt
from queue_runtime.providers.port import Address, SettleKind
from queue_runtime.providers.sqs.settings import LONGEST_LOCK_S

__all__ = ["Ledger"]

MAX_REMEMBERED = 120_000  # the service's own bound on messages in flight


@dataclass(frozen=True, slots=True)
class _Held:
    handle: str
    until: Timestamp
    taken_at: Timestamp
    delivery_count: int


class Ledger:
    """Deliveries that are held, and receipts that are used up. A provider shares it with siblings on other threads."""

    def __init__(self, begun: Timestamp) -> None:
        self._lock = threading.Lock()
        self._begun = begun
        self._is_whole = True  # nothing of what was delivered here has been forgotten
        self._returned: OrderedDict[tuple[Address, str], int] = OrderedDict()  # how often it was delivered by then
        self._held: OrderedDict[tuple[Address, str], _Held] = OrderedDict()
        self._settled: OrderedDict[str, SettleKind] = OrderedDict()

    def taken(self, source: Address, delivery: Delivery) -> int:
        """A delivery came: its receipt replaces any older one of the same message.

        Returns:
            How many deliveries of the message did not come here: since it was delivered here last, or at all if it was
            sent after this ledger was begun. They went to somebody else, or were lost on their way.
        """
        receipt = delivery.receipt
        held = _Held(receipt.handle, receipt.expires_at, delivery.delivered_at, delivery.delivery_count)
        with self._lock:
            name = source, receipt.provider_id
            before = self._held.pop(name, None)
            last = self._returned.pop(name, None) if before is None else before.delivery_count
            self._held[name] = held
            while len(self._held) > MAX_REMEMBERED:
                self._held.popitem(last=False)
                self._is_whole = False
        if last is None and (delivery.enqueued_at is None or delivery.enqueued_at < self._begun or not self._is_whole):
            return 0
        return max(0, delivery.delivery_count - (last or 0) - 1)

    def renewed(self, source: Address, receipt: Receipt, until: Timestamp) -> None:
        """The lock of a receipt ends at `until` now."""
        with self._lock:
            held = self._held.get((source, receipt.provider_id))
            if held is not None and held.handle == receipt.handle:
                self._held[source, receipt.provider_id] = replace(held, until=until)

    def settled(self, source: Address, receipt: Receipt, kind: SettleKind) -> None:
        """A receipt is used up."""
        with self._lock:
            held = self._held.get((source, receipt.provider_id))
            if held is not None and held.handle == receipt.handle:
                del self._held[source, receipt.provider_id]
                if kind is SettleKind.ABANDON:
                    self._returned[source, receipt.provider_id] = held.delivery_count
                    if len(self._returned) > MAX_REMEMBERED:
                        self._returned.popitem(last=False)
                        self._is_whole = False
            self._settled[receipt.digest] = kind
            while len(self._settled) > MAX_REMEMBERED:
                self._settled.popitem(last=False)

    def settled_as(self, receipt: Receipt) -> SettleKind | None:
        """Return what a receipt was used for; None if it is not used up, as far as is known here."""
        with self._lock:
            return self._settled.get(receipt.digest)

    def holds(self, source: Address, receipt: Receipt, now: Timestamp) -> bool:
        """Say whether the lock of a receipt lasts still, by what is known here and by what the receipt itself says."""
        with self._lock:
            if receipt.digest in self._settled:
                return False
            held = self._held.get((source, receipt.provider_id))
        if held is None:
            return now < receipt.expires_at
        return held.handle == receipt.handle and now < max(held.until, receipt.expires_at)

    def delivery_count(self, source: Address, receipt: Receipt) -> int | None:
        """Return how often the message had been delivered with this receipt, if that is known here."""
        with self._lock:
            held = self._held.get((source, receipt.provider_id))
        return held.delivery_count if held is not None and held.handle == receipt.handle else None

    def longest_s(self, source: Address, receipt: Receipt, now: Timestamp) -> float:
        """Return for how long from now the service can keep the lock: 12 hours from the receive, and no longer."""
        with self._lock:
            held = self._held.get((source, receipt.provider_id))
        taken_at = held.taken_at if held is not None and held.handle == receipt.handle else now
        return LONGEST_LOCK_S - (now - taken_at) / 1_000_000
