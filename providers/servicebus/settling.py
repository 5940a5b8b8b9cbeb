"""How deliveries are settled and renewed: at the same time, item by item, over their link or past it.

The link that brought a message settles it fastest. When it is gone, or another process had it, the service takes the
lock token over `$management`; so it does for what a dead letter carries beside its reason. What is held of a session
dies with the session's link.
"""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from uuid import UUID

from queue_runtime.providers.clock import Clock, Timestamp
from queue_runtime.providers.errors import InvalidReceipt, QueueError, UnsupportedOperation
from queue_runtime.providers.message import Receipt
from queue_runtime.providers.port import Address, SettleKind, Settlement
from queue_runtime.providers.servicebus.errors import About
from queue_runtime.providers.servicebus.ledger import Held, Ledger
from queue_runtime.providers.servicebus.links import CALL_S, Links, in_our_words
from queue_runtime.providers.servicebus.receiving import Receiving
from queue_runtime.providers.servicebus.sdk import note_lock
from queue_runtime.providers.servicebus.session import HeldQueueSession
from queue_runtime.providers.servicebus.wire import DEAD_LETTER, record_of

__all__ = ["Settler"]

AT_ONCE = 100
MAX_REASON = 4_096  # Source: Service Bus, "Overview of dead-letter queues": reason and description

_WORDS = {
    SettleKind.COMPLETE: "completed",
    SettleKind.ABANDON: "abandoned",
    SettleKind.DEAD_LETTER: "suspended",
    SettleKind.DEFER: "defered",
}


