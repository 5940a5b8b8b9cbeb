"""`queue-runtime run`: an engine from settings, until a signal ends it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

from queue_runtime.engine import Engine, EngineSettings
from queue_runtime.providers.errors import ConfigurationError
from queue_runtime.providers.settings import ProviderSettings

__all__ = ["run_engine"]


def run_engine(*, plugins: Sequence[str], queues: Sequence[str], provider: str | None, journal: Path | None) -> None:
    """Run an engine; what is given goes before the environment.

    Raises:
        ConfigurationError: there is no queue to receive from, or no plugin to handle anything.
        Exception: whatever a start raises; see `Engine`.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    given: dict[str, object] = {"plugins": tuple(plugins), "queues": tuple(queues), "journal": journal}
    engine = EngineSettings.model_validate({name: value for name, value in given.items() if value})
    chosen = ProviderSettings.model_validate({} if provider is None else {"provider": provider})
    if not engine.queues and not chosen.queue_name:
        msg = "there is no queue to receive from: pass --queue, or set QUEUE_NAME or QUEUE_ENGINE_QUEUES"
        raise ConfigurationError(msg)
    if not engine.plugins:
        msg = "no plugin would handle a message: pass --plugin package.module, or set QUEUE_ENGINE_PLUGINS"
        raise ConfigurationError(msg)
    asyncio.run(_run(engine, chosen))


async def _run(engine: EngineSettings, provider: ProviderSettings) -> None:
    async with Engine.from_settings(engine=engine, provider=provider) as started:
        await started.run()
