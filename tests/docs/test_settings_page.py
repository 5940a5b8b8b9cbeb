"""The page on settings names every setting with its real default, and none that does not exist."""

import dataclasses
import importlib
import re
from typing import cast

import pytest
from pydantic import BaseModel

from queue_runtime.providers.naming import BotQueues
from queue_runtime.providers.settings import LayeredSettings
from tests.docs.pages import ROOT, page, rows, sections
from tests.docs.settings_tables import CLASSES, default_of, page_with_tables
from tests.docs.settings_tables import written as written_default

FOLDERS = ("engine", "journal", "plugins", "providers", "tools")


def _settings_classes() -> list[type[object]]:
    """Return every public class with fields of every `settings.py`."""
    found: list[type[object]] = []
    for path in sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("settings.py")):
        module = importlib.import_module("queue_runtime." + ".".join(path.relative_to(ROOT).with_suffix("").parts))
        public = [getattr(module, name) for name in module.__all__]
        found += [item for item in public if isinstance(item, type) and item is not LayeredSettings and _defaults(item)]
    return found


def _defaults(settings: type[object]) -> dict[str, str]:
    """Return setting -> default, as the page writes it."""
    if issubclass(settings, BaseModel):
        return {name: default_of(field) for name, field in settings.model_fields.items()}
    fields = cast("dict[str, dataclasses.Field[object]]", vars(settings).get("__dataclass_fields__", {}))
    return {name: _default(field) for name, field in fields.items()}


def _default(field: dataclasses.Field[object]) -> str:
    if field.default is not dataclasses.MISSING:
        return written_default(field.default)
    if field.default_factory is not dataclasses.MISSING:
        return written_default(field.default_factory())
    return "required"


every = pytest.mark.parametrize("settings", _settings_classes(), ids=lambda settings: settings.__name__)


@every
def test_every_setting_is_a_row(settings: type[object]) -> None:
    """Each settings class has a section, with a row for each of its fields and for nothing else."""
    section = dict(sections(page("settings.md"), 2)).get(settings.__name__)

    assert section is not None, f"docs/settings.md has no section {settings.__name__}"
    assert rows(section) == set(_defaults(settings))


@every
def test_every_default_on_the_page_is_the_real_one(settings: type[object]) -> None:
    """The second cell of a setting's row is its default."""
    section = dict(sections(page("settings.md"), 2)).get(settings.__name__, "")
    written = dict(re.findall(r"^\| `([^`]+)` \| ([^|]+?) \|", section, re.MULTILINE))

    assert written == _defaults(settings)


def test_the_tables_are_what_the_classes_say() -> None:
    """Unit, range, default, variable and meaning of each setting are written by `tests.docs.settings_tables`."""
    text = page("settings.md")

    assert page_with_tables(text) == text, "run: python -m tests.docs.settings_tables"


def test_every_setting_that_is_read_from_the_environment_is_in_a_generated_table() -> None:
    """No class of layered settings is left out of them, and each field has a meaning."""
    assert set(CLASSES) == {item for item in _settings_classes() if issubclass(item, LayeredSettings)}
    assert [
        name for settings in CLASSES for name, field in settings.model_fields.items() if not field.description
    ] == []


def test_what_can_be_said_of_a_bot_is_a_table() -> None:
    """Each field of `BotQueues` but the bot's name has a row with its default."""
    section = dict(sections(page("settings.md"), 2))["Queues of bots"]
    written = dict(re.findall(r"^\| `([^`]+)` \| ([^|]+?) \|", section, re.MULTILINE))

    assert written == {name: default_of(field) for name, field in BotQueues.model_fields.items() if name != "name"}
