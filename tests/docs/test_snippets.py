"""What the pages show works: code compiles, imports resolve, and commands exist."""

import ast
import importlib
import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, blocks, name_of

pages = pytest.mark.parametrize("path", PAGES, ids=name_of)


@pages
def test_python_on_a_page_compiles(path: Path) -> None:
    """Every Python block, includes resolved, is Python; top-level `await` and `async with` are allowed."""
    for block in map(_included, blocks(path, "python")):
        compile(block, name_of(path), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST)


def test_the_readme_shows_the_first_bot() -> None:
    """The bot in the README is the one on the home page, which is a file that is linted and type-checked."""
    assert blocks(ROOT / "README.md", "python") == [(ROOT / "docs" / "first_bot.py").read_text(encoding="utf-8")]


@pages
def test_what_a_page_imports_of_ours_exists(path: Path) -> None:
    """Every name of queue_runtime that a page imports can be imported."""
    for block in map(_included, blocks(path, "python")):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("queue_runtime"):
                module = importlib.import_module(node.module or "")
                missing = [alias.name for alias in node.names if not hasattr(module, alias.name)]
                assert not missing, f"{name_of(path)}: {node.module} has no {missing}"


@pages
def test_a_command_on_a_page_is_a_make_target(path: Path) -> None:
    """Every `make TARGET` in a page's console block or code span is in the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:^\$ |`|&& )make ([a-z-]+)", path.read_text(encoding="utf-8"), re.MULTILINE))

    assert named <= targets


def _included(block: str) -> str:
    """Resolve the includes of a block as the docs builder does."""
    return re.sub(r'^--8<-- "([^":]+)(?::\w+)?"$', _content, block, flags=re.MULTILINE)


def _content(include: re.Match[str]) -> str:
    found = next(path for path in (ROOT / "docs" / include[1], ROOT / include[1]) if path.exists())
    return found.read_text(encoding="utf-8")
