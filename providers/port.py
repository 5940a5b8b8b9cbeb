"""The port: what an adapter implements, and the words it is spoken to in.

The comments here are the contract; each sentence is held by a test of `conformance.py`. An adapter maps every failure
of its SDK to a `QueueError`, keeps its SDK's own retries for sending, and has them off for receiving, settling and
renewing: the engine loops around those. Batches may be of any length; the adapter cuts them to what its broker takes
and answers item by item, in the order asked. One bad item never costs the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.errors import QueueError
from queue_runtime.providers.message import Delivery, Message, QueueName, Receipt, SessionId

__all__ = [
    "Address",
    "Capabilities",
    "CountsMessages",
    "HeldSession",
    "Provider",
    "QueueCounts",
    "Sent",
    "SettleKind",
    "Settlement",
]


@dataclass(frozen=True, slots=True)
class Address:
    """A queue, or the dead letters of that queue."""

    queue: QueueName
    dead_letters: bool = False


class SettleKind(StrEnum):
    """The words of settlement."""

    COMPLETE = "complete"
    ABANDON = "abandon"
    DEAD_LETTER = "dead-letter"
    DEFER = "defer"


@dataclass(frozen=True, slots=True)
class Settlement:
    """One settlement to make. `delay_s` (abandon): how long the broker hides the message, where it can.

    `message` (dead-letter): what was delivered. Where `Capabilities.native_dead_letter` is False a copy of it is sent
    to the dead letters, and without it nothing can be: the adapter refuses, and the message stays.
    """

    kind: SettleKind
    receipt: Receipt
    delay_s: float = 0.0
    reason: str = ""
    description: str = ""
    properties: tuple[tuple[str, str], ...] = ()
    message: Message | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """A send that the broker accepted. `provider_id`: what the broker calls it, if it said."""

    message_id: str
    provider_id: str | None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider can do for one queue. Declared, compared with what handlers need at start-up, and tried by tests.

    Limits are in bytes and seconds. A `None` limit means that there is none that matters.
    """

    native_sessions: bool  # the queue demands sessions: messages are received through `accept_session` only
    emulated_sessions: bool  # `accept_session` works beside `receive`, and excludes the consumers of this provider only
    ordered_groups: bool  # a message in flight blocks the later ones of its session (SQS FIFO, memory FIFO)
    ordered: bool  # without faults, messages arrive in the order in which they were sent (inside a session)
    sender_order: bool  # sends with a session are numbered: an engine that is alone on the queue restores their order
    deduplicates: bool  # a second send under one deduplication id is dropped within the broker's window
    scheduled_send: bool
    max_delay_s: float | None  # the longest scheduled send that the broker holds itself
    cancel_scheduled: bool  # a scheduled send can be called off until it is due
    abandon_delay: bool  # `Settlement.delay_s` is honoured
    uncounted_release: bool  # giving back a delivery does not raise its delivery count
    native_dead_letter: bool
    drops_expired: bool  # a message whose time to live ends is discarded instead of dead-lettered
    peek: bool
    defer: bool
    session_state: bool
    late_complete: bool  # a receipt whose lock ended still completes its message until another delivery (SQS standard)
    receipts_survive_restart: bool  # another process may settle and renew with a journaled receipt
    max_batch: int
    max_message_bytes: int
    variable_lock: bool  # `renew` extends a lock by what it is asked for
    max_lock_s: float
    max_deliveries: int | None  # the broker's own bound; beyond it the broker dead-letters
    lock_s: float  # how long the lock of a fresh delivery lasts


class HeldSession(Protocol):
    """The broker's exclusive lock on one session, and the way to its messages. Made by `Provider.accept_session`."""

    @property
    def session_id(self) -> SessionId:
        """The session that is held."""
        ...

    @property
    def locked_until(self) -> Timestamp:
        """When the lock ends; moves with every renewal, a sibling's too."""
        ...

    async def receive(self, max_messages: int, wait_s: float) -> list[Delivery]:
        """As `Provider.receive`, of this session only, in order.

        Raises:
            SessionLockLost: the lock is gone; so is every receipt of this session.
        """
        ...

    async def get_state(self) -> bytes | None:
        """Return what was stored for the session last; None if nothing was.

        Raises:
            SessionLockLost: the lock is gone.
            UnsupportedOperation: where `Capabilities.session_state` is False.
        """
        ...

    async def set_state(self, state: bytes | None) -> None:
        """Store a value for the session; it outlives the lock and the messages. None removes it.

        Raises:
            SessionLockLost: the lock is gone.
            UnsupportedOperation: where `Capabilities.session_state` is False.
        """
        ...

    async def close(self) -> None:
        """Give the session back. Twice is harmless; a session that somebody else holds by now is left to them."""
        ...