class Settler:
    """Settles and renews for one provider."""

    def __init__(self, links: Links, receiving: Receiving, ledger: Ledger, clock: Clock) -> None:
        self._links = links
        self._receiving = receiving
        self._ledger = ledger
        self._clock = clock

    async def settle(self, source: Address, settlements: Sequence[Settlement]) -> list[QueueError | None]:
        """Settle item by item: abandoned ones in the order given, which a session's order needs, the others at once."""
        self._links.check_open()
        answers: dict[int, QueueError | None] = {}
        free = asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> None:
            async with free:
                answers[number] = await self._settle(source, settlements[number])

        async with asyncio.TaskGroup() as group:
            for number, settlement in enumerate(settlements):
                if settlement.kind is not SettleKind.ABANDON:
                    group.create_task(one(number))
        for number, settlement in enumerate(settlements):
            if settlement.kind is SettleKind.ABANDON:
                await one(number)
        return [answers[number] for number in range(len(settlements))]

    async def _settle(self, source: Address, settlement: Settlement) -> QueueError | None:
        receipt, kind = settlement.receipt, settlement.kind
        about = About(kind.value, source.queue, receipt, timeout_s=CALL_S)
        if kind is SettleKind.DEAD_LETTER and source.dead_letters:
            return UnsupportedOperation("dead-letter", "the message is a dead letter already", context=about.context)
        before = self._ledger.settled_as(receipt)
        if before is not None or _token(receipt) is None:
            return None if before is kind else _invalid(about, receipt)
        held = self._ledger.held(receipt)
        try:
            await self._told(source, settlement, about, held)
        except QueueError as error:
            return error
        self._ledger.settled(source, receipt, kind)
        return None

    async def _told(self, source: Address, settlement: Settlement, about: About, held: Held | None) -> None:
        session = None if held is None else held.session
        if session is not None:
            session.check()
        elif held is None and await self._has_sessions(source):
            raise _invalid(about, settlement.receipt)  # whatever session it was of is not held here
        needs_request = held is None or not held.link.is_good or bool(settlement.properties)
        if held is not None and not needs_request:
            try:
                await in_our_words(about, _over_link(held, settlement))
            except QueueError as error:
                if session is not None:
                    raise session.failed(error) from error
                if not error.transient:
                    raise
                self._links.drop(held.link)  # it may be known past the link what became of it
            else:
                return
        await self._by_request(source, settlement, about, held)

    async def _by_request(self, source: Address, settlement: Settlement, about: About, held: Held | None) -> None:
        token = _token(settlement.receipt)
        if token is None:
            raise _invalid(about, settlement.receipt)
        properties: list[tuple[str, str]] = []
        if settlement.properties:
            count = None if held is None else held.delivery_count
            properties = [(DEAD_LETTER, record_of(self._clock.now(), count, settlement.properties))]
        session = None if held is None else held.session
        call = self._links.management(source).settle(
            token,
            _WORDS[settlement.kind],
            CALL_S,
            reason=settlement.reason[:MAX_REASON],
            description=settlement.description[:MAX_REASON],
            properties=properties,
            session_id=None if session is None else str(session.session_id),
        )
        await in_our_words(about, call, CALL_S + 1)

    async def _has_sessions(self, source: Address) -> bool:
        return not source.dead_letters and await self._receiving.has_sessions(source.queue)

    async def abandon_of(self, session: HeldQueueSession, held: Held) -> QueueError | None:
        """Abandon what a session that is being given back still holds."""
        try:
            await in_our_words(session.about("abandon"), held.link.receiver.abandon_message(held.raw))
        except QueueError as error:
            return error
        return None

    # --- locks ---

    async def renew(self, source: Address, receipts: Sequence[Receipt]) -> dict[int, Timestamp | QueueError]:
        """Renew the locks of messages by token, all in one request if it is granted, else one by one."""
        self._links.check_open()
        now = self._clock.now()
        answers: dict[int, Timestamp | QueueError] = {}
        going: dict[int, UUID] = {}
        for number, receipt in enumerate(receipts):
            token = _token(receipt)
            if token is None or receipt.is_expired(now) or self._ledger.settled_as(receipt) is not None:
                answers[number] = _invalid(About("renew", source.queue, receipt), receipt)
            else:
                going[number] = token
        numbers = list(going)
        for start in range(0, len(numbers), AT_ONCE):
            chunk = numbers[start : start + AT_ONCE]
            answers |= await self._renew_chunk(source, receipts, {number: going[number] for number in chunk})
        return answers

    async def _renew_chunk(
        self, source: Address, receipts: Sequence[Receipt], going: dict[int, UUID]
    ) -> dict[int, Timestamp | QueueError]:
        number, *others = going
        about = About("renew", source.queue, receipts[number], timeout_s=CALL_S)
        try:
            call = self._links.management(source).renew(list(going.values()), CALL_S)
            ends = await in_our_words(about, call, CALL_S + 1)
        except QueueError as error:
            if error.transient or not others:
                return dict.fromkeys(going, error)
            answers: dict[int, Timestamp | QueueError] = {}
            for each, token in going.items():  # one of them is lost: the service renewed none, and does not say which
                answers |= await self._renew_chunk(source, receipts, {each: token})
            return answers
        return {each: self._renewed(receipts[each], end) for each, end in zip(going, ends, strict=True)}

    def _renewed(self, receipt: Receipt, end_ms: int) -> Timestamp:
        end = Timestamp(end_ms * 1_000)
        held = self._ledger.held(receipt)
        if held is not None:
            note_lock(held.raw, end.to_datetime())
        return end


def _over_link(held: Held, settlement: Settlement) -> Coroutine[object, object, None]:
    receiver = held.link.receiver
    match settlement.kind:
        case SettleKind.COMPLETE:
            return receiver.complete_message(held.raw)
        case SettleKind.ABANDON:
            return receiver.abandon_message(held.raw)
        case SettleKind.DEFER:
            return receiver.defer_message(held.raw)
        case SettleKind.DEAD_LETTER:
            reason, description = settlement.reason[:MAX_REASON], settlement.description[:MAX_REASON]
            return receiver.dead_letter_message(held.raw, reason=reason, error_description=description)


def _token(receipt: Receipt) -> UUID | None:
    """Return the lock token that a receipt is; None if it is none, as that of a message that was only looked at."""
    try:
        return UUID(receipt.handle)
    except ValueError:
        return None


def _invalid(about: About, receipt: Receipt) -> InvalidReceipt:
    return InvalidReceipt(receipt.provider_id, receipt.digest, context=about.context)
