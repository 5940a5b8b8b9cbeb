"""How messages are received: with credit for what is asked, in short waits that are never cut off.

Whoever cancels a receive of the SDK loses what it has just taken off the wire, until its lock ends. So a receive that
nobody waits for any more goes on for the rest of its short wait, and what it brings is given back uncounted.

A peer that has gone silent answers nothing and closes nothing: an empty receive looks like an empty queue. So a link on
which nothing came for long is asked something that has an answer.
"""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from typing import TypeVar

from azure.servicebus import ServiceBusReceivedMessage

from queue_runtime.providers.clock import Clock, Timestamp
from queue_runtime.providers.errors import (
    ConnectionFailed,
    OperationTimeout,
    ProviderClosed,
    QueueError,
    SerializationError,
    UnsupportedOperation,
)
from queue_runtime.providers.message import Delivery, Message, QueueName, Receipt
from queue_runtime.providers.port import Address
from queue_runtime.providers.servicebus.errors import NOT_ALLOWED, About, condition_of, error_of
from queue_runtime.providers.servicebus.ledger import Held, Ledger
from queue_runtime.providers.servicebus.links import CALL_S, Link, Links, in_our_words
from queue_runtime.providers.servicebus.sdk import end_credit, release
from queue_runtime.providers.servicebus.session import HeldQueueSession
from queue_runtime.providers.servicebus.settings import PROVIDER
from queue_runtime.providers.servicebus.wire import dead_letter_of, foreign_message_of, instant, message_of

__all__ = ["Receiving"]

SHORTEST_S = 0.2  # an answer needs its round trip, whatever the caller's patience
LONGEST_S = 0.5  # what a close, or a cancelled receive, waits for
SILENT_S = 30.0
PROBE_S = 10.0

T = TypeVar("T")


