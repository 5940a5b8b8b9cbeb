"""The page on guarantees points to tests that exist."""

import ast
import re

from tests.docs.pages import ROOT, page

_NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def test_every_test_that_the_page_names_exists() -> None:
    """Whoever looks for the proof of a row finds it."""
    named = _NAMED.findall(page("guarantees.md"))

    assert len(named) > 25
    for path, name in named:
        functions = [n.name for n in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(n, _FUNCTION)]
        assert name in functions, f"docs/guarantees.md names {path}::{name}"


def test_every_row_of_the_page_is_shown_by_a_test() -> None:
    """A promise without a proof is not in a table."""
    rows = [line for line in page("guarantees.md").splitlines() if line.startswith("| ") and "shown by |" not in line]

    assert rows
    assert [row for row in rows if not _NAMED.search(row)] == []


_FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
