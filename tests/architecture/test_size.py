"""The size budget: a file, a class or a constructor that outgrows it is two things."""

import ast
import re
from pathlib import Path

import pytest

from tests.architecture.source import FOLDERS, classes, methods, name_of, python_files

MAX_FILE_LINES = 400
MAX_CLASS_LINES = 250
MAX_METHODS = 15
MAX_CONSTRUCTOR_PARAMETERS = 6
EMPTY_NAMES = re.compile(r"Manager|Helper|Util|Mixin|^_*Base(?=[A-Z]|$)")

ours = pytest.mark.parametrize("path", python_files(*FOLDERS), ids=name_of)


@pytest.mark.parametrize("path", python_files(*FOLDERS, "docs", "tests"), ids=name_of)
def test_a_file_fits_its_budget(path: Path) -> None:
    """No file has more than 400 lines."""
    lines = len(path.read_text(encoding="utf-8").splitlines())

    assert lines <= MAX_FILE_LINES, f"{name_of(path)} has {lines} lines; split it by what changes together"


@ours
def test_a_class_fits_its_budget(path: Path) -> None:
    """No class has more than 250 lines or 15 methods."""
    for node in classes(path):
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        count = len(methods(node))

        assert lines <= MAX_CLASS_LINES, f"{name_of(path)}: {node.name} has {lines} lines"
        assert count <= MAX_METHODS, f"{name_of(path)}: {node.name} has {count} methods"


@ours
def test_a_constructor_fits_its_budget(path: Path) -> None:
    """No constructor takes more than six parameters; beyond that there is a settings object."""
    for node in classes(path):
        for method in methods(node):
            if method.name == "__init__":
                taken = _parameters(method.args)

                assert len(taken) <= MAX_CONSTRUCTOR_PARAMETERS, f"{name_of(path)}: {node.name} takes {taken}"


@ours
def test_a_class_is_named_for_what_it_is(path: Path) -> None:
    """No class is called Manager, Helper, Util, Base... or ...Mixin."""
    for node in classes(path):
        assert not EMPTY_NAMES.search(node.name), f"{name_of(path)}: {node.name} says nothing; name what it does"


def _parameters(arguments: ast.arguments) -> list[str]:
    listed = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    return [argument.arg for argument in listed if argument is not None and argument.arg != "self"]