class Receiving:
    """Receives for one provider."""

    def __init__(self, links: Links, ledger: Ledger, clock: Clock) -> None:
        self._links = links
        self._ledger = ledger
        self._clock = clock
        self._kinds: dict[QueueName, bool] = {}

    async def has_sessions(self, queue: QueueName) -> bool:
        """Say whether a queue demands sessions: then, and only then, the service refuses a receiver without one.

        Raises:
            QueueError: it cannot be found out.
        """
        known = self._kinds.get(queue)
        if known is None:
            try:
                source = Address(queue)
                self._links.put(source, await self._opened(source, About("capabilities", queue)))
                known = False
            except UnsupportedOperation:
                known = True
            self._kinds[queue] = known
        return known

    async def _opened(self, source: Address, about: About) -> Link:
        try:
            return await self._links.take(source)
        except Exception as error:
            if condition_of(error) == NOT_ALLOWED:
                why = f"queue {str(source.queue)!r} demands sessions: accept one"
                raise UnsupportedOperation(about.operation, why, context=about.context) from error
            raise error_of(about, error) from error

    async def receive(self, source: Address, max_messages: int, wait_s: float) -> list[Delivery]:
        """Take up to `max_messages`, waiting up to `wait_s` for the first.

        Raises:
            QueueError: nothing was taken.
        """
        self._links.check_open()
        about = About("receive", source.queue)
        if self._kinds.get(source.queue) and not source.dead_letters:
            why = f"queue {str(source.queue)!r} demands sessions: accept one"
            raise UnsupportedOperation(about.operation, why, context=about.context)
        if max_messages <= 0:
            return []
        link = await self.unless_closed(self._opened(source, about))
        try:
            found = await self.over(link, about, max_messages, wait_s)
        except ConnectionFailed:
            if not link.was_idle:
                raise
            # A link may break while nobody uses it, and only its next use shows it: that is no failure of this call.
            self._links.drop_idle(source)
            link = await self.unless_closed(self._opened(source, about))
            found = await self.over(link, about, max_messages, wait_s)
        finally:
            self._links.put(source, link)
        return [self.delivery(source, link, raw, None) for raw in found]

    async def receive_deferred(self, source: Address, sequences: Sequence[int]) -> list[Delivery]:
        """Receive messages that were set aside; all of them or none.

        Raises:
            MessageNotFound: one of them is not there, or not set aside.
            UnsupportedOperation: the queue has sessions.
        """
        self._links.check_open()
        about = About("receive deferred", source.queue, timeout_s=CALL_S)
        link = await self._opened(source, about)
        try:
            call = link.receiver.receive_deferred_messages(list(sequences), timeout=CALL_S)
            found = await in_our_words(about, call, CALL_S + 1)
        except QueueError as error:
            if error.transient:
                self._links.drop(link)
            raise
        finally:
            self._links.put(source, link)
        return [self.delivery(source, link, raw, None) for raw in found]

    # --- over one link ---

    async def over(self, link: Link, about: About, max_messages: int, wait_s: float) -> list[ServiceBusReceivedMessage]:
        """Receive over a link that nobody else receives over.

        Raises:
            QueueError: nothing was taken; the link is dropped unless it is as good as before.
        """
        is_wanted = asyncio.Event()
        work = asyncio.ensure_future(self._polls(link, about, max_messages, wait_s, is_wanted))
        closing = asyncio.ensure_future(self._links.closing.wait())
        is_kept = False
        try:
            await asyncio.wait((work, closing), return_when=asyncio.FIRST_COMPLETED)
            is_kept = work.done()
        finally:
            closing.cancel()
            if not is_kept:
                is_wanted.set()
                link.is_good = False  # another receive must not overlap
                self._links.in_background(self._given_back(link, work))
        if not is_kept:
            raise ProviderClosed(PROVIDER)
        return work.result()

    async def _polls(
        self, link: Link, about: About, max_messages: int, wait_s: float, is_over: asyncio.Event
    ) -> list[ServiceBusReceivedMessage]:
        ends_at = time.monotonic() + max(wait_s, SHORTEST_S)
        try:
            while not is_over.is_set():
                left_s = ends_at - time.monotonic()
                if left_s <= 0:
                    break
                slice_s = min(left_s, LONGEST_S)
                call = link.receiver.receive_messages(max_messages, max_wait_time=slice_s)
                found = await in_our_words(about, call, slice_s + CALL_S)
                now = time.monotonic()
                if found:
                    link.heard_at = now
                    if len(found) < max_messages:
                        await in_our_words(about, end_credit(link.receiver))
                    return found
                if now - link.heard_at >= SILENT_S:
                    await self._probe(link, about)
            await in_our_words(about, end_credit(link.receiver))
        except QueueError:
            self._links.drop(link)
            raise
        return []

    async def _probe(self, link: Link, about: About) -> None:
        """Ask for an answer.

        Raises:
            QueueError: there is none.
        """
        try:
            call = link.receiver.peek_messages(1, sequence_number=1, timeout=PROBE_S)
            await in_our_words(about, call, PROBE_S + 1)
        except OperationTimeout as error:
            text = f"the service has been silent for {SILENT_S:g} s and answers nothing: the link is given up"
            raise ConnectionFailed(text, context=about.context) from error
        link.heard_at = time.monotonic()

    async def _given_back(self, link: Link, work: asyncio.Task[list[ServiceBusReceivedMessage]]) -> None:
        try:
            for raw in reversed(await work):
                await release(link.receiver, raw)
        finally:
            self._links.drop(link)

    async def unless_closed(self, coroutine: Coroutine[object, object, T]) -> T:
        """Await something that loses nothing when it is cut off.

        Raises:
            ProviderClosed: the provider was closed meanwhile.
        """
        work = asyncio.ensure_future(coroutine)
        closing = asyncio.ensure_future(self._links.closing.wait())
        try:
            await asyncio.wait((work, closing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            closing.cancel()
            if not work.done():
                work.cancel()
                await asyncio.wait((work,))
        if work.cancelled() or self._links.closing.is_set():
            raise ProviderClosed(PROVIDER)
        return work.result()

    # --- what came ---

    def delivery(
        self, source: Address, link: Link, raw: ServiceBusReceivedMessage, session: HeldQueueSession | None
    ) -> Delivery:
        """Return a delivery, and remember it as held."""
        now = self._clock.now()
        until = session.locked_until if session is not None else instant(raw.locked_until_utc)
        token = raw.lock_token
        return self._delivery(source, raw, now, "" if token is None else str(token), until or now, (link, session))

    def peeked(self, source: Address, raw: ServiceBusReceivedMessage) -> Delivery:
        """Return what was only looked at: its receipt settles nothing."""
        now = self._clock.now()
        return self._delivery(source, raw, now, "", now, None)

    def _delivery(
        self,
        source: Address,
        raw: ServiceBusReceivedMessage,
        now: Timestamp,
        handle: str,
        until: Timestamp,
        over: tuple[Link, HeldQueueSession | None] | None,
    ) -> Delivery:
        number = raw.sequence_number or 0
        count = (raw.delivery_count or 0) + 1  # the service counts failed ones
        receipt = Receipt(handle, str(number), until, PROVIDER)
        first = now
        if over is not None:
            first = self._ledger.taken(source, receipt, Held(raw, *over, count), now)
        enqueued_at = instant(raw.enqueued_time_utc)
        return Delivery(
            queue=source.queue,
            message=_message(source.queue, raw),
            receipt=receipt,
            delivery_count=count,
            sequence=number,
            enqueued_at=enqueued_at,
            expires_at=instant(raw.expires_at_utc),
            first_delivered_at=first,
            delivered_at=now,
            dead_letter=dead_letter_of(raw, enqueued_at or now) if source.dead_letters else None,
        )


def _message(queue: QueueName, raw: ServiceBusReceivedMessage) -> Message:
    """Return the message; if an id in it is none that a message may have, as if it had none."""
    try:
        return message_of(queue, raw)
    except SerializationError:
        return foreign_message_of(raw)