class Provider(Protocol):
    """A broker. Every method may be called by many tasks at once, on the loop that opened it."""

    @property
    def name(self) -> str:
        """The name it is registered under: `memory`, `aws`, `azure`."""
        ...

    async def open(self) -> None:
        """Connect. Nothing is sent before the first call that needs it; a missing queue is found at first use."""
        ...

    async def close(self) -> None:
        """Free everything. Twice is harmless. What was delivered and not settled is redelivered when its lock ends."""
        ...

    def sibling(self) -> Provider:
        """Make a second, unopened provider to the same broker: connections of its own, for another thread's loop."""
        ...

    async def capabilities(self, queue: QueueName) -> Capabilities:
        """Say what this broker can do for `queue`.

        Raises:
            QueueNotFound: there is no such queue.
        """
        ...

    async def send(
        self, queue: QueueName, messages: Sequence[Message], *, at: Timestamp | None = None
    ) -> list[Sent | QueueError]:
        """Hand messages to the broker; `at` holds them back until then. An empty batch makes no call.

        Errors in the answer: MessageTooLarge, RequiredField, QueueFull, UnsupportedOperation for an `at` that
        `Capabilities.scheduled_send` denies, or a transient error after which the message may be there or not.

        Raises:
            QueueNotFound: there is no such queue.
        """
        ...

    async def cancel_scheduled(self, queue: QueueName, provider_ids: Sequence[str]) -> list[QueueError | None]:
        """Call off scheduled messages that are not due yet.

        Errors in the answer: MessageNotFound for what is due or unknown, UnsupportedOperation where
        `Capabilities.cancel_scheduled` is False.
        """
        ...

    async def receive(self, source: Address, max_messages: int, wait_s: float) -> list[Delivery]:
        """Wait up to `wait_s` for at least one message and take up to `max_messages`; an empty list at the time-out.

        The lock of each starts now. Cancelling loses nothing: what the broker handed over is given back or redelivered.

        Raises:
            QueueNotFound, AuthenticationFailed, ConnectionFailed, ServiceThrottled: nothing was taken.
        """
        ...

    async def settle(self, source: Address, settlements: Sequence[Settlement]) -> list[QueueError | None]:
        """Settle deliveries. Repeating a settlement that took effect is harmless and answers None.

        Errors in the answer: InvalidReceipt when the delivery is not this receipt's any more, SessionLockLost, or a
        transient error after which the same settlement may be tried again. Where
        `Capabilities.late_complete` is True an ended lock is no reason to refuse completing: the work is done.
        """
        ...

    async def renew(
        self, source: Address, receipts: Sequence[Receipt], for_s: float | None = None
    ) -> list[Timestamp | QueueError]:
        """Extend the locks of deliveries by the queue's lock duration from now; answers the new ends.

        `for_s` asks for another duration, in seconds: kept where `Capabilities.variable_lock` is True, else ignored.
        A receipt whose lock has ended answers InvalidReceipt. A broker that renews expired ones, as standard SQS does,
        is not to be believed: the adapter refuses before it calls. So `Receipt.expires_at` must be the latest end that
        the caller knows: who renewed before brings the end that was answered.
        """
        ...

    async def peek(self, source: Address, max_messages: int, after_sequence: int = 0) -> list[Delivery]:
        """Look without taking: no lock, no count, and receipts that settle nothing.

        Raises:
            UnsupportedOperation: where `Capabilities.peek` is False.
        """
        ...

    async def accept_session(self, queue: QueueName, session_id: SessionId | None, wait_s: float) -> HeldSession | None:
        """Lock a session: the named one, or the next that has messages and is free; None when there is none in time.

        Raises:
            SessionLocked: the named session is somebody else's; says until when.
            UnsupportedOperation: where the queue has no sessions.
        """
        ...

    async def renew_sessions(self, queue: QueueName, sessions: Sequence[HeldSession]) -> list[Timestamp | QueueError]:
        """Extend session locks; may be called on a sibling. A lost one answers SessionLockLost."""
        ...


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """How many messages a queue holds: ready or soon so, delivered and not settled, sent for later, dead-lettered."""

    active: int
    in_flight: int
    scheduled: int
    dead_letters: int


@runtime_checkable
class CountsMessages(Protocol):
    """What a provider is as well, if its broker tells how full a queue is."""

    async def counts(self, queue: QueueName) -> QueueCounts:
        """Count the messages of a queue; exact only while nobody else uses it.

        Raises:
            QueueNotFound: there is no such queue.
        """
        ...
