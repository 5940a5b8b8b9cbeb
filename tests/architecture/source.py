"""The source files of this repository, read and parsed once."""

import ast
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("engine", "journal", "plugins", "providers", "tools")
NOT_OURS = {".git", ".venv", "__pycache__", "build", "dist", "node_modules", "site", "typings"}

Definition = ast.FunctionDef | ast.AsyncFunctionDef
Importing = tuple[str, int]


def _walk(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        folders[:] = [
            name
            for name in folders
            if name not in NOT_OURS and not name.endswith((".egg-info", "_cache", ".hypothesis"))
        ]
        yield from (Path(place, name) for name in files)


@cache
def every_file() -> list[Path]:
    """Return every file of the checkout that somebody wrote."""
    return sorted(path for path in _walk(ROOT) if not path.is_symlink() and not path.name.startswith(".coverage"))


def python_files(*folders: str) -> list[Path]:
    """Return the Python files below `folders` of the root."""
    return [path for path in every_file() if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in folders]


def name_of(path: Path) -> str:
    """Return how a person calls the file: its path from the root."""
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    """Parse a file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def classes(path: Path) -> list[ast.ClassDef]:
    """Return every class of a file, nested ones too."""
    return [node for node in ast.walk(tree(path)) if isinstance(node, ast.ClassDef)]


def methods(node: ast.ClassDef) -> list[Definition]:
    """Return the methods of a class, each overload of one name counted once."""
    found = {item.name: item for item in node.body if isinstance(item, Definition)}
    return list(found.values())


def imports(path: Path) -> Iterator[Importing]:
    """Yield every module that a file imports, absolutely, with the line; `from a import b` gives `a`."""
    for node in ast.walk(tree(path)):
        match node:
            case ast.Import(names=names):
                yield from ((alias.name, node.lineno) for alias in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module, node.lineno
            case ast.ImportFrom():
                yield ".", node.lineno
            case _:
                pass


def file_of(module: str) -> Path | None:
    """Return the file behind `queue_runtime.x.y`, or None if it is not ours."""
    parts = module.split(".")
    if parts[0] != "queue_runtime":
        return None
    path = ROOT.joinpath(*parts[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
