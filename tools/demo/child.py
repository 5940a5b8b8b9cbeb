"""The engine of a crash demo: a process of its own, over the broker of another one, made to be killed."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

from queue_runtime.engine import Engine, EngineSettings
from queue_runtime.providers.settings import ProviderSettings
from queue_runtime.tools.demo import bot

__all__ = ["QUEUE", "demo_settings"]

QUEUE = "webhooks"


def demo_settings(journal: Path) -> EngineSettings:
    """Settings of the demo: short waits, so that it is over soon, and few enough handlers to see them overlap."""
    return EngineSettings(
        journal=journal,
        queues=(QUEUE,),
        concurrency=20,
        retry_initial_s=0.1,
        retry_max_s=0.5,
        receive_wait_s=0.5,
    )


async def _run(address: str, journal: Path) -> None:
    provider = ProviderSettings(provider="memory", memory_address=address)
    async with Engine.from_settings(plugins=bot.plugins, engine=demo_settings(journal), provider=provider) as engine:
        await engine.run()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    asyncio.run(_run(sys.argv[1], Path(sys.argv[2])))
