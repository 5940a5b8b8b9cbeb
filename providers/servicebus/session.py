"""A session of a queue in the hands of one consumer: a receiver of its own, whose link is the lock."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
from typing import Protocol, cast

from queue_runtime.providers.clock import Clock, Timestamp
from queue_runtime.providers.errors import QueueError, SessionLockLost
from queue_runtime.providers.message import Delivery, QueueName, SessionId
from queue_runtime.providers.servicebus.errors import About
from queue_runtime.providers.servicebus.links import CALL_S, Link, in_our_words
from queue_runtime.providers.servicebus.sdk import note_session_lock
from queue_runtime.providers.servicebus.wire import instant

__all__ = ["HeldQueueSession", "Holder"]


class Holder(Protocol):
    """Who receives for sessions, and gives them back."""

    async def receive_of(self, session: HeldQueueSession, max_messages: int, wait_s: float) -> list[Delivery]:
        """Take messages of a session."""
        ...

    async def give_back(self, session: HeldQueueSession) -> None:
        """Free a session."""
        ...


class HeldQueueSession:
    """A held session. Used on the loop that accepted it; renewed from any."""

    def __init__(self, holder: Holder, queue: QueueName, session_id: SessionId, link: Link, clock: Clock) -> None:
        self.queue = queue
        self.link = link
        self.loop = asyncio.get_running_loop()
        self.turn = asyncio.Lock()  # of receives: they may not overlap
        self.is_lost = False
        self.is_closed = False
        self._holder = holder
        self._session_id = session_id
        self._clock = clock
        self._locked_until = instant(link.receiver.session.locked_until_utc) or clock.now()

    @property
    def session_id(self) -> SessionId:
        """The session that is held."""
        return self._session_id

    @property
    def locked_until(self) -> Timestamp:
        """When the lock ends; moves with every renewal, a sibling's too."""
        return self._locked_until

    @property
    def is_held(self) -> bool:
        """False once the lock ended, broke with its link, or was given back."""
        return not (self.is_lost or self.is_closed) and self._clock.now() < self._locked_until

    def extend(self, until: Timestamp) -> None:
        """The lock ends later now; the SDK is told, which refuses by what it knows."""
        self._locked_until = until
        note_session_lock(self.link.receiver, until.to_datetime())

    def lost(self) -> SessionLockLost:
        """Return the error that says so."""
        return SessionLockLost(self._session_id, queue=self.queue)

    def check(self) -> None:
        """Raise `SessionLockLost` unless it is held."""
        if not self.is_held:
            raise self.lost()

    def about(self, operation: str) -> About:
        """Say what a call on it is about."""
        return About(operation, self.queue, session_id=self._session_id, timeout_s=CALL_S)

    def failed(self, error: QueueError) -> QueueError:
        """Note an error of the link: a session's link is its lock, so that a broken one is a lost session."""
        if isinstance(error, SessionLockLost) or not self.link.is_good:
            self.is_lost = True
            return self.lost()
        return error

    async def receive(self, max_messages: int, wait_s: float) -> list[Delivery]:
        """Take messages of this session, in order."""
        return await self._holder.receive_of(self, max_messages, wait_s)

    async def get_state(self) -> bytes | None:
        """Return what was stored for the session."""
        self.check()
        try:
            call = self.link.receiver.session.get_state(timeout=CALL_S)
            state = cast("bytes | None", await in_our_words(self.about("get state"), call, CALL_S + 1))
        except QueueError as error:
            raise self.failed(error) from error
        return None if state is None else bytes(state)

    async def set_state(self, state: bytes | None) -> None:
        """Store a value for the session."""
        self.check()
        try:
            call = self.link.receiver.session.set_state(state, timeout=CALL_S)
            await in_our_words(self.about("set state"), call, CALL_S + 1)
        except QueueError as error:
            raise self.failed(error) from error

    async def renew_here(self, timeout_s: float) -> Timestamp:
        """Renew over its own link. For its own loop.

        Raises:
            QueueError: it cannot be renewed.
        """
        call = self.link.receiver.session.renew_lock(timeout=timeout_s)
        end = await in_our_words(self.about("renew"), call, timeout_s + 1)
        return Timestamp.from_datetime(end)

    async def close(self) -> None:
        """Give the session back. Twice is harmless."""
        if not self.is_closed:
            await self._holder.give_back(self)
