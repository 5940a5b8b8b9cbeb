"""One queue of the in-memory broker: a state machine that is told the time and does no I/O.

Every method takes `now`, and expects `advance(now)` to have been called. Whoever calls holds the broker's lock.
"""

from __future__ import annotations

from collections.abc import Iterator

from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.errors import (
    ErrorContext,
    InvalidReceipt,
    MessageNotFound,
    QueueError,
    QueueFull,
    SessionLockLost,
    UnsupportedOperation,
)
from queue_runtime.providers.memory.intake import DuplicateWindow, check
from queue_runtime.providers.memory.lanes import FifoLanes, Lanes, OneLane
from queue_runtime.providers.memory.locks import Locks
from queue_runtime.providers.memory.sessions import Session, SessionLanes
from queue_runtime.providers.memory.settings import QueueKind, QueueSettings
from queue_runtime.providers.memory.stored import NEVER, Place, Stored, later
from queue_runtime.providers.memory.timers import Timers
from queue_runtime.providers.message import DeadLetter, Delivery, Message, QueueName, Receipt
from queue_runtime.providers.port import Sent, SettleKind, Settlement

__all__ = ["EXPIRED", "PROVIDER", "TOO_MANY_DELIVERIES", "BrokerQueue", "delivery_of", "free_session", "stale"]

PROVIDER = "memory"
TOO_MANY_DELIVERIES = "max deliveries exceeded"
EXPIRED = "time to live expired"


