"""Where a demo's messages go: a broker that runs for as long as the demo does, on this machine."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from queue_runtime.providers.errors import ConfigurationError
from queue_runtime.providers.memory import MemoryBroker, MemoryProvider, QueueKind, QueueSettings
from queue_runtime.providers.memory.server import MemoryBrokerServer
from queue_runtime.providers.message import QueueName
from queue_runtime.providers.port import Provider
from queue_runtime.providers.registry import provider_from_settings
from queue_runtime.providers.settings import ProviderSettings
from queue_runtime.tools.demo import local_sqs

__all__ = ["Place", "place_of"]

QUEUE = QueueName("webhooks")
MAX_DELIVERIES = 100  # every kill of an engine is a delivery more
_LOCK_S = 3.0  # short, so that what a killed engine held comes back soon


@dataclass(frozen=True, slots=True)
class Place:
    """A queue that keeps the order of sessions. `settings`: how a process reaches it; `provider`: how this one does."""

    queue: QueueName
    settings: Mapping[str, object]
    provider: Callable[[], Provider]


@asynccontextmanager
async def _in_memory(log: Path) -> AsyncGenerator[Place]:
    del log  # it has nothing to say
    settings = QueueSettings(kind=QueueKind.FIFO, lock_s=_LOCK_S, max_deliveries=MAX_DELIVERIES)
    broker = MemoryBroker({QUEUE: settings})
    sockets = Path(tempfile.mkdtemp(prefix="qr-"))  # a socket's name is short
    try:
        async with MemoryBrokerServer(broker, sockets / "broker.sock") as server:
            reached = {"provider": "memory", "memory_address": server.address}
            yield Place(QUEUE, reached, lambda: MemoryProvider(broker))
    finally:
        shutil.rmtree(sockets)


@asynccontextmanager
async def _sqs(log: Path) -> AsyncGenerator[Place]:
    queue = QueueName(f"{QUEUE}.fifo")
    async with local_sqs.server(log) as url:
        await local_sqs.make_fifo_queue(url, queue, max_deliveries=MAX_DELIVERIES)
        yield _reached(queue, local_sqs.settings(url))


def _reached(queue: QueueName, settings: Mapping[str, object]) -> Place:
    return Place(queue, settings, lambda: provider_from_settings(ProviderSettings.load(**settings)))


_PLACES: Mapping[str, Callable[[Path], AbstractAsyncContextManager[Place]]] = {"memory": _in_memory, "sqs": _sqs}


def place_of(provider: str, log: Path) -> AbstractAsyncContextManager[Place]:
    """Return a context in which a broker of that kind runs.

    Args:
        provider: `memory` or `sqs`.
        log: takes what a server of somebody else's has to say.

    Raises:
        ConfigurationError: there is no such broker.
    """
    found = _PLACES.get(provider)
    if found is None:
        msg = f"the demo has no provider {provider!r}: use {' or '.join(_PLACES)}"
        raise ConfigurationError(msg)
    return found(log)
