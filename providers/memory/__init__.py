"""The in-memory broker, for tests and demonstrations: it forgets everything when its process ends."""

from queue_runtime.providers.memory.broker import MemoryBroker
from queue_runtime.providers.memory.factory import from_settings
from queue_runtime.providers.memory.faults import Faults, Operation
from queue_runtime.providers.memory.provider import MemoryProvider
from queue_runtime.providers.memory.remote import RemoteMemoryProvider
from queue_runtime.providers.memory.server import MemoryBrokerServer
from queue_runtime.providers.memory.settings import QueueKind, QueueSettings

__all__ = [
    "Faults",
    "MemoryBroker",
    "MemoryBrokerServer",
    "MemoryProvider",
    "Operation",
    "QueueKind",
    "QueueSettings",
    "RemoteMemoryProvider",
    "from_settings",
]
