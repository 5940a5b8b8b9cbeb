"""The settings of an engine and of its provider, read together: whatever is wrong with them is told in one report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from queue_runtime.engine.settings import EngineSettings
from queue_runtime.providers.errors import InvalidSettings
from queue_runtime.providers.registry import unknown_provider
from queue_runtime.providers.settings import LayeredSettings, ProviderSettings

__all__ = ["Loaded", "load_settings"]

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
    if not of_engine.queues and of_provider.own_queue is not None:
        of_engine = of_engine.model_copy(update={"queues": (str(of_provider.own_queue),)})
    return Loaded(of_engine, of_provider)


def _load(settings: type[_S], passed: Mapping[str, object], problems: list[str]) -> _S | None:
    try:
        return settings.load(**passed)
    except InvalidSettings as error:
        problems += error.problems
        return None
