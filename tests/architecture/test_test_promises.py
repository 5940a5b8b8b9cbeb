"""The tests keep their own rules: each states its promise, none is silenced, none doubles our own code."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.source import ROOT, Definition, imports, name_of, python_files, tree

TEST_FILES = [
    *python_files("tests"),
    *(path for path in python_files("journal", "providers") if "conformance" in path.name),
]

every = pytest.mark.parametrize("path", TEST_FILES, ids=name_of)


def _tests(path: Path) -> Iterator[Definition]:
    for node in ast.walk(tree(path)):
        if isinstance(node, Definition) and node.name.startswith("test_"):
            yield node


@every
def test_every_test_states_its_promise_in_one_line(path: Path) -> None:
    """A test's docstring is one line that ends with a full stop."""
    for test in _tests(path):
        promise = ast.get_docstring(test)

        assert promise, f"{name_of(path)}:{test.lineno} {test.name} promises nothing"
        assert "\n" not in promise, f"{name_of(path)}:{test.lineno} {test.name} promises in more than a line"
        assert promise.endswith("."), f"{name_of(path)}:{test.lineno} {test.name}: {promise!r}"


@every
def test_no_test_is_skipped_without_a_reason(path: Path) -> None:
    """Whoever skips a test, or expects it to fail, says why."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in {"pytest.mark.skip", "pytest.mark.xfail"}:
            pytest.fail(f"{name_of(path)}:{node.lineno} silences a test for good")
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"pytest.skip", "pytest.mark.skipif"}:
            given = {keyword.arg for keyword in node.keywords}
            assert node.args or "reason" in given, f"{name_of(path)}:{node.lineno} skips without a reason"


@every
def test_nothing_of_ours_is_mocked(path: Path) -> None:
    """Tests use the in-memory twins, which pass the same suites as the real ones; no mock is imported."""
    for module, line in imports(path):
        assert not module.startswith(("unittest.mock", "pytest_mock", "mock")), f"{name_of(path)}:{line}"


@every
def test_no_test_sleeps(path: Path) -> None:
    """Time is injected: only a test that kills processes, or blocks a thread on purpose, may wait for real."""
    if name_of(path).startswith("tests/crash/") or "blocks_loop" in path.read_text(encoding="utf-8"):
        return
    for node in ast.walk(tree(path)):
        match node:
            case ast.Call(func=function, args=[ast.Constant(value=int() | float() as seconds), *_]) if seconds:
                assert ast.unparse(function) not in {"time.sleep", "asyncio.sleep"}, f"{name_of(path)}:{node.lineno}"
            case _:
                pass


def test_the_tests_are_found() -> None:
    """The rules above look at something: this very file is among what they check."""
    assert ROOT / "tests" / "architecture" / "test_test_promises.py" in TEST_FILES
