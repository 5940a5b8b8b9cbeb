"""Finds plugins by name. Only what is named is imported: an installed package does not become a plugin by itself."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Sequence
from types import ModuleType
from typing import cast

from queue_runtime.plugins.errors import PluginError
from queue_runtime.plugins.registration import has_hooks

__all__ = ["ENTRY_POINT_GROUP", "load", "load_entry_points"]

ENTRY_POINT_GROUP = "queue_runtime.plugins"
"""The entry point group under which a package offers plugins."""


def load(paths: Sequence[str]) -> list[object]:
    """Import plugins by their paths, in the order given.

    `package.module:attribute` is the attribute: a plugin, or a list or tuple of plugins. `package.module` is the module
    itself if it has functions marked `@hookimpl`, and then what its list or tuple `plugins` holds.

    Importing runs the module: name only what you trust as you trust the bot itself.

    Raises:
        PluginError: a path is malformed, cannot be imported, or leads to no plugin.
    """
    return [plugin for path in paths for plugin in _load(path)]


def load_entry_points(names: Sequence[str]) -> list[object]:
    """Import the plugins that installed packages offer under these names, in the order given.

    An entry point leads to what `load` takes.

    Raises:
        PluginError: nobody, or more than one package, offers a name; or as `load`.
    """
    offered = importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)
    paths: list[str] = []
    for name in names:
        found = {entry_point.value for entry_point in offered.select(name=name)}
        if len(found) != 1:
            known = ", ".join(sorted(offered.names)) or "none at all"
            fault = "no installed package offers" if not found else "more than one installed package offers"
            msg = f"{fault} the plugin {name!r} in the group {ENTRY_POINT_GROUP}; offered: {known}"
            raise PluginError(msg)
        paths.extend(found)
    return load(paths)


def _load(path: str) -> list[object]:
    module_name, colon, attribute = path.partition(":")
    if not all(part.isidentifier() for part in module_name.split(".")) or (colon and not attribute.isidentifier()):
        msg = f"{path!r} is no path to a plugin; write package.module or package.module:attribute"
        raise PluginError(msg)
    module = _import(path, module_name)
    if colon:
        try:
            return _several(getattr(module, attribute))
        except AttributeError as error:
            msg = f"plugin {path!r}: module {module_name} has no attribute {attribute!r}"
            raise PluginError(msg) from error
    found = [module] if has_hooks(module) else []
    found += _several(getattr(module, "plugins", ()))
    if not found:
        msg = f"module {module_name} has no plugins: add plugins = [GitHub(), router], or mark a function @hookimpl"
        raise PluginError(msg)
    return found


def _import(path: str, module_name: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except Exception as error:
        msg = f"plugin {path!r} cannot be imported: {type(error).__name__}: {error}"
        raise PluginError(msg) from error


def _several(value: object) -> list[object]:
    return list(cast("list[object]", value)) if isinstance(value, list | tuple) else [value]
