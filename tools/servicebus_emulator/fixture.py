"""A pytest fixture: an emulator on a thread of its own, for tests of any kind, with an event loop or without.

Import `servicebus_emulator` in a `conftest.py`, or enter `ThreadedEmulator` in a fixture of your own.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from types import TracebackType
from typing import Self, TypeVar

import pytest

from queue_runtime.tools.servicebus_emulator.emulated_queue import EmulatedQueue
from queue_runtime.tools.servicebus_emulator.server import ServiceBusEmulator

__all__ = ["ThreadedEmulator", "servicebus_emulator"]

Result = TypeVar("Result")


class ThreadedEmulator:
    """An emulator on a thread of its own; a context manager. Any thread may use it.

    Args:
        queues: the queues to begin with, as `ServiceBusEmulator` takes them.
    """

    def __init__(self, queues: Iterable[EmulatedQueue | str] = ()) -> None:
        self._emulator = ServiceBusEmulator(queues)
        self._started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="servicebus-emulator")

    async def _serve(self) -> None:
        stopped = asyncio.Event()
        try:
            async with self._emulator:
                self._started.set_result((asyncio.get_running_loop(), stopped))
                await stopped.wait()
        except OSError as error:
            self._started.set_exception(error)

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        loop, stopped = self._started.result()
        loop.call_soon_threadsafe(stopped.set)
        self._thread.join()

    def connection_string(self) -> str:
        """Return what an SDK connects with."""
        return self._emulator.connection_string()

    def do(self, action: Callable[[ServiceBusEmulator], Result]) -> Result:
        """Do something with the emulator on its own thread, and return the result.

        `emulator.do(lambda it: it.faults.drop_connections())`

        Raises:
            Exception: what `action` raised.
        """
        loop, _ = self._started.result()

        async def act() -> Result:
            return action(self._emulator)

        return asyncio.run_coroutine_threadsafe(act(), loop).result()


@pytest.fixture
def servicebus_emulator() -> Iterator[ThreadedEmulator]:
    """Run an emulator without queues for one test: `servicebus_emulator.do(lambda it: it.add_queue("orders"))`."""
    with ThreadedEmulator() as running:
        yield running
