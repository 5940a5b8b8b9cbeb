"""The core is pure: what decides reads no clock, no randomness, no I/O and no logger, nor does anything it imports."""

import ast
from pathlib import Path

import pytest

from tests.architecture.source import ROOT, file_of, imports, name_of, tree

PURE = [
    "engine/decide.py",
    "engine/effects.py",
    "engine/policy.py",
    "engine/transitions.py",
    "journal/state.py",
]
# What a pure file may import: words and values, nothing that acts or looks around.
ALLOWED = {
    "__future__",
    "abc",
    "bisect",
    "collections",
    "collections.abc",
    "dataclasses",
    "enum",
    "functools",
    "hashlib",
    "heapq",
    "itertools",
    "math",
    "operator",
    "types",
    "typing",
}
FORBIDDEN_CALLS = {"breakpoint", "eval", "exec", "globals", "id", "input", "open", "print", "vars", "__import__"}


def _closure() -> list[Path]:
    """Return the pure files and every file of ours that they import, directly or not."""
    found: list[Path] = []
    waiting = [ROOT / name for name in PURE if (ROOT / name).is_file()]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.append(path)
            waiting += [file for module, _ in imports(path) if (file := file_of(module))]
    return sorted(found)


@pytest.mark.parametrize("name", PURE)
def test_the_pure_files_are_where_the_checks_look(name: str) -> None:
    """A pure file that is moved takes its checks along: each listed one exists."""
    assert (ROOT / name).is_file(), f"{name} is gone; correct PURE here, in pyproject.toml and in the Makefile"


@pytest.mark.parametrize("path", _closure(), ids=name_of)
def test_the_core_imports_only_values(path: Path) -> None:
    """The pure files and everything they import use an allow-list of the standard library and nothing else."""
    for module, line in imports(path):
        assert module in ALLOWED or file_of(module), f"{name_of(path)}:{line} imports {module}; hand its answer in"


@pytest.mark.parametrize("path", _closure(), ids=name_of)
def test_the_core_calls_nothing_that_acts(path: Path) -> None:
    """No pure file opens, prints, evaluates, or orders things by their address."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in FORBIDDEN_CALLS, f"{name_of(path)}:{node.lineno} calls {node.func.id}"


@pytest.mark.parametrize("path", _closure(), ids=name_of)
def test_the_core_never_waits(path: Path) -> None:
    """No pure file has a coroutine or a `global`: the same arguments give the same answer."""
    for node in ast.walk(tree(path)):
        assert not isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.Global), f"{name_of(path)}:{node.lineno}"
