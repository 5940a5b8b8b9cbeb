"""A Service Bus for tests and development: it speaks AMQP 1.0 to the unmodified SDKs, and needs no container."""

from __future__ import annotations

from queue_runtime.tools.servicebus_emulator.broker.browse import Counts
from queue_runtime.tools.servicebus_emulator.broker.refusal import Condition, Refused
from queue_runtime.tools.servicebus_emulator.claims import AccessKey, Right
from queue_runtime.tools.servicebus_emulator.control import Control
from queue_runtime.tools.servicebus_emulator.emulated_queue import EmulatedQueue, parse_queue
from queue_runtime.tools.servicebus_emulator.faults import Faults
from queue_runtime.tools.servicebus_emulator.server import ServiceBusEmulator

__all__ = [
    "AccessKey",
    "Condition",
    "Control",
    "Counts",
    "EmulatedQueue",
    "Faults",
    "Refused",
    "Right",
    "ServiceBusEmulator",
    "parse_queue",
]