class BrokerQueue:
    """The messages of one queue and their states. `dead_letters` is None in a queue that is one itself."""

    def __init__(
        self, name: QueueName, settings: QueueSettings, ids: Iterator[int], dead_letters: BrokerQueue | None
    ) -> None:
        self.name = name
        self.settings = settings
        self.dead_letters = dead_letters
        self.stored: dict[str, Stored] = {}
        self.sessions = SessionLanes() if settings.kind is QueueKind.SESSIONS else None
        self.locks = Locks()
        self.has_news = False  # something became available: the broker wakes who waits, and clears it
        self._ids = ids
        self._sequence = 0
        self._lanes: Lanes = self.sessions or (FifoLanes() if settings.kind is QueueKind.FIFO else OneLane())
        self._window = None
        if settings.window_s is not None:
            self._window = DuplicateWindow(settings.window_s, per_session=settings.duplicates_per_session)
        self._timers = Timers()

    def send(self, message: Message, at: Timestamp | None, now: Timestamp) -> Sent:
        """Take a message in; `at` holds it back.

        Raises:
            QueueError: the queue does not take it.
        """
        check(self.name, self.settings, message)
        original = None if self._window is None else self._window.original(message, now)
        if original is not None:
            return Sent(message.message_id, original)
        if len(self.stored) >= self.settings.max_messages:
            raise QueueFull(self.name, self.settings.max_messages)
        stored = self.put(message, f"m{next(self._ids)}", now, at)
        if self._window is not None:
            self._window.remember(message, stored.provider_id, now)
        return Sent(message.message_id, stored.provider_id)

    def put(self, message: Message, provider_id: str, now: Timestamp, at: Timestamp | None = None) -> Stored:
        """Store a message without asking anything."""
        self._sequence += 1
        stored = Stored(provider_id, self._sequence, message, now)
        self.stored[provider_id] = stored
        starts_at = now if at is None else max(at, now)
        ttl_s = self.settings.default_ttl_s if message.time_to_live is None else message.time_to_live.total_seconds()
        if ttl_s is not None:
            stored.expires_at = later(starts_at, ttl_s)
            self._timers.set(stored.expires_at, provider_id)
        if starts_at > now:
            stored.place = Place.SCHEDULED
            stored.due_at = starts_at
            self._timers.set(starts_at, provider_id)
        else:
            self._lanes.add(stored)
            self.has_news = True
        return stored

    def cancel(self, provider_id: str) -> QueueError | None:
        """Call off a scheduled message."""
        stored = self.stored.get(provider_id)
        if stored is None or stored.place is not Place.SCHEDULED:
            return MessageNotFound(provider_id, context=ErrorContext(queue=self.name, operation="cancel_scheduled"))
        self.remove(stored)
        return None

    def receive(self, max_messages: int, now: Timestamp) -> list[Delivery]:
        """Lock and deliver what is ready."""
        return self.deliver(self._lanes.pop(), max_messages, later(now, self.settings.lock_s), now)

    def deliver(
        self, ready: Iterator[Stored], max_messages: int, locked_until: Timestamp, now: Timestamp
    ) -> list[Delivery]:
        """Lock and deliver up to `max_messages` of `ready`; those delivered often enough are dead-lettered instead.

        Source of the instant, the receive that would be one too many, and of the id that is kept: recordings against
        SQS, published in LocalStack's snapshot tests: test_message_groups_with_dead_letter_queue_and_fifo,
        test_dead_letter_queue_execution_lambda_mapping_preserves_id.
        """
        deliveries: list[Delivery] = []
        if max_messages <= 0:
            return deliveries
        limit = self.settings.max_deliveries
        for stored in ready:
            if limit is not None and stored.delivery_count >= limit:
                self.bury(stored, TOO_MANY_DELIVERIES, f"delivered {stored.delivery_count} times", now)
                continue
            stored.delivery_count += 1
            stored.place = Place.LOCKED
            if stored.first_delivered_at is None:
                stored.first_delivered_at = now
            handle = str(next(self._ids))
            if self.sessions is not None:
                handle = f"{handle}/{stored.message.session_id}"
            self.locks.take(stored, handle, locked_until)
            deliveries.append(delivery_of(self.name, stored, handle, now))
            if len(deliveries) == max_messages:
                break
        return deliveries

    def settle(self, settlement: Settlement, now: Timestamp) -> QueueError | None:
        """Carry out one settlement; a repeated one changes nothing."""
        receipt = settlement.receipt
        stored = self.locks.find(receipt.handle)
        kind = settlement.kind
        if stored is None and kind is SettleKind.COMPLETE:
            stored = _late(self, receipt)
        if stored is None:
            return None if self.locks.has_settled(receipt.handle, kind) else stale(self, receipt, kind)
        if kind is SettleKind.COMPLETE:
            self.locks.settle(stored, kind)
            self.remove(stored)
        elif kind is SettleKind.ABANDON:
            self.locks.settle(stored, kind)
            self.release(stored, now, settlement.delay_s)
        elif kind is SettleKind.DEAD_LETTER and self.dead_letters is not None:
            if len(self.dead_letters.stored) >= self.settings.max_messages:
                return QueueFull(f"{self.name} (dead letters)", self.settings.max_messages)
            self.locks.settle(stored, kind)
            self.bury(stored, settlement.reason, settlement.description, now, settlement.properties)
        else:
            context = ErrorContext(self.name, stored.message.message_id, stored.message.session_id, kind)
            return UnsupportedOperation(kind, "the in-memory broker does not do this here", context=context)
        return None

    def renew(self, receipt: Receipt, now: Timestamp, for_s: float | None) -> Timestamp | QueueError:
        """Extend a lock from now on. In a session that is the session's lock, which lasts as the queue says."""
        stored = self.locks.find(receipt.handle)
        if stored is None:
            stored = _late(self, receipt)
            if stored is None:
                return stale(self, receipt, "renew")
            stored.place = Place.LOCKED
            self.locks.take(stored, receipt.handle, stored.locked_until)
        if self.sessions is None:
            until = later(now, self.settings.lock_s if for_s is None else for_s)
            self.locks.renew(stored, until, is_odd=for_s is not None and for_s != self.settings.lock_s)
            return until
        session = self.sessions.find(stored.message.session_id or "")
        if session is None:
            return stale(self, receipt, "renew")
        until = later(now, self.settings.session_lock_s)
        self.sessions.renew(session, until)
        return until

    def release(self, stored: Stored, now: Timestamp, delay_s: float = 0.0) -> None:
        """Make a message that was out available again, after `delay_s`. Its lock is gone already."""
        if stored.expires_at <= now:
            self._expire(stored, now)
        elif delay_s > 0:
            stored.place = Place.HIDDEN
            stored.due_at = later(now, delay_s)
            self._timers.set(stored.due_at, stored.provider_id)
        else:
            stored.place = Place.READY
            self._lanes.give_back(stored)
        self.has_news = True

    def bury(
        self,
        stored: Stored,
        reason: str,
        description: str,
        now: Timestamp,
        properties: tuple[tuple[str, str], ...] = (),
    ) -> None:
        """Move a message to the dead letters, with why. It keeps its id and the instant at which it was sent."""
        self.remove(stored)
        if self.dead_letters is None:
            return
        buried = self.dead_letters.put(stored.message, stored.provider_id, now)
        buried.enqueued_at = stored.enqueued_at
        buried.dead_letter = DeadLetter(reason, description, now, stored.delivery_count, properties)

    def remove(self, stored: Stored) -> None:
        """Forget a message that is not locked any more."""
        del self.stored[stored.provider_id]
        was_waiting = stored.place is Place.SCHEDULED
        stored.place = Place.GONE
        if not was_waiting:
            self._lanes.forget(stored)
        self.has_news = self.has_news or self.settings.kind is not QueueKind.STANDARD  # it may have blocked others

    def advance(self, now: Timestamp) -> None:
        """Let everything happen that was due by `now`."""
        if self.sessions is None:
            for stored in self.locks.expired(now):
                self.release(stored, now)
        else:
            for session in self.sessions.expired(now):
                free_session(self, self.sessions, session, now)
        for provider_id in self._timers.due(now):
            stored = self.stored.get(provider_id)
            if stored is None or stored.place is Place.LOCKED:
                continue
            if stored.expires_at <= now:
                self._expire(stored, now)
            elif stored.due_at <= now and stored.place is Place.HIDDEN:
                self.release(stored, now)
            elif stored.due_at <= now and stored.place is Place.SCHEDULED:
                self._activate(stored)

    def _activate(self, stored: Stored) -> None:
        """Enqueue a scheduled message: its place in the order is that of its due time."""
        self._sequence += 1
        stored.sequence = self._sequence
        stored.enqueued_at = stored.due_at
        stored.place = Place.READY
        self._lanes.add(stored)
        self.has_news = True

    def _expire(self, stored: Stored, now: Timestamp) -> None:
        if self.settings.dead_letter_expired:
            self.bury(stored, EXPIRED, f"not completed by {stored.expires_at.to_datetime().isoformat()}", now)
        else:
            self.remove(stored)

    @property
    def next_due(self) -> Timestamp:
        """When something will happen by itself."""
        next_end = self.locks.next_end if self.sessions is None else self.sessions.next_end
        return min(next_end, self._timers.next_due)


