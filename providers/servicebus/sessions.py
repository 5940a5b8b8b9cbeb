"""Sessions: accepting them, receiving from them, renewing them over a connection of their own, giving them back.

A session that is closed with messages in hand abandons them, last first: they are free at once, and counted. Who only
lets the link go leaves that to the service, which differs in what it counts.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import suppress

from azure.servicebus import NEXT_AVAILABLE_SESSION
from azure.servicebus.exceptions import OperationTimeoutError

from queue_runtime.providers.clock import Clock, Timestamp
from queue_runtime.providers.errors import QueueError, SessionLocked, SessionLockLost, UnsupportedOperation
from queue_runtime.providers.message import Delivery, QueueName, SessionId
from queue_runtime.providers.port import Address
from queue_runtime.providers.servicebus.errors import NOT_ALLOWED, About, condition_of, error_of
from queue_runtime.providers.servicebus.ledger import Ledger
from queue_runtime.providers.servicebus.links import CALL_S, Link, Links, in_our_words
from queue_runtime.providers.servicebus.receiving import SHORTEST_S, Receiving
from queue_runtime.providers.servicebus.session import HeldQueueSession
from queue_runtime.providers.servicebus.settling import Settler

__all__ = ["Sessions"]

RENEW_S = 5.0


class Sessions:
    """The sessions of one provider."""

    def __init__(
        self, links: Links, receiving: Receiving, settler: Settler, ledger: Ledger, lock_s: float, clock: Clock
    ) -> None:
        self._links = links
        self._receiving = receiving
        self._settler = settler
        self._ledger = ledger
        self._lock_us = round(lock_s * 1_000_000)
        self._clock = clock
        self._turns: defaultdict[tuple[QueueName, SessionId], asyncio.Lock] = defaultdict(asyncio.Lock)

    async def accept(self, queue: QueueName, session_id: SessionId | None, wait_s: float) -> HeldQueueSession | None:
        """Lock a session: the named one, or the next that is free and has messages; None when there is none in time.

        Raises:
            SessionLocked: the named session is somebody else's.
            UnsupportedOperation: the queue has no sessions.
        """
        self._links.check_open()
        if session_id is None:
            return await self._receiving.unless_closed(self._accept(queue, None, wait_s))
        name = (queue, session_id)
        turn = self._turns[name]
        try:
            async with turn:  # of several here that want one session the later ones learn of the first
                known = self._ledger.session(queue, session_id)
                if known is not None and known.is_held:
                    raise SessionLocked(session_id, known.locked_until, queue=queue)
                return await self._receiving.unless_closed(self._accept(queue, session_id, wait_s))
        finally:
            if not turn.locked():
                self._turns.pop(name, None)

    async def _accept(self, queue: QueueName, session_id: SessionId | None, wait_s: float) -> HeldQueueSession | None:
        # The service does not say until when somebody else holds a session: no longer than for a whole lock.
        until = Timestamp(self._clock.now() + self._lock_us)
        about = About("accept a session", queue, session_id=session_id, locked_until=until, timeout_s=wait_s)
        try:
            link = await self._opened(queue, session_id, max(wait_s, SHORTEST_S))
        except OperationTimeoutError as error:
            if session_id is None:
                return None
            raise error_of(about, error) from error
        except Exception as error:
            if condition_of(error) == NOT_ALLOWED:
                why = f"queue {str(queue)!r} has no sessions: receive from the queue itself"
                raise UnsupportedOperation(about.operation, why, context=about.context) from error
            raise error_of(about, error) from error
        name = link.receiver.session.session_id
        session = HeldQueueSession(self, queue, SessionId(name), link, self._clock)
        self._ledger.granted(queue, session)
        return session

    async def _opened(self, queue: QueueName, session_id: SessionId | None, wait_s: float) -> Link:
        if session_id is None:
            return await self._links.receiver(Address(queue), NEXT_AVAILABLE_SESSION, wait_s)
        return await self._links.receiver(Address(queue), str(session_id))

    async def receive_of(self, session: HeldQueueSession, max_messages: int, wait_s: float) -> list[Delivery]:
        """Take messages of a session, in order.

        Raises:
            SessionLockLost: it is lost, or its link is.
        """
        self._links.check_open()
        session.check()
        if max_messages <= 0:
            return []
        async with session.turn:
            try:
                found = await self._receiving.over(session.link, session.about("receive"), max_messages, wait_s)
            except QueueError as error:
                raise session.failed(error) from error
        source = Address(session.queue)
        return [self._receiving.delivery(source, session.link, raw, session) for raw in found]

    async def give_back(self, session: HeldQueueSession) -> None:
        """Free a session: first what is in hand of it, last first, then the lock."""
        unsettled = self._ledger.given_back(session.queue, session)
        for held in reversed(unsettled) if session.is_held else ():
            await self._settler.abandon_of(session, held)
        session.is_closed = True
        await self._links.end(session.link)

    async def renew(self, queue: QueueName, session: HeldQueueSession) -> Timestamp | QueueError:
        """Renew a session's lock over the connection of this provider, or if that is refused over its own."""
        if not session.is_held:
            return session.lost()
        try:
            end_ms = await in_our_words(
                session.about("renew"),
                self._links.management(Address(queue)).renew_session(session.session_id, RENEW_S),
                RENEW_S + 1,
            )
            end = Timestamp(end_ms * 1_000)
        except QueueError as error:
            if error.transient:
                return error
            try:
                end = await _at_home(session)
            except QueueError as final:
                return final
        session.extend(end)
        return end


async def _at_home(session: HeldQueueSession) -> Timestamp:
    if session.loop is asyncio.get_running_loop():
        return await session.renew_here(RENEW_S)
    if not session.loop.is_running():
        raise session.lost()
    renewing = asyncio.run_coroutine_threadsafe(session.renew_here(RENEW_S), session.loop)
    with suppress(TimeoutError):
        async with asyncio.timeout(CALL_S):
            return await asyncio.wrap_future(renewing)
    raise SessionLockLost(session.session_id, queue=session.queue)
