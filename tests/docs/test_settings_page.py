"""The page on settings names every setting with its real default, and none that does not exist."""

import dataclasses
import importlib
import re
from enum import Enum
from pathlib import Path
from typing import cast

import pytest
from pydantic import BaseModel

from tests.docs.pages import ROOT, page, rows, sections

FOLDERS = ("engine", "journal", "plugins", "providers", "tools")


def _settings_classes() -> list[type[object]]:
    """Return every public class with fields of every `settings.py`."""
    found: list[type[object]] = []
    for path in sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("settings.py")):
        module = importlib.import_module("queue_runtime." + ".".join(path.relative_to(ROOT).with_suffix("").parts))
        public = [getattr(module, name) for name in module.__all__]
        found += [item for item in public if isinstance(item, type) and _defaults(item)]
    return found


def _defaults(settings: type[object]) -> dict[str, str]:
    """Return setting -> default, as the page writes it."""
    if issubclass(settings, BaseModel):
        return {
            name: _written(field.get_default(call_default_factory=True)) if not field.is_required() else "required"
            for name, field in settings.model_fields.items()
        }
    fields = cast("dict[str, dataclasses.Field[object]]", vars(settings).get("__dataclass_fields__", {}))
    return {name: _default(field) for name, field in fields.items()}


def _default(field: dataclasses.Field[object]) -> str:
    if field.default is not dataclasses.MISSING:
        return _written(field.default)
    if field.default_factory is not dataclasses.MISSING:
        return _written(field.default_factory())
    return "required"


def _written(default: object) -> str:
    match default:
        case None:
            return "none"
        case bool():
            return str(default).lower()
        case () | [] | {}:
            return "empty"
        case Enum():
            return str(default.value)
        case Path():
            return default.as_posix()
        case float():
            return f"{default:g}" if default < 1e6 else str(int(default))
        case _:
            return str(default)


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
