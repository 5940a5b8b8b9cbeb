"""How settings become an in-memory provider."""

from __future__ import annotations

import logging

from queue_runtime.providers.memory.broker import MemoryBroker
from queue_runtime.providers.memory.provider import MemoryProvider
from queue_runtime.providers.memory.remote import RemoteMemoryProvider
from queue_runtime.providers.memory.settings import QueueKind, QueueSettings
from queue_runtime.providers.port import Provider
from queue_runtime.providers.settings import ProviderSettings

logger = logging.getLogger("queue_runtime.providers")

__all__ = ["from_settings"]


def from_settings(settings: ProviderSettings) -> Provider:
    """Reach the broker at `memory_address`; without one, make a broker of this process with the named queues."""
    if settings.memory_address is not None:
        return RemoteMemoryProvider(settings.memory_address)
    if settings.environment == "production":
        logger.warning("the provider is memory in production: every message is lost when this process ends")
    own = () if settings.own_queue is None else (settings.own_queue,)
    names = dict.fromkeys((*own, *settings.memory_queues, *settings.registry.names()))
    queue = QueueSettings(kind=QueueKind(settings.memory_kind))
    return MemoryProvider(MemoryBroker(dict.fromkeys(names, queue)))
