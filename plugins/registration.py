"""Checks what is handed in as a plugin, before pluggy takes it: pluggy itself lets most mistakes pass in silence."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterator, Sequence
from types import ModuleType

import pluggy

from queue_runtime.plugins import hookspecs
from queue_runtime.plugins.errors import PluginError
from queue_runtime.plugins.hookspecs import PROJECT

__all__ = ["has_hooks", "registered"]

_PREFIX = f"{PROJECT}_"
_MARK = f"{PROJECT}_impl"  # the attribute that pluggy's marker sets
HOOKS = tuple(name for name in vars(hookspecs) if name.startswith(_PREFIX))
"""The names of every hook there is."""


def registered(plugins: Sequence[object]) -> pluggy.PluginManager:
    """Check the plugins one by one and register them, in this order, under a readable name each.

    Raises:
        PluginError: names the plugin, what is wrong with it, and what to write instead.
    """
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    for plugin in plugins:
        _check_kind(plugin)
        name = _free_name(plugin, manager)
        _check_hooks(plugin, name)
        try:
            manager.register(plugin, name)
        except (ValueError, pluggy.PluginValidationError) as error:
            msg = f"plugin {name!r} cannot be registered: {error}"
            raise PluginError(msg) from error
    manager.check_pending()
    return manager


def has_hooks(candidate: object) -> bool:
    """True if the module or object carries at least one function marked `@hookimpl`."""
    return any(_is_marked(function) for _, function in _functions(candidate))


def _check_kind(plugin: object) -> None:
    if inspect.isclass(plugin):
        msg = f"plugin {plugin.__qualname__!r} is a class; pass an instance: {plugin.__qualname__}()"
        raise PluginError(msg)


def _check_hooks(plugin: object, name: str) -> None:
    marked = 0
    for attribute, function in _functions(plugin):
        if _is_marked(function):
            marked += 1
            _check_hook(name, attribute, function)
        elif attribute.startswith(_PREFIX) and not hasattr(function, f"{PROJECT}_spec"):
            msg = f"{attribute} of plugin {name!r} is not marked, so nobody would call it; put @hookimpl above it"
            raise PluginError(msg)
    if not marked:
        msg = f"plugin {name!r} has no hooks; mark at least one function with @hookimpl, or leave the plugin out"
        raise PluginError(msg)


def _check_hook(name: str, attribute: str, function: object) -> None:
    options = getattr(function, _MARK)
    hook = options["specname"] or attribute
    if hook not in HOOKS:
        closest = difflib.get_close_matches(hook, HOOKS, n=1, cutoff=0)
        msg = f"plugin {name!r} implements {hook}, which is no hook; did you mean {closest[0]}?"
        raise PluginError(msg)
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        msg = (
            f"{hook} of plugin {name!r} is an async function, and hooks are plain ones: write def instead of async def,"
            " and do slow work in a handler"
        )
        raise PluginError(msg)
    if options["wrapper"] or options["hookwrapper"]:
        msg = f"{hook} of plugin {name!r} is a wrapper; a hook answers or observes for itself: drop wrapper=True"
        raise PluginError(msg)


def _free_name(plugin: object, manager: pluggy.PluginManager) -> str:
    """A plugin with a `name` is held to it; others are called after their module or class, and numbered."""
    earlier = manager.get_name(plugin)
    if earlier is not None:
        msg = f"plugin {earlier!r} is passed twice; pass it once"
        raise PluginError(msg)
    given = getattr(plugin, "name", None)
    if isinstance(given, str) and given:
        if manager.has_plugin(given):
            msg = f"two plugins are named {given!r}; give one of them another name"
            raise PluginError(msg)
        return given
    stem = plugin.__name__ if isinstance(plugin, ModuleType) else type(plugin).__qualname__
    name, number = stem, 1
    while manager.has_plugin(name):
        number += 1
        name = f"{stem}-{number}"
    return name


def _functions(plugin: object) -> Iterator[tuple[str, object]]:
    # Properties are not read: as for pluggy, only what is a function on the class or in the module can be a hook.
    for attribute in dir(plugin):
        if isinstance(getattr(type(plugin), attribute, None), property):
            continue
        function: object = getattr(plugin, attribute, None)
        if inspect.isroutine(function):
            yield attribute, function


def _is_marked(function: object) -> bool:
    return getattr(function, _MARK, None) is not None
