"""How a receive waits: for the broker to say that there is news, for the next thing due, or for its time to be up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sized
from typing import TypeVar

from queue_runtime.providers.clock import Clock
from queue_runtime.providers.memory.broker import MemoryBroker
from queue_runtime.providers.port import Address

__all__ = ["Polls"]

T = TypeVar("T", bound=Sized)


class _Waiter:
    """Something to wake a task with, from any thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    def wake(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self, deadline: asyncio.Future[None], clock: Clock, seconds: float) -> None:
        """Return when woken, when `deadline` is done, or after `seconds`."""
        woken = asyncio.ensure_future(self._event.wait())
        due = asyncio.ensure_future(clock.sleep(seconds))
        try:
            await asyncio.wait({woken, due, deadline}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken.cancel()
            due.cancel()
        self._event.clear()


class Polls:
    """The receives of one provider that are waiting."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self._waiting: set[_Waiter] = set()

    async def until(self, source: Address, attempt: Callable[[], T], wait_s: float) -> T:
        """Call `attempt` until it answers something that is not empty, for up to `wait_s`.

        It is called first before any waiting, and no more after it answered: cancelling loses nothing that it took.
        """
        answer = attempt()
        if len(answer) or wait_s <= 0:
            return answer
        waiter, clock = _Waiter(), self._broker.clock
        # Slept in one piece: the wall clock may be set meanwhile, and that must not change how long a receive lasts.
        deadline = asyncio.ensure_future(clock.sleep(wait_s))
        self._waiting.add(waiter)
        try:
            with self._broker.watch(source, waiter.wake):
                while not len(answer := attempt()) and not deadline.done():
                    due_in_us = self._broker.next_due(source) - clock.now()
                    await waiter.wait(deadline, clock, due_in_us / 1_000_000)
            return answer
        finally:
            self._waiting.discard(waiter)
            deadline.cancel()

    def wake_all(self) -> None:
        """Make every waiting receive call its `attempt` again."""
        for waiter in self._waiting:
            waiter.wake()
