"""`queue-runtime queues`: how full the queues are."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from queue_runtime.engine.loading import Loaded, load_settings
from queue_runtime.providers.client import QueueClient
from queue_runtime.providers.errors import ConfigurationError
from queue_runtime.providers.port import QueueCounts
from queue_runtime.providers.registry import provider_from_settings

__all__ = ["show_counts"]


def show_counts(*, queues: tuple[str, ...], config: Path | None, as_json: bool) -> None:
    """Print the counts of the named queues, or of those that an engine would receive from.

    Raises:
        ConfigurationError: settings cannot be used, or name no queue.
        QueueError: a queue is not there, or the broker does not tell.
    """
    given: Mapping[str, object] = {} if config is None else {"config": config}
    loaded = load_settings(engine={**given, **({"queues": queues} if queues else {})}, provider=given)
    if not loaded.engine.queues:
        msg = "there is no queue to count: pass --queue, or set QUEUE_NAME or QUEUE_ENGINE_QUEUES"
        raise ConfigurationError(msg)
    counts = asyncio.run(_counts(loaded))
    if as_json:
        print(json.dumps({queue: asdict(each) for queue, each in counts.items()}, indent=2))
        return
    table = Table("queue", *(name.replace("_", " ") for name in QueueCounts.__dataclass_fields__))
    for queue, each in counts.items():
        table.add_row(queue, *(str(number) for number in asdict(each).values()))
    Console().print(table)


async def _counts(loaded: Loaded) -> dict[str, QueueCounts]:
    async with QueueClient(provider_from_settings(loaded.provider)) as client:
        return {queue: await client.counts(queue) for queue in loaded.engine.queues}
