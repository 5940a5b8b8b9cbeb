"""Every SQL statement of the journal stands in one file, has a name that says what it is for, and is used."""

import ast
import re
from pathlib import Path

from queue_runtime.journal import queries

FOLDER = Path(queries.__file__).parent
SQL = re.compile(r"\b(SELECT|INSERT INTO|UPDATE \w+ SET|DELETE FROM|CREATE TABLE)\b")


def test_every_query_has_a_name_and_a_caller() -> None:
    """What `queries.py` exports is what it defines, and each is used by another module of the journal."""
    defined = {
        target.id
        for node in ast.parse(Path(queries.__file__).read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and not target.id.startswith("_")
    }
    callers = "".join(path.read_text(encoding="utf-8") for path in FOLDER.glob("*.py") if path.name != "queries.py")

    assert defined | {"insert_rows", "places_for"} == set(queries.__all__)
    assert [name for name in queries.__all__ if f"queries.{name}" not in callers] == []


def test_every_query_says_what_it_is_for() -> None:
    """A statement is followed by a docstring, or preceded by a comment."""
    lines = Path(queries.__file__).read_text(encoding="utf-8").splitlines()
    body = ast.parse("\n".join(lines)).body
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.JoinedStr | ast.Constant):
            name = ast.unparse(node.targets[0])
            is_text = isinstance(node.value, ast.JoinedStr) or isinstance(node.value.value, str)
            explained = (
                isinstance(after, ast.Expr) or lines[node.lineno - 2].startswith("#") or "--" in ast.unparse(node)
            )
            assert not is_text or name.startswith("_") or explained, name


def test_no_other_module_holds_sql() -> None:
    """SQL is written in `queries.py`, and nowhere else."""
    found = [
        path.name
        for path in FOLDER.glob("*.py")
        if path.name != "queries.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.search(node.value)
    ]

    assert found == []
