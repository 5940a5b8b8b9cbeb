"""The settings of an engine and of its provider, read together: whatever is wrong with them is told in one report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from queue_runtime.engine.settings import EngineSettings
from queue_runtime.providers.errors import InvalidSettings
from queue_runtime.providers.registry import unknown_provider
from queue_runtime.providers.settings import LayeredSettings, ProviderSettings

__all__ = ["Loaded", "load_missing", "load_settings"]

_S = TypeVar("_S", bound=LayeredSettings)
NOTHING: Mapping[str, object] = {}


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings that can be right. `engine.queues` has the provider's own queue, if the engine names none."""

    engine: EngineSettings
    provider: ProviderSettings


def load_settings(engine: Mapping[str, object] = NOTHING, provider: Mapping[str, object] = NOTHING) -> Loaded:
    """Read every layer of both, and refuse all that cannot be right at once. Connects to nothing.

    Args:
        engine: passed to `EngineSettings`; goes before environment and file.
        provider: passed to `ProviderSettings`.

    Raises:
        InvalidSettings: a value is out of its range, a setting is unknown, or nobody registered the provider.
        ConfigurationError: the file cannot be read.
    """
    problems: list[str] = []
    of_provider = _load(ProviderSettings, provider, problems)
    of_engine = _load(EngineSettings, engine, problems)
    if of_provider is not None and (unknown := unknown_provider(of_provider.provider)) is not None:
        problems.append(str(unknown))
    if of_engine is None or of_provider is None or problems:
        raise InvalidSettings(problems)
    return _with_own_queue(of_engine, of_provider)


def load_missing(engine: EngineSettings | None, provider: ProviderSettings | None) -> Loaded:
    """Return what is given, and read the rest.

    Raises:
        InvalidSettings, ConfigurationError: as `load_settings`.
    """
    if engine is None and provider is None:
        return load_settings()
    engine = engine if engine is not None else EngineSettings.load()
    return _with_own_queue(engine, provider if provider is not None else ProviderSettings.load())


def _with_own_queue(engine: EngineSettings, provider: ProviderSettings) -> Loaded:
    if not engine.queues and provider.own_queue is not None:
        engine = engine.model_copy(update={"queues": (str(provider.own_queue),)})
    return Loaded(engine, provider)


def _load(settings: type[_S], passed: Mapping[str, object], problems: list[str]) -> _S | None:
    try:
        return settings.load(**passed)
    except InvalidSettings as error:
        problems += error.problems
        return None
