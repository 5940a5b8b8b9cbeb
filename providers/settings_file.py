"""A file of settings: TOML, YAML where PyYAML is installed, or JSON. One table for each class of settings."""

from __future__ import annotations

import importlib
import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn, Protocol, cast

from queue_runtime.providers.errors import ConfigurationError

__all__ = ["SECTIONS", "read_section"]

SECTIONS = ("provider", "engine")
"""What a file may hold: one table for each class of settings."""

MAX_BYTES = 1024 * 1024  # a file of settings is a page; what is larger is another file


class _Yaml(Protocol):
    """What is used of PyYAML, which ships no types."""

    YAMLError: type[Exception]

    def safe_load(self, text: str) -> object: ...


class _Mark(Protocol):
    """Where PyYAML stopped; lines count from 0."""

    line: int


def read_section(file: Path, section: str) -> Mapping[str, object]:
    """Return the values of one section of a file; empty if the file has none of that name.

    Raises:
        ConfigurationError: the file cannot be read, is no such file, or holds what is no section. Never shows a value.
    """
    whole = _read(file)
    if not isinstance(whole, Mapping):
        _refuse(file, "does not hold tables: write [provider] and [engine], with settings below them")
    tables = cast("Mapping[object, object]", whole)
    for name, table in tables.items():
        if name not in SECTIONS:
            _refuse(file, f"has a section {str(name)!r}, which is not known: use {' and '.join(SECTIONS)}")
        if table is not None and not isinstance(table, Mapping):
            _refuse(file, f"has a section {str(name)!r} that is no table: write settings below it")
    return cast("Mapping[str, object]", tables.get(section) or {})


def _read(file: Path) -> object:
    readers: dict[str, Callable[[Path, str], object]] = {
        ".toml": _toml,
        ".yaml": _yaml,
        ".yml": _yaml,
        ".json": _json,
    }
    reader = readers.get(file.suffix.lower())
    if reader is None:
        _refuse(file, f"is of no kind that is read: name it {', '.join(readers)}")
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_BYTES + 1)
        text = data.decode()
    except OSError as error:
        _refuse(file, f"cannot be read ({error.strerror}): correct --config or QUEUE_CONFIG", error)
    except UnicodeDecodeError as error:
        _refuse(file, f"is not UTF-8 at byte {error.start}: save it as UTF-8", error)
    if len(data) > MAX_BYTES:
        _refuse(file, f"is larger than {MAX_BYTES} bytes: name the file of settings")
    try:
        return reader(file, text)
    except RecursionError as error:
        _refuse(file, "is nested too deeply: write tables of plain values", error)


def _toml(file: Path, text: str) -> object:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        _refuse(file, f"is not TOML: {error}", error)


def _json(file: Path, text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        place = (
            f"line {error.lineno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else "a number is too long"
        )
        _refuse(file, f"is not JSON at {place}", error)


def _yaml(file: Path, text: str) -> object:
    try:
        yaml = cast("_Yaml", importlib.import_module("yaml"))
    except ImportError as error:
        _refuse(file, "needs PyYAML: pip install 'queue-runtime[yaml]', or write the settings as TOML", error)
    try:
        return yaml.safe_load(text) or {}
    except (yaml.YAMLError, ValueError) as error:  # its text may quote a value: a password that begins with * does it
        mark = cast("_Mark | None", getattr(error, "problem_mark", None))
        place = "" if mark is None else f" at line {mark.line + 1}: put the value there in quotes"
        _refuse(file, f"is not YAML{place}", error)


def _refuse(file: Path, problem: str, cause: Exception | None = None) -> NoReturn:
    msg = f"settings file {str(file)!r} {problem}"
    raise ConfigurationError(msg) from cause
