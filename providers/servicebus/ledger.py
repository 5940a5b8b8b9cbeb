"""What this process knows of its deliveries and sessions: shared by a provider and its siblings on other threads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from azure.servicebus import ServiceBusReceivedMessage

from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.message import Receipt
from queue_runtime.providers.port import Address, SettleKind

if TYPE_CHECKING:
    from queue_runtime.providers.servicebus.links import Link
    from queue_runtime.providers.servicebus.session import HeldQueueSession

__all__ = ["Held", "Ledger"]

MAX_REMEMBERED = 100_000

K = TypeVar("K")
V = TypeVar("V")


@dataclass(slots=True)
class Held:
    """A delivery that is not settled: the SDK's object for it, and the link or the session that it came over."""

    raw: ServiceBusReceivedMessage
    link: Link
    session: HeldQueueSession | None
    delivery_count: int


class Ledger:
    """Deliveries that are held, receipts that are used up, sessions that are held. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: OrderedDict[str, Held] = OrderedDict()
        self._first: OrderedDict[tuple[Address, str], Timestamp] = OrderedDict()
        self._settled: OrderedDict[str, SettleKind] = OrderedDict()
        self._sessions: dict[tuple[str, str], HeldQueueSession] = {}

    def taken(self, source: Address, receipt: Receipt, held: Held, now: Timestamp) -> Timestamp:
        """A delivery came. Returns when its message was delivered here first."""
        with self._lock:
            self._held[receipt.handle] = held
            _bound(self._held)
            first = self._first.setdefault((source, receipt.provider_id), now)
            _bound(self._first)
            return first

    def held(self, receipt: Receipt) -> Held | None:
        """Return the delivery of a receipt, if it came here and is not settled."""
        with self._lock:
            return self._held.get(receipt.handle)

    def settled(self, source: Address, receipt: Receipt, kind: SettleKind) -> None:
        """A receipt is used up."""
        with self._lock:
            self._held.pop(receipt.handle, None)
            self._settled[receipt.handle] = kind
            _bound(self._settled)
            if kind is not SettleKind.ABANDON:
                self._first.pop((source, receipt.provider_id), None)

    def settled_as(self, receipt: Receipt) -> SettleKind | None:
        """Return what a receipt was used for; None if it is not used up, as far as is known here."""
        with self._lock:
            return self._settled.get(receipt.handle)

    # --- sessions ---

    def granted(self, queue: str, session: HeldQueueSession) -> None:
        """A session is held here."""
        with self._lock:
            self._sessions[queue, session.session_id] = session

    def session(self, queue: str, session_id: str) -> HeldQueueSession | None:
        """Return the session that is held here under a name."""
        with self._lock:
            return self._sessions.get((queue, session_id))

    def given_back(self, queue: str, session: HeldQueueSession) -> list[Held]:
        """A session is held no more. Returns what was not settled of it, in order."""
        with self._lock:
            if self._sessions.get((queue, session.session_id)) is session:
                del self._sessions[queue, session.session_id]
            handles = [handle for handle, held in self._held.items() if held.session is session]
            return [self._held.pop(handle) for handle in handles]


def _bound(remembered: OrderedDict[K, V]) -> None:
    while len(remembered) > MAX_REMEMBERED:
        remembered.popitem(last=False)
