"""The in-memory broker: named queues behind one lock, with a clock, faults, and a look inside for tests.

It belongs to no event loop: any thread may use it. Nothing runs in it by itself; what is due happens at the next call,
and who waits for a message asks `next_due` when to look again.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager

from queue_runtime.providers.clock import Clock, SystemClock, Timestamp
from queue_runtime.providers.errors import ConfigurationError, MessageNotFound, QueueNotFound, SessionNotFound
from queue_runtime.providers.memory.faults import Faults
from queue_runtime.providers.memory.queue import BrokerQueue, free_session
from queue_runtime.providers.memory.settings import QueueSettings
from queue_runtime.providers.memory.stored import Place
from queue_runtime.providers.message import Message, QueueName
from queue_runtime.providers.port import Address, QueueCounts

__all__ = ["MemoryBroker"]


class MemoryBroker:
    """Queues in the memory of this process, as a broker would keep them.

    `queues` maps names to rules. An unknown queue is an error, as it is at every real broker, unless `auto_create` says
    with which rules it shall be made. `faults` makes the broker misbehave on order.

    Raises:
        ValidationError: a name breaks a rule.
    """

    def __init__(
        self,
        queues: Mapping[str, QueueSettings] | None = None,
        *,
        clock: Clock | None = None,
        auto_create: QueueSettings | None = None,
    ) -> None:
        self.clock: Clock = clock or SystemClock()
        self.faults = Faults()
        self._auto_create = auto_create
        self._queues: dict[str, BrokerQueue] = {}
        self._watchers: dict[BrokerQueue, list[Callable[[], None]]] = {}
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        for name, settings in (queues or {}).items():
            self.create_queue(name, settings)

    def create_queue(self, name: str, settings: QueueSettings | None = None) -> QueueName:
        """Add a queue and its dead letters.

        Raises:
            ConfigurationError: there is one of that name.
        """
        with self._lock:
            if name in self._queues:
                msg = f"queue {name!r} exists already: choose another name"
                raise ConfigurationError(msg)
            return self._create(QueueName(name), settings or QueueSettings()).name

    def _create(self, name: QueueName, settings: QueueSettings) -> BrokerQueue:
        buried = QueueSettings(
            lock_s=settings.lock_s,
            max_deliveries=None,
            max_message_bytes=settings.max_message_bytes,
            max_messages=settings.max_messages,
        )
        dead_letters = BrokerQueue(name, buried, self._ids, None)
        queue = BrokerQueue(name, settings, self._ids, dead_letters)
        self._queues[name] = queue
        self._watchers[queue] = []
        self._watchers[dead_letters] = []
        return queue

    @contextmanager
    def at(self, source: Address) -> Generator[tuple[BrokerQueue, Timestamp]]:
        """Hold the broker's lock, and yield a queue and the instant up to which everything due in it has happened.

        Raises:
            QueueNotFound: there is no such queue.
        """
        with self._lock:
            main = self._find(source.queue)
            dead_letters = main.dead_letters
            queue = dead_letters if source.dead_letters and dead_letters is not None else main
            now = self.clock.now()
            main.advance(now)
            if queue is not main:
                queue.advance(now)
            try:
                yield queue, now
            finally:
                self._tell(main)
                if dead_letters is not None:
                    self._tell(dead_letters)

    def _find(self, name: str) -> BrokerQueue:
        queue = self._queues.get(name)
        if queue is None:
            if self._auto_create is None:
                raise QueueNotFound(name)
            queue = self._create(QueueName(name), self._auto_create)
        return queue

    def _tell(self, queue: BrokerQueue) -> None:
        if queue.has_news:
            queue.has_news = False
            for wake in self._watchers[queue]:
                wake()

    @contextmanager
    def watch(self, source: Address, wake: Callable[[], None]) -> Generator[None]:
        """Have `wake` called, from whichever thread it was, when something in the queue became available."""
        with self.at(source) as (queue, _):
            self._watchers[queue].append(wake)
        try:
            yield
        finally:
            with self._lock:
                self._watchers[queue].remove(wake)

    def next_due(self, source: Address) -> Timestamp:
        """Return when something in the queue, or in the one whose dead letters it is, happens by itself."""
        with self.at(source) as (queue, _):
            return min(queue.next_due, self._queues[source.queue].next_due)

    def token(self) -> str:
        """Make the name of a session lock, never used before."""
        return f"s{next(self._ids)}"

    def counts(self, queue: str) -> QueueCounts:
        """Count the messages of a queue by what they are waiting for."""
        with self.at(Address(QueueName(queue))) as (found, _):
            places = [stored.place for stored in found.stored.values()]
            buried = 0 if found.dead_letters is None else len(found.dead_letters.stored)
        in_flight, scheduled = places.count(Place.LOCKED), places.count(Place.SCHEDULED)
        return QueueCounts(len(places) - in_flight - scheduled, in_flight, scheduled, buried)

    def messages(self, queue: str, *, dead_letters: bool = False) -> list[Message]:
        """Return every message that the queue holds, whatever its state, in the queue's order."""
        with self.at(Address(QueueName(queue), dead_letters)) as (found, _):
            return [stored.message for stored in sorted(found.stored.values(), key=lambda stored: stored.sequence)]

    def lose_lock(self, queue: str, message_id: str) -> None:
        """End the lock on a delivered message now, whatever its receipt says: another receiver may have it.

        Raises:
            MessageNotFound: no message of that id is locked.
        """
        with self.at(Address(QueueName(queue))) as (found, now):
            for stored in found.stored.values():
                if stored.message.message_id == message_id and stored.place is Place.LOCKED:
                    found.locks.free(stored)
                    found.release(stored, now)
                    return
        raise MessageNotFound(message_id)

    def lose_session(self, queue: str, session_id: str) -> None:
        """End the lock on a session now, and with it every lock on its messages.

        Raises:
            SessionNotFound: nobody holds such a session.
        """
        with self.at(Address(QueueName(queue))) as (found, now):
            lanes = found.sessions
            session = None if lanes is None else lanes.find(session_id)
            if lanes is None or session is None or not session.is_held:
                raise SessionNotFound(session_id, queue=queue)
            free_session(found, lanes, session, now)
