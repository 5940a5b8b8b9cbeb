"""Tries the reviewer bot: a broker in this process, a journal in the folder `journal`, and one webhook, sent twice."""

from __future__ import annotations

import asyncio

import pr_assigner

from queue_runtime.engine import Engine, EngineSettings
from queue_runtime.journal import SqliteJournal
from queue_runtime.plugins import github_message
from queue_runtime.providers import QueueClient
from queue_runtime.providers.memory import MemoryBroker, MemoryProvider, QueueSettings

OPENED = {
    "action": "opened",
    "pull_request": {"number": 17, "user": {"login": "ada"}, "draft": False},
    "repository": {"full_name": "octo/repo"},
}


async def main() -> None:
    """Send, let the engine work, and print what it sent."""
    broker = MemoryBroker({"pulls": QueueSettings(), "assignments": QueueSettings()})
    settings = EngineSettings(queues=("pulls",))
    journal = await SqliteJournal.open(settings.journal)
    try:
        async with (
            QueueClient(MemoryProvider(broker)) as client,
            Engine(settings, MemoryProvider(broker), journal, pr_assigner.plugins) as engine,
        ):
            running = asyncio.create_task(engine.run())
            for _ in range(2):  # GitHub, or the receiver, may send a webhook again
                await client.send("pulls", github_message("pull_request", OPENED, delivery_id="a-webhook"))
            assignment = await client.receive("assignments", timeout_s=1.0)
            print("sent:", assignment.message.body.decode() if assignment else "nothing")
            await engine.drain()
            await running
    finally:
        await journal.close()


if __name__ == "__main__":
    asyncio.run(main())
