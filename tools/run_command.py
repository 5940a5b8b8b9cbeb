"""`queue-runtime run`: an engine from settings, until a signal ends it."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from queue_runtime.engine import Engine, EngineSettings
from queue_runtime.engine.loading import load_settings
from queue_runtime.providers.errors import ConfigurationError
from queue_runtime.providers.settings import ProviderSettings

__all__ = ["run_engine", "run_until_told"]

logger = logging.getLogger("queue_runtime.tools")


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
    asyncio.run(run_until_told(loaded.engine, loaded.provider))


async def run_until_told(engine: EngineSettings, provider: ProviderSettings, plugins: Sequence[object] = ()) -> None:
    """Run an engine until SIGTERM or SIGINT drains it; a second one stops at once. For the main thread.

    What a journal owes is performed while the engine starts: a handler may run, and a signal come, before `Engine.run`
    is there to hear it. Such a signal lets the start come to its end, and drains then.

    Raises:
        Exception: whatever a start raises; see `Engine`.
    """
    with _first_signal() as asked:
        async with Engine.from_settings(plugins=plugins, engine=engine, provider=provider) as started:
            if not asked.is_set():
                await started.run()


@contextmanager
def _first_signal() -> Generator[asyncio.Event]:
    """Yield what the first signal sets. A second one ends the process, as it would without us: the journal bears it."""
    loop, asked = asyncio.get_running_loop(), asyncio.Event()
    signals = (signal.SIGTERM, signal.SIGINT)

    def hear() -> None:
        asked.set()
        for number in signals:
            loop.remove_signal_handler(number)
        logger.info("a signal during the start: draining when it is done; a second one ends the process")

    for number in signals:
        loop.add_signal_handler(number, hear)
    try:
        yield asked
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
