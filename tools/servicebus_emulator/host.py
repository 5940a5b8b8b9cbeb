"""The namespace at work: the clock and the timers of its queues, and who waits for what they have."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol

from queue_runtime.tools.servicebus_emulator.broker.browse import next_session
from queue_runtime.tools.servicebus_emulator.broker.message import Stored
from queue_runtime.tools.servicebus_emulator.broker.namespace import Namespace
from queue_runtime.tools.servicebus_emulator.broker.queue import Queue
from queue_runtime.tools.servicebus_emulator.broker.sessions import Session
from queue_runtime.tools.servicebus_emulator.claims import AccessKey

__all__ = ["Host", "Receiver", "Waiter"]


class Receiver(Protocol):
    """A link that messages of a queue go out on."""

    holder: int
    session: Session | None
    deletes: bool

    def has_room(self) -> bool:
        """Return whether it may be given a message now."""
        ...

    def deliver(self, stored: Stored) -> None:
        """Send a message that was taken for it."""
        ...

    def lose_session(self) -> None:
        """Be told that the lock of its session has ended."""
        ...


class Waiter(Protocol):
    """A link that waits for any session with messages."""

    def accept(self, name: str) -> None:
        """Take a session, which is free and has messages."""
        ...


class _Counter:
    """Who receives from one queue."""

    def __init__(self) -> None:
        self.receivers: deque[Receiver] = deque()
        self.sessions: dict[str, Receiver] = {}
        self.waiters: deque[Waiter] = deque()


class Host:
    """Serves the queues of a namespace to its links. To be used on one event loop.

    Args:
        keys: shared access policies by name.
        clock: returns microseconds since the epoch.
        seed: begins the lock tokens of this emulator, 8 bytes: those of another one are unknown to it.
    """

    def __init__(self, keys: Mapping[str, AccessKey], clock: Callable[[], int], seed: bytes) -> None:
        self.keys = keys
        self.now = clock
        self.namespace = Namespace(seed + number.to_bytes(8, "big") for number in itertools.count(1))
        self.holders = itertools.count(1)
        self._counters: dict[Queue, _Counter] = {}
        self._timers: dict[Queue, tuple[int, asyncio.TimerHandle]] = {}
        self._is_serving = False

    def _counter(self, queue: Queue) -> _Counter:
        return self._counters.setdefault(queue, _Counter())

    def join(self, queue: Queue, receiver: Receiver) -> None:
        """Let a receiver have messages from now on."""
        counter = self._counter(queue)
        if receiver.session is not None:
            counter.sessions[receiver.session.name] = receiver
        else:
            counter.receivers.append(receiver)
        self.changed(queue)

    def leave(self, queue: Queue, receiver: Receiver) -> None:
        """Give a receiver nothing more; a session that it held is free."""
        counter = self._counter(queue)
        session = receiver.session
        if session is None:
            if receiver in counter.receivers:
                counter.receivers.remove(receiver)
        elif counter.sessions.get(session.name) is receiver:
            del counter.sessions[session.name]
            queue.free(session, self.now(), is_lost=False)
        self.changed(queue)

    def wait(self, queue: Queue, waiter: Waiter) -> None:
        """Let a link have the next session that is free and has messages."""
        self._counter(queue).waiters.append(waiter)
        self.changed(queue)

    def stop_waiting(self, queue: Queue, waiter: Waiter) -> None:
        """Take a link out of those that wait for a session."""
        waiters = self._counter(queue).waiters
        if waiter in waiters:
            waiters.remove(waiter)

    def changed(self, queue: Queue) -> None:
        """Serve a queue once what is being done is done."""
        self.namespace.stirred.add(queue)
        if not self._is_serving:
            self._is_serving = True
            asyncio.get_running_loop().call_soon(self._serve)

    def _serve(self) -> None:
        self._is_serving = False
        stirred = self.namespace.stirred
        while stirred:
            self.pump(stirred.pop())

    def pump(self, queue: Queue) -> None:
        """Hand out what a queue has to who has room for it, in turn."""
        now = self.now()
        counter = self._counter(queue)
        if queue.sessions is None:
            self._pump(queue, counter.receivers, now)
        else:
            while counter.waiters and (name := next_session(queue)) is not None:
                counter.waiters.popleft().accept(name)
            for name in [name for name in queue.store.lanes if name in counter.sessions]:
                self._pump(queue, deque((counter.sessions[name or ""],)), now)
        self._arm(queue)

    def _pump(self, queue: Queue, receivers: deque[Receiver], now: int) -> None:
        passed = 0
        while passed < len(receivers):
            receiver = receivers[0]
            receivers.rotate(-1)
            if not receiver.has_room():
                passed += 1
                continue
            passed = 0
            stored = queue.take(now, session=receiver.session, delete=receiver.deletes)
            if stored is None:
                return
            receiver.deliver(stored)

    def _arm(self, queue: Queue) -> None:
        at = queue.next_at()
        armed = self._timers.get(queue)
        if at is None or (armed is not None and armed[0] <= at):
            return
        if armed is not None:
            armed[1].cancel()
        after_s = max(0, at - self.now()) / 1e6
        self._timers[queue] = (at, asyncio.get_running_loop().call_later(after_s, self._tick, queue))

    def _tick(self, queue: Queue) -> None:
        self._timers.pop(queue, None)
        self.tick(queue)

    def tick(self, queue: Queue) -> None:
        """Do what is due in a queue, and tell the receivers whose session is lost."""
        queue.tick(self.now())
        lost, queue.lost = set(queue.lost), []
        counter = self._counter(queue)
        for name, receiver in list(counter.sessions.items()):
            if receiver.holder in lost:
                del counter.sessions[name]
                receiver.lose_session()
        self.changed(queue)

    def forget(self, queue: Queue) -> None:
        """Serve a queue no more, which was deleted."""
        self._counters.pop(queue, None)
        armed = self._timers.pop(queue, None)
        if armed is not None:
            armed[1].cancel()

    def close(self) -> None:
        """Stop every timer."""
        for _, timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
