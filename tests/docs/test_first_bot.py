"""The bot on the home page runs."""

import asyncio
import importlib.util
import json
from pathlib import Path

from queue_runtime.engine import Engine, EngineSettings
from queue_runtime.journal import MemoryJournal
from queue_runtime.plugins import github_message
from queue_runtime.providers import QueueClient
from queue_runtime.providers.memory import MemoryBroker, MemoryProvider, QueueSettings
from tests.docs.pages import ROOT


def _plugins(path: Path) -> list[object]:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.plugins


async def test_the_first_bot_labels_a_pull_request(tmp_path: Path) -> None:
    """A webhook goes in, and the labels of its title come out."""
    broker = MemoryBroker({"pulls": QueueSettings(), "labels": QueueSettings()})
    settings = EngineSettings(queues=("pulls",), journal=tmp_path)
    opened = {"action": "opened", "pull_request": {"number": 3, "title": "Docs for a feature"}}
    async with (
        QueueClient(MemoryProvider(broker)) as client,
        Engine(settings, MemoryProvider(broker), MemoryJournal(), _plugins(ROOT / "docs" / "first_bot.py")) as engine,
    ):
        running = asyncio.create_task(engine.run(handle_signals=False))
        await client.send("pulls", github_message("pull_request", opened))

        labelled = await client.receive("labels")

        assert labelled is not None
        assert json.loads(labelled.message.body) == {"number": 3, "labels": ["docs", "feature"]}
        await engine.drain()
        await running
