"""Writes the tables of `docs/settings.md` that can be read off the classes: `python -m tests.docs.settings_tables`.

The prose between the tables stays as it is; so do the tables of plain dataclasses, whose fields are told by hand.
"""

import re
from enum import Enum
from pathlib import Path
from typing import Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from queue_runtime.engine.settings import EngineSettings
from queue_runtime.providers.settings import LayeredSettings, ProviderSettings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "settings.md"
CLASSES: tuple[type[LayeredSettings], ...] = (ProviderSettings, EngineSettings)
HEADER = "| setting | default | unit and range | environment | meaning |\n|---|---|---|---|---|\n"
UNITS = {"_s": "seconds", "_bytes": "bytes"}
BOUNDS = {"gt": "above {}", "ge": "{} or more", "le": "{} or less", "lt": "below {}"}
LENGTHS = {"min_length": "{} characters or more", "max_length": "{} characters or less"}


def written(default: object) -> str:
    """Return a default as the page writes it."""
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


def default_of(field: FieldInfo) -> str:
    """Return the default of a setting, or that there is none."""
    return "required" if field.is_required() else written(field.get_default(call_default_factory=True))


def table(settings: type[LayeredSettings]) -> str:
    """Return the table of one class."""
    return HEADER + "".join(_row(settings, name, field) for name, field in settings.model_fields.items())


def _row(settings: type[LayeredSettings], name: str, field: FieldInfo) -> str:
    variables = ", ".join(f"`{variable}`" for variable in settings.variables(name))
    return f"| `{name}` | {default_of(field)} | {_range(name, field)} | {variables} | {field.description} |\n"


def _range(name: str, field: FieldInfo) -> str:
    unit = next((unit for suffix, unit in UNITS.items() if name.endswith(suffix)), "")
    found: dict[str, object] = {}
    for constraint in field.metadata:
        for limit in (*BOUNDS, *LENGTHS, "pattern"):
            value = getattr(constraint, limit, None)
            if value is not None:
                found[limit] = value
    bounds = [text.format(_number(found[limit])) for limit, text in {**BOUNDS, **LENGTHS}.items() if limit in found]
    pattern = f"matches `{found['pattern']}`".replace("|", "\\|") if "pattern" in found else ""
    return ", ".join(part for part in (unit, " and ".join(bounds), pattern or _choices(field.annotation)) if part)


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _choices(annotation: object) -> str:
    if annotation is bool:
        return "true or false"
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(annotation))
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return ", ".join(f"`{choice.value}`" for choice in annotation)
    return ""


def page_with_tables(text: str) -> str:
    """Return the page with the tables of `CLASSES` as they have to be."""
    for settings in CLASSES:
        below = re.compile(rf"(^## {settings.__name__}$.*?\n\n)(\|.*?\n)(?=\n|\Z)", re.MULTILINE | re.DOTALL)
        found = below.search(text)
        assert found, f"docs/settings.md has no table under {settings.__name__}"
        text = text[: found.start(2)] + table(settings) + text[found.end(2) :]
    return text


def main() -> None:
    """Write the page."""
    PAGE.write_text(page_with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
