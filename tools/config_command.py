"""`queue-runtime config`: the settings in force, and where each comes from."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from pydantic import SecretStr
from rich.console import Console
from rich.table import Column, Table

from queue_runtime.engine.loading import load_settings
from queue_runtime.engine.settings import EngineSettings
from queue_runtime.providers.settings import LayeredSettings, ProviderSettings

__all__ = ["show_settings"]

MASK = "***"
_USER_INFO = re.compile(r"(?<=//)[^/@\s]*(?=@)")  # a URL may carry a password


def show_settings(*, config: Path | None, as_json: bool) -> None:
    """Print every setting with its value and its source; secrets are masked. Connects to nothing.

    Raises:
        ConfigurationError: settings cannot be used; the same error that a start would be ended by.
    """
    given: Mapping[str, object] = {} if config is None else {"config": config}
    loaded = load_settings(engine=given, provider=given)
    provider = _rows(loaded.provider, ProviderSettings.origins(**given))
    engine = _rows(loaded.engine, EngineSettings.origins(**given))
    if as_json:
        print(json.dumps({"provider": provider, "engine": engine}, indent=2))
        return
    console = Console()
    for title, rows in (("provider", provider), ("engine", engine)):
        table = Table(Column("setting", no_wrap=True), "value", "from", title=title, title_justify="left")
        for name, row in rows.items():
            table.add_row(name, _text(row["value"]), str(row["from"]))
        console.print(table)


def _rows(settings: LayeredSettings, origins: Mapping[str, str]) -> dict[str, dict[str, object]]:
    plain = settings.model_dump(mode="json")
    rows: dict[str, dict[str, object]] = {}
    for name in type(settings).model_fields:
        is_secret = isinstance(getattr(settings, name), SecretStr)
        rows[name] = {"value": MASK if is_secret else _masked(plain[name]), "from": origins[name]}
    if isinstance(settings, EngineSettings) and origins["queues"] == "default" and settings.queues:
        rows["queues"]["from"] = "the provider's own queue"
    return rows


def _masked(value: object) -> object:
    match value:
        case str():
            return _USER_INFO.sub(MASK, value)
        case list():
            return [_masked(item) for item in cast("list[object]", value)]
        case _:
            return value


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
