"""The engine of a crash demo: a process of its own, over the broker of another one, made to be killed."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Mapping
from pathlib import Path

from queue_runtime.engine import EngineSettings
from queue_runtime.providers.settings import ProviderSettings
from queue_runtime.tools.demo import bot
from queue_runtime.tools.run_command import run_until_told

__all__ = ["demo_settings"]


def demo_settings(journal: Path, queue: str) -> EngineSettings:
    """Settings of the demo: short waits, so that it is over soon, and few enough handlers to see them overlap."""
    return EngineSettings(
        journal=journal,
        queues=(queue,),
        concurrency=20,
        retry_initial_s=0.1,
        retry_max_s=0.5,
        receive_wait_s=1.0,
    )


async def _run(provider: Mapping[str, object], queue: str, journal: Path) -> None:
    await run_until_told(demo_settings(journal, queue), ProviderSettings.load(**provider), bot.plugins)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    asyncio.run(_run(json.loads(sys.argv[1]), sys.argv[2], Path(sys.argv[3])))
