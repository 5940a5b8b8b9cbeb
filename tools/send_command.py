"""`queue-runtime send`: recorded webhooks to a queue."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from queue_runtime.plugins import github_message
from queue_runtime.plugins.router import EVENT_ATTRIBUTE
from queue_runtime.providers.client import QueueClient
from queue_runtime.providers.errors import ConfigurationError, QueueError
from queue_runtime.providers.message import Message
from queue_runtime.providers.port import Sent
from queue_runtime.providers.registry import provider_from_settings
from queue_runtime.providers.settings import ProviderSettings
from queue_runtime.tools.webhooks import parse_webhooks, read_text

__all__ = ["send_files"]

STANDARD_INPUT = "-"


def send_files(
    files: Sequence[str],
    *,
    queue: str | None,
    provider: str | None,
    event: str | None,
    config: Path | None,
    as_json: bool,
) -> None:
    """Send what is in the files, and print the ids. Nothing is sent unless all of it can be read.

    Args:
        files: paths; `-` is the standard input.
        queue: instead of the settings' queue.
        provider: instead of the settings' provider.
        config: a file of settings, instead of the environment's.
        event: each file is one body, of this event; without it a file holds webhook lines.
        as_json: print a line of JSON a message.

    Raises:
        ConfigurationError: a file cannot be read, there is no queue, or the broker would be gone with this process.
        QueueError: a message was refused; the ids of those that were sent are printed before.
    """
    given = {"provider": provider, "config": config}
    settings = ProviderSettings.load(**{name: value for name, value in given.items() if value})
    name = queue or settings.own_queue
    if not name:
        msg = "there is no queue to send to: pass --queue or set QUEUE_NAME"
        raise ConfigurationError(msg)
    messages = [message for file in files for message in _messages(file, event)]
    if settings.provider == "memory" and settings.memory_address is None:
        msg = "a memory broker of this process would be gone with it: set QUEUE_MEMORY_ADDRESS to one that is served"
        raise ConfigurationError(msg)
    refused: list[QueueError] = []
    for sent in asyncio.run(_send(settings, name, messages)):
        if isinstance(sent, QueueError):
            refused.append(sent)
            continue
        line = {"message_id": sent.message_id, "provider_id": sent.provider_id}
        print(json.dumps(line) if as_json else sent.message_id)
    if refused:
        raise refused[0]


def _messages(file: str, event: str | None) -> list[Message]:
    """Ids are random: who sends a file twice means two sends. A sender that retries keeps its message instead."""
    text = sys.stdin.read() if file == STANDARD_INPUT else read_text(Path(file))
    if event is not None:
        return [_message(text, event)]
    source = "the standard input" if file == STANDARD_INPUT else file
    return [github_message(webhook.event, webhook.payload) for webhook in parse_webhooks(text, source)]


def _message(text: str, event: str) -> Message:
    """Make a webhook of a JSON object, which gives it its order; send anything else as it is."""
    try:
        payload: object = json.loads(text)
    except (ValueError, RecursionError):
        payload = None
    if isinstance(payload, dict):
        return github_message(event, cast("dict[str, object]", payload))
    return Message(text.encode(), attributes={EVENT_ATTRIBUTE: event})


async def _send(settings: ProviderSettings, queue: str, messages: Sequence[Message]) -> Sequence[Sent | QueueError]:
    async with QueueClient(provider_from_settings(settings)) as client:
        return await client.send_batch(queue, messages)
