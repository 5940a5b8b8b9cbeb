"""Reading recorded webhooks: lines of `{"event": ..., "payload": {...}}`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from queue_runtime.providers.errors import ConfigurationError

__all__ = ["Webhook", "parse_webhooks", "read_text"]


@dataclass(frozen=True, slots=True)
class Webhook:
    """One recorded webhook: its event's name, as in `X-GitHub-Event`, and its decoded body."""

    line: int
    event: str
    payload: dict[str, object]


def read_text(path: Path) -> str:
    """Return what is in the file.

    Raises:
        ConfigurationError: it cannot be read, or is not UTF-8; names the file.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        msg = f"file {path} cannot be read: {error.strerror}; name a file of webhooks"
        raise ConfigurationError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"file {path} is not UTF-8 at byte {error.start}; webhooks are JSON, which is"
        raise ConfigurationError(msg) from error


def parse_webhooks(text: str, source: str) -> Iterator[Webhook]:
    """Yield one webhook a line; empty lines are passed over.

    Args:
        text: the lines.
        source: what errors call it, such as a path.

    Raises:
        ConfigurationError: a line is not of the form; names the line.
    """
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield _parse(line, number, source)


def _parse(line: str, number: int, source: str) -> Webhook:
    try:
        item: object = json.loads(line)
    except (ValueError, RecursionError) as error:
        msg = f"line {number} of {source} is no JSON: {error}"
        raise ConfigurationError(msg) from error
    fields = cast("dict[str, object]", item) if isinstance(item, dict) else {}
    event, payload = fields.get("event"), fields.get("payload")
    if not isinstance(event, str) or not event or not isinstance(payload, dict):
        msg = f'line {number} of {source} is not of the form {{"event": "...", "payload": {{...}}}}'
        raise ConfigurationError(msg)
    return Webhook(number, event, cast("dict[str, object]", payload))
