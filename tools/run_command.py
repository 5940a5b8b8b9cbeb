"""`queue-runtime run`: an engine from settings, until a signal ends it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

from queue_runtime.engine import Engine
from queue_runtime.engine.loading import Loaded, load_settings
from queue_runtime.providers.errors import ConfigurationError

__all__ = ["run_engine"]


def run_engine(
    *, plugins: Sequence[str], queues: Sequence[str], provider: str | None, journal: Path | None, config: Path | None
) -> None:
    """Run an engine; what is given goes before environment and file.

    Raises:
        ConfigurationError: settings cannot be used, there is no queue to receive from, or no plugin to handle anything.
        Exception: whatever a start raises; see `Engine`.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    given = {"plugins": tuple(plugins), "queues": tuple(queues), "journal": journal, "config": config}
    loaded = load_settings(
        engine={name: value for name, value in given.items() if value},
        provider={name: value for name, value in {"provider": provider, "config": config}.items() if value},
    )
    if not loaded.engine.queues:
        msg = "there is no queue to receive from: pass --queue, or set QUEUE_NAME or QUEUE_ENGINE_QUEUES"
        raise ConfigurationError(msg)
    if not loaded.engine.plugins:
        msg = "no plugin would handle a message: pass --plugin package.module, or set QUEUE_ENGINE_PLUGINS"
        raise ConfigurationError(msg)
    asyncio.run(_run(loaded))


async def _run(loaded: Loaded) -> None:
    async with Engine.from_settings(engine=loaded.engine, provider=loaded.provider) as started:
        await started.run()
