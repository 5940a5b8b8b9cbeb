"""`queue-runtime doctor`: whether an engine of these settings can work with these queues, in one report."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from queue_runtime.engine.checks import Finding, Level, findings, inspect
from queue_runtime.engine.loading import Loaded, load_settings
from queue_runtime.providers.errors import ConfigurationError, QueueError
from queue_runtime.providers.inspection import Inspects
from queue_runtime.providers.message import QueueName
from queue_runtime.providers.port import Provider
from queue_runtime.providers.registry import provider_from_settings

__all__ = ["examine"]

_STYLES = {Level.GOOD: "green", Level.WARNING: "yellow", Level.REFUSED: "bold red"}


def examine(*, queues: tuple[str, ...], config: Path | None, as_json: bool) -> bool:
    """Print what is found about each queue, and say whether all of it can work. Touches no message.

    Raises:
        ConfigurationError: settings cannot be used, or name no queue.
        QueueError: the provider cannot be opened.
    """
    given: Mapping[str, object] = {} if config is None else {"config": config}
    loaded = load_settings(engine={**given, **({"queues": queues} if queues else {})}, provider=given)
    if not loaded.engine.queues:
        msg = "there is no queue to look at: pass --queue, or set QUEUE_NAME or QUEUE_ENGINE_QUEUES"
        raise ConfigurationError(msg)
    found = asyncio.run(_found(loaded))
    if as_json:
        print(json.dumps([asdict(finding) for finding in found], indent=2))
    else:
        _show(found)
    return all(finding.level is not Level.REFUSED for finding in found)


async def _found(loaded: Loaded) -> list[Finding]:
    provider = provider_from_settings(loaded.provider)
    await provider.open()
    try:
        return [finding for queue in loaded.engine.queues for finding in await _of_queue(loaded, provider, queue)]
    finally:
        await provider.close()


async def _of_queue(loaded: Loaded, provider: Provider, name: str) -> list[Finding]:
    queue, settings = QueueName(name), loaded.engine
    own = loaded.provider
    bot = own.registry.bot(own.bot) if own.bot is not None and queue == own.own_queue else None
    if bot is not None and bot.sessions:
        settings = settings.model_copy(update={"needs_sessions": True})
    try:
        inspected = await inspect(provider, queue)
        found = list(findings(settings, queue, inspected))
        most = inspected.capabilities.max_deliveries
        if bot is not None and most is not None and most != bot.max_delivery_count:
            text = f"dead-letters after {most} deliveries, and its bot asks for {bot.max_delivery_count}"
            found.append(Finding(queue, Level.WARNING, "convention", text))
        return [*found, *await _permissions(provider, queue)]
    except QueueError as error:
        return [Finding(queue, Level.REFUSED, "access", f"cannot be asked: {error}")]


async def _permissions(provider: Provider, queue: QueueName) -> list[Finding]:
    if not isinstance(provider, Inspects):
        return [Finding(queue, Level.UNKNOWN, "permissions", "is of a provider that does not tell what is allowed")]
    found: list[Finding] = []
    for operation, allowed in (await provider.inspector.permissions(queue)).items():
        if allowed is False:
            found.append(Finding(queue, Level.REFUSED, "permissions", f"refuses {operation}: grant it"))
        else:
            text = f"allows {operation}" if allowed else f"does not refuse {operation}; only using it proves more"
            found.append(Finding(queue, Level.GOOD if allowed else Level.UNKNOWN, "permissions", text))
    return found


def _show(found: list[Finding]) -> None:
    table = Table("queue", "", "about", "finding")
    for finding in found:
        style = _STYLES.get(finding.level)
        table.add_row(finding.queue, finding.level.value, finding.what, f"queue {finding.text}", style=style)
    Console().print(table)