def delivery_of(queue: QueueName, stored: Stored, handle: str, now: Timestamp) -> Delivery:
    """Describe one hand-over of `stored`; without a handle, one whose receipt settles nothing."""
    return Delivery(
        queue,
        stored.message,
        Receipt(handle, stored.provider_id, stored.locked_until if handle else now, PROVIDER),
        stored.delivery_count,
        stored.sequence,
        stored.enqueued_at,
        None if stored.expires_at == NEVER else stored.expires_at,
        stored.first_delivered_at or now,
        now,
        stored.dead_letter,
    )


def free_session(queue: BrokerQueue, lanes: SessionLanes, session: Session, now: Timestamp) -> None:
    """End a session's lock, and with it every lock on its messages: they return to their places."""
    for stored in [s for s in session.out.values() if s.place is Place.LOCKED]:
        queue.locks.free(stored)
        queue.release(stored, now)
    lanes.free(session)
    queue.has_news = True


def stale(queue: BrokerQueue, receipt: Receipt, operation: str) -> QueueError:
    """Describe a receipt that holds nothing any more, in a queue of sessions a lost session."""
    if queue.sessions is not None and "/" in receipt.handle:
        return SessionLockLost(receipt.handle.partition("/")[2], queue=queue.name)
    return InvalidReceipt(
        receipt.provider_id, receipt.digest, context=ErrorContext(queue=queue.name, operation=operation)
    )


def _late(queue: BrokerQueue, receipt: Receipt) -> Stored | None:
    """Return the message that this receipt held last, if nobody had the message since: it waits, or is hidden.

    Source: recordings against SQS, published in LocalStack's snapshot tests: on a standard queue deleting and
    test_change_message_visibility_after_visibility_timeout_expiration succeed; on a FIFO queue the answer is "The
    receipt handle has expired", test_fifo_delete_message_with_expired_receipt_handle.
    """
    if not queue.settings.late_receipts or not receipt.handle:  # a look has no handle, nor has what waits
        return None
    stored = queue.stored.get(receipt.provider_id)
    return stored if stored is not None and stored.handle == receipt.handle else None
