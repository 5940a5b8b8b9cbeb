from collections.abc import AsyncIterator
from types import ModuleType

import pytest

from queue_runtime.plugins import DeliveryInfo, PluginError, Plugins, Router, hookimpl


class Lane:
    """A plugin with one hook."""

    @hookimpl
    def queue_runtime_session_id(self, info: DeliveryInfo) -> str | None:
        return info.message.attributes.get("lane")


class Named(Lane):
    def __init__(self, name: str) -> None:
        self.name = name


def test_a_misspelt_hook_is_refused_with_the_closest_name() -> None:
    """A hook that does not exist would never be called, so its plugin is not taken."""

    class Misspelt:
        @hookimpl
        def queue_runtime_recieved(self, info: object) -> None: ...

    with pytest.raises(
        PluginError, match="queue_runtime_recieved, which is no hook; did you mean queue_runtime_received"
    ):
        Plugins([Misspelt()])


def test_an_unmarked_hook_is_refused() -> None:
    """A function named as a hook and not marked would never be called, so its plugin is not taken."""

    class Unmarked(Lane):
        def queue_runtime_received(self, info: object) -> None: ...

    with pytest.raises(PluginError, match="not marked, so nobody would call it; put @hookimpl above it"):
        Plugins([Unmarked()])


def test_an_async_hook_is_refused() -> None:
    """Hooks are plain functions: a coroutine would never be awaited."""

    class Slow:
        @hookimpl
        async def queue_runtime_received(self, info: object) -> None: ...

    class Stream:
        @hookimpl
        async def queue_runtime_completed(self) -> AsyncIterator[None]:
            yield

    for plugin in (Slow(), Stream()):
        with pytest.raises(PluginError, match="write def instead of async def"):
            Plugins([plugin])


def test_a_wrapper_is_refused() -> None:
    """A plugin answers for itself; it does not stand between others and the engine."""

    class Wrapper:
        @hookimpl(wrapper=True)
        def queue_runtime_handler(self) -> object:
            yield

    with pytest.raises(PluginError, match="drop wrapper=True"):
        Plugins([Wrapper()])


def test_a_hook_under_another_name_is_held_to_the_name_it_stands_for() -> None:
    """Pluggy's `specname` is honoured, and checked like a name."""

    class Renamed:
        @hookimpl(specname="queue_runtime_received")
        def on_message(self, info: object) -> None: ...

    class Misnamed:
        @hookimpl(specname="queue_runtime_reception")
        def on_message(self, info: object) -> None: ...

    assert Plugins([Renamed()]).observes("received")
    with pytest.raises(PluginError, match="queue_runtime_reception, which is no hook"):
        Plugins([Misnamed()])


def test_a_hook_with_an_unknown_parameter_is_refused() -> None:
    """A hook takes `info` or nothing; any other parameter would have no value."""

    class Curious:
        @hookimpl
        def queue_runtime_received(self, info: object, broker: object) -> None: ...

    with pytest.raises(PluginError, match="broker"):
        Plugins([Curious()])


def test_a_class_is_refused() -> None:
    """A class in place of an instance is the commonest slip, and the text says what to write."""
    with pytest.raises(PluginError, match=r"'Router' is a class; pass an instance: Router\(\)"):
        Plugins([Router])


def test_a_plugin_without_hooks_is_refused() -> None:
    """Something that implements nothing was passed by mistake."""
    with pytest.raises(PluginError, match="'empty' has no hooks"):
        Plugins([ModuleType("empty")])


def test_two_plugins_of_one_name_are_refused() -> None:
    """Names tell plugins apart in logs and failures."""
    with pytest.raises(PluginError, match="two plugins are named 'lane'"):
        Plugins([Named("lane"), Named("lane")])


def test_a_plugin_passed_twice_is_refused() -> None:
    """The same object twice would be told everything twice."""
    lane = Lane()

    with pytest.raises(PluginError, match="'Lane' is passed twice"):
        Plugins([lane, lane])


def test_two_instances_of_a_class_are_two_plugins() -> None:
    """A bot may have several routers; the second is numbered."""
    Plugins([Router(), Router(), Lane(), Named("own"), Named("other")])


def test_a_module_is_a_plugin() -> None:
    """Functions at the top of a module are hooks as well as methods are."""
    module = ModuleType("my_bot")
    seen: list[object] = []

    @hookimpl
    def queue_runtime_engine_stopped(info: object) -> None:
        seen.append(info)

    vars(module)["queue_runtime_engine_stopped"] = queue_runtime_engine_stopped

    assert Plugins([module]).observes("engine_stopped")


def test_registration_reads_no_property() -> None:
    """A plugin whose property needs a running engine can be registered before there is one."""

    class Lazy(Lane):
        @property
        def connection(self) -> object:
            raise ConnectionError

    Plugins([Lazy()])


def test_no_plugins_is_no_error() -> None:
    """An engine may start with nothing to ask and nobody to tell."""
    plugins = Plugins([])

    assert not plugins.observes("received")
    assert not plugins.failures
