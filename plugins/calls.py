"""Calls hooks: the first answer wins, and no observer can stop another or the engine."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import pluggy

from queue_runtime.plugins.errors import PluginError

__all__ = ["HookCalls"]

_A = TypeVar("_A")
_logger = logging.getLogger("queue_runtime.plugins")


class HookCalls:
    """The functions of every hook in the order in which they are called, and how often each has failed.

    They are called here one by one instead of through pluggy, which skips the rest once one of them raises. For the
    engine's loop alone.
    """

    def __init__(self, implementations: Mapping[str, Iterable[pluggy.HookImpl]]) -> None:
        self._calls = {
            hook: tuple((implementation.plugin_name, _call(implementation)) for implementation in ordered)
            for hook, ordered in implementations.items()
        }
        self.failures: Counter[tuple[str, str]] = Counter()
        self._logged: set[tuple[str, str, type[Exception]]] = set()

    def is_implemented(self, hook: str) -> bool:
        """True if some plugin implements `hook`."""
        return bool(self._calls[hook])

    def first(self, hook: str, info: object, expected: type[_A]) -> _A | None:
        """Return the first answer that is not None; what a plugin raises comes out, with a note naming the plugin.

        Raises:
            PluginError: a plugin answered something else than `expected`.
        """
        for plugin, call in self._calls[hook]:
            try:
                answer = call(info)
            except Exception as error:
                note = f"raised by {hook} of plugin {plugin}"
                if note not in getattr(error, "__notes__", ()):  # a plugin may raise one and the same object again
                    error.add_note(note)
                raise
            if answer is not None:
                return _checked(plugin, hook, answer, expected)
        return None

    def first_sound(self, hook: str, info: object, expected: type[_A]) -> _A | None:
        """As `first`, but a plugin that raises or answers wrongly is counted and logged, and the next one is asked."""
        for plugin, call in self._calls[hook]:
            try:
                answer = call(info)
                if answer is not None:
                    return _checked(plugin, hook, answer, expected)
            except Exception as error:  # noqa: BLE001  whatever a plugin raises, it must not reach the engine
                self._record(plugin, hook, error)
        return None

    def tell(self, hook: str, info: object) -> None:
        """Call every implementation; what one of them raises is counted, and logged once for each kind."""
        for plugin, call in self._calls[hook]:
            try:
                call(info)
            except Exception as error:  # noqa: BLE001  as in `first_sound`
                self._record(plugin, hook, error)

    def _record(self, plugin: str, hook: str, error: Exception) -> None:
        self.failures[plugin, hook] += 1
        kind = (plugin, hook, type(error))
        if kind not in self._logged:
            # Once only: a hook that raises for every message would fill the log at the rate of the queue.
            self._logged.add(kind)
            _logger.error(
                "%s of plugin %s raised %s; further ones like it are counted, and not logged",
                hook,
                plugin,
                type(error).__name__,
                exc_info=error,
            )


def _call(implementation: pluggy.HookImpl) -> Callable[[object], object]:
    """Return what to call with the info. An implementation may leave the argument out, as pluggy allows."""
    function: Callable[..., object] = implementation.function
    if implementation.argnames:
        return function
    return lambda _info: function()


def _checked(plugin: str, hook: str, answer: object, expected: type[_A]) -> _A:
    if isinstance(answer, expected):
        return answer
    msg = (
        f"{hook} of plugin {plugin} answered a {type(answer).__qualname__};"
        f" it may answer a {expected.__qualname__} or None"
    )
    raise PluginError(msg)
