"""A session lock that somebody holds at an in-memory broker."""

from __future__ import annotations

from dataclasses import dataclass

from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.errors import QueueError, SessionLockLost
from queue_runtime.providers.memory.broker import MemoryBroker
from queue_runtime.providers.memory.calls import Calls
from queue_runtime.providers.memory.faults import Operation
from queue_runtime.providers.memory.polling import Polls
from queue_runtime.providers.memory.queue import BrokerQueue, free_session
from queue_runtime.providers.memory.sessions import Session, SessionLanes
from queue_runtime.providers.memory.stored import later
from queue_runtime.providers.message import Delivery, QueueName, SessionId
from queue_runtime.providers.port import Address, HeldSession

__all__ = ["Grip", "MemorySession", "renew_session"]


@dataclass(frozen=True, slots=True)
class Grip:
    """What proves a hold on a session, to this broker."""

    session_id: SessionId
    token: str
    locked_until: Timestamp


class MemorySession:
    """One hold on one session. It ends with its lock, and is not revived by somebody who accepts the session again."""

    def __init__(self, calls: Calls, polls: Polls, source: Address, grip: Grip) -> None:
        self._calls = calls
        self._polls = polls
        self._source = source
        self._session_id = grip.session_id
        self.token = grip.token
        self.locked_until = grip.locked_until

    @property
    def session_id(self) -> SessionId:
        """The session that is held."""
        return self._session_id

    async def receive(self, max_messages: int, wait_s: float) -> list[Delivery]:
        """Take the session's next messages, in order, or wait for them."""
        await self._calls.begin(Operation.RECEIVE, self._source.queue)
        if max_messages <= 0:
            return []
        return await self._polls.until(self._source, lambda: self._take(max_messages), wait_s)

    def _take(self, max_messages: int) -> list[Delivery]:
        self._calls.check_open()
        with self._calls.broker.at(self._source) as (queue, now):
            _, session = _held(queue, self)
            deliveries = queue.deliver(session.pop(), max_messages, session.locked_until, now)
            return self._calls.spoil(queue, deliveries, now)

    async def get_state(self) -> bytes | None:
        """Return what was stored for the session last; None if nothing was."""
        await self._calls.begin(Operation.SESSION_STATE, self._source.queue)
        with self._calls.broker.at(self._source) as (queue, _):
            return _held(queue, self)[1].state

    async def set_state(self, state: bytes | None) -> None:
        """Store a value for the session; it outlives the lock and the messages."""
        await self._calls.begin(Operation.SESSION_STATE, self._source.queue)
        with self._calls.broker.at(self._source) as (queue, _):
            _held(queue, self)[1].state = state

    async def close(self) -> None:
        """Give the session back with everything that was not settled; nothing if it is lost or given back already."""
        with self._calls.broker.at(self._source) as (queue, now):
            try:
                lanes, session = _held(queue, self)
            except SessionLockLost:
                return
            free_session(queue, lanes, session, now)


def renew_session(broker: MemoryBroker, queue: QueueName, held: HeldSession) -> Timestamp | QueueError:
    """Extend one session lock, made by any provider to this broker."""
    refused = broker.faults.next_refusal(Operation.RENEW_SESSION, queue)
    if refused is not None:
        return refused
    if not isinstance(held, MemorySession):
        return SessionLockLost(held.session_id, queue=queue)
    try:
        with broker.at(Address(queue)) as (found, now):
            lanes, session = _held(found, held)
            until = later(now, found.settings.session_lock_s)
            lanes.renew(session, until)
            held.locked_until = until
            return until
    except QueueError as error:
        return error


def _held(queue: BrokerQueue, held: MemorySession) -> tuple[SessionLanes, Session]:
    if queue.sessions is None:
        raise SessionLockLost(held.session_id, queue=queue.name)
    return queue.sessions, queue.sessions.held(held.session_id, held.token)
