import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from queue_runtime.plugins import GitHub, PluginError, Plugins, Router, load, load_entry_points

HOOK = """
from queue_runtime.plugins import hookimpl

@hookimpl
def queue_runtime_received(info):
    pass
"""
LIST = """
from queue_runtime.plugins import GitHub, Router
router = Router()
plugins = [GitHub(), router]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make a folder to import from; what was imported from it is forgotten afterwards."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("planted"):
            del sys.modules[name]


def plant(folder: Path, name: str, source: str) -> None:
    (folder / f"{name}.py").write_text(source, encoding="utf-8")


def offer(folder: Path, package: str, *lines: str) -> None:
    """Pretend that a package is installed which offers entry points."""
    info = folder / f"{package}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Name: {package}\nVersion: 1\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("\n".join(["[queue_runtime.plugins]", *lines]), encoding="utf-8")


def test_a_module_gives_its_list(folder: Path) -> None:
    """The list `plugins` of a module is what the bot registers, in its order."""
    plant(folder, "planted_list", LIST)

    first, second = load(["planted_list"])

    assert isinstance(first, GitHub)
    assert isinstance(second, Router)


def test_a_module_with_hooks_is_a_plugin_itself(folder: Path) -> None:
    """Functions at the top of a module need no object around them; they come before its list."""
    plant(folder, "planted_hook", HOOK)
    plant(folder, "planted_both", HOOK + LIST)

    assert Plugins(load(["planted_hook"])).observes("received")
    assert [type(plugin).__name__ for plugin in load(["planted_both"])] == ["module", "GitHub", "Router"]


def test_a_path_may_name_an_attribute(folder: Path) -> None:
    """One plugin, or a list of them, may be picked out of a module."""
    plant(folder, "planted_list", LIST)

    assert [type(plugin) for plugin in load(["planted_list:router"])] == [Router]
    assert len(load(["planted_list:plugins", "planted_list:router"])) == 3


@pytest.mark.parametrize("path", ["", ":router", "a:", "a b", "a..b", "a:b:c", "a:b.c", "./bot.py", ".bot"])
def test_what_is_no_path_is_refused(path: str) -> None:
    """A file name or a relative path is told how a path looks."""
    with pytest.raises(PluginError, match=r"is no path to a plugin; write package.module or package.module:attribute"):
        load([path])


def test_a_module_that_cannot_be_imported_is_named_with_its_error(folder: Path) -> None:
    """Whether it is missing or raises, the path and the cause are said."""
    plant(folder, "planted_broken", "1 / 0")

    with pytest.raises(PluginError, match="'planted_missing' cannot be imported: ModuleNotFoundError"):
        load(["planted_missing"])
    with pytest.raises(PluginError, match="'planted_broken:plugins' cannot be imported: ZeroDivisionError") as raised:
        load(["planted_broken:plugins"])
    assert isinstance(raised.value.__cause__, ZeroDivisionError)


def test_a_path_that_leads_to_no_plugin_is_refused(folder: Path) -> None:
    """A module without plugins, or without the attribute, was named by mistake."""
    plant(folder, "planted_empty", "plugins = []")

    with pytest.raises(PluginError, match="module planted_empty has no plugins: add plugins ="):
        load(["planted_empty"])
    with pytest.raises(PluginError, match="module planted_empty has no attribute 'router'"):
        load(["planted_empty:router"])


def test_an_installed_package_becomes_a_plugin_only_when_it_is_named(folder: Path) -> None:
    """Entry points are looked up by name, and the modules of others are not imported."""
    plant(folder, "planted_list", LIST)
    offer(folder, "planted_package", "bot = planted_list:router", "other = planted_other")

    assert load([]) == []
    assert "planted_list" not in sys.modules
    assert [type(plugin) for plugin in load_entry_points(["bot"])] == [Router]


def test_an_entry_point_that_is_not_there_is_named(folder: Path) -> None:
    """The text says what there is instead."""
    with pytest.raises(PluginError, match="no installed package offers the plugin 'bot'"):
        load_entry_points(["bot"])

    offer(folder, "planted_package", "other = planted_other")

    with pytest.raises(PluginError, match="offered: other"):
        load_entry_points(["bot"])


def test_an_entry_point_that_two_packages_offer_is_refused(folder: Path) -> None:
    """Which of them is loaded must not depend on the order of folders."""
    offer(folder, "planted_one", "bot = planted_one")
    offer(folder, "planted_two", "bot = planted_two")

    with pytest.raises(PluginError, match="more than one installed package offers the plugin 'bot'"):
        load_entry_points(["bot"])
