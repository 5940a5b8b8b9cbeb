"""`queue-runtime send`: recorded webhooks to a queue."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from queue_runtime.providers.client import QueueClient
from queue_runtime.providers.errors import ConfigurationError, QueueError
from queue_runtime.providers.message import Message
from queue_runtime.providers.port import Sent
from queue_runtime.providers.registry import provider_from_settings
from queue_runtime.providers.settings import ProviderSettings
from queue_runtime.tools.demo.events import recorded

__all__ = ["send_files"]


def send_files(files: Sequence[str], *, queue: str | None, provider: str | None, as_json: bool) -> None:
    """Send every line of every file, and print the ids; nothing is sent if a line is not a webhook.

    Raises:
        ConfigurationError: a file cannot be read, or there is no queue.
        QueueError: a message was refused; those before it were sent.
    """
    settings = ProviderSettings.model_validate({} if provider is None else {"provider": provider})
    name = queue or settings.queue_name
    if not name:
        msg = "there is no queue to send to: pass --queue or set QUEUE_NAME"
        raise ConfigurationError(msg)
    messages = [message for file in files for message in _messages(file)]
    for sent in asyncio.run(_send(settings, name, messages)):
        if isinstance(sent, QueueError):
            raise sent
        line = {"message_id": sent.message_id, "provider_id": sent.provider_id}
        print(json.dumps(line) if as_json else sent.message_id)


def _messages(file: str) -> list[Message]:
    if file != "-":
        return [event.message for event in recorded(Path(file))]
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".jsonl") as copy:
        copy.write(sys.stdin.read())
        copy.flush()
        return [event.message for event in recorded(Path(copy.name))]


async def _send(settings: ProviderSettings, queue: str, messages: Sequence[Message]) -> Sequence[Sent | QueueError]:
    async with QueueClient(provider_from_settings(settings)) as client:
        return await client.send_batch(queue, messages)
