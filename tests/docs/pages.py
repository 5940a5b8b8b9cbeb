"""The documentation's pages, as text."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def name_of(path: Path) -> str:
    """Return a page's path from the root."""
    return path.relative_to(ROOT).as_posix()


def page(name: str) -> str:
    """Return the text of `docs/<name>`."""
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def blocks(path: Path, language: str) -> list[str]:
    """Return the fenced blocks of one language."""
    return [body for found, body in _FENCE.findall(path.read_text(encoding="utf-8")) if found == language]


def headings(text: str, level: int) -> list[str]:
    """Return the headings of a level, without code marks."""
    return [line[level + 1 :].replace("`", "") for line in text.splitlines() if line.startswith("#" * level + " ")]


def sections(text: str, level: int) -> Iterator[tuple[str, str]]:
    """Yield (heading, what is below it) for the headings of a level; code fences are not looked into."""
    parts = re.split(rf"^{'#' * level} (.*)$", text, flags=re.MULTILINE)
    yield from ((heading.replace("`", ""), body) for heading, body in zip(parts[1::2], parts[2::2], strict=True))


def rows(text: str) -> set[str]:
    """Return the first cell of every table row that begins with code."""
    return set(re.findall(r"^\| `([^`]+)`", text, re.MULTILINE))
