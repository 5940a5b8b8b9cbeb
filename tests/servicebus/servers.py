"""An emulator with a clock that a test sets forward, and providers that read the same one."""

from __future__ import annotations

import asyncio
import itertools

from queue_runtime.providers.clock import SystemClock, Timestamp
from queue_runtime.providers.conformance import QueueRules
from queue_runtime.providers.message import QueueName
from queue_runtime.providers.servicebus import ServiceBusProvider, ServiceBusSettings
from queue_runtime.tools.servicebus_emulator import EmulatedQueue, ServiceBusEmulator

__all__ = ["LOCK_S", "EmulatorHarness", "ShiftedClock", "serving"]

LOCK_S = 10.0
MAX_BYTES = 65_536


class ShiftedClock(SystemClock):
    """The machine's clock, and however much a test has added to it."""

    def __init__(self) -> None:
        super().__init__()
        self.added_us = 0

    def now(self) -> Timestamp:
        return Timestamp(super().now() + self.added_us)


def serving(emulator: ServiceBusEmulator, clock: ShiftedClock) -> None:
    """Have an emulator read a test's clock."""
    emulator.served.now = clock.now


class EmulatorHarness:
    """The emulator as the conformance suite wants it."""

    patience_s = 5.0

    def __init__(self, emulator: ServiceBusEmulator, *, sessions: bool) -> None:
        self.emulator = emulator
        self.clock = ShiftedClock()
        serving(emulator, self.clock)
        self._sessions = sessions
        self._numbers = itertools.count(1)

    def settings(self) -> ServiceBusSettings:
        """Return how the emulator is reached, and what its queues are like."""
        return ServiceBusSettings(
            self.emulator.connection_string(), lock_s=LOCK_S, dead_letters_expired=True, max_message_bytes=MAX_BYTES
        )

    async def open(self) -> ServiceBusProvider:
        provider = ServiceBusProvider(self.settings(), self.clock)
        await provider.open()
        return provider

    async def make_queue(self, rules: QueueRules) -> QueueName:
        name = f"queue-{next(self._numbers)}"
        queue = EmulatedQueue(
            name=name,
            sessions=self._sessions,
            lock_s=LOCK_S,
            max_delivery_count=rules.max_deliveries,
            dead_letter_expired=True,
        )
        self.emulator.add_queue(queue)
        return QueueName(name)

    async def pass_time(self, seconds: float) -> None:
        real_s = min(seconds, 0.05)
        await asyncio.sleep(real_s)  # what is on its way arrives first
        self.clock.added_us += round((seconds - real_s) * 1_000_000)
        for queue in list(self.emulator.served.namespace.queues.values()):
            self.emulator.served.tick(queue)
        await asyncio.sleep(real_s)

    async def cut(self) -> None:
        await self.emulator.close()

    async def mend(self) -> None:
        await self.emulator.start()
