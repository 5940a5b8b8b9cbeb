"""The public API is each folder's `__init__`: what it names is documented, and it names all that it exports."""

import ast
import importlib

import pytest

from tests.architecture.source import FOLDERS, ROOT, file_of, tree

folders = pytest.mark.parametrize("folder", FOLDERS)


def _init(folder: str) -> ast.Module:
    return tree(ROOT / folder / "__init__.py")


def _exported(folder: str) -> dict[str, str]:
    """Return public name -> module that it comes from."""
    return {
        alias.asname or alias.name: node.module or ""
        for node in _init(folder).body
        if isinstance(node, ast.ImportFrom) and node.module != "__future__"
        for alias in node.names
    }


def _docstring(module: str, name: str) -> str | None:
    """Return the docstring of `name`, also of a constant or an alias: the string that follows it."""
    path = file_of(module)
    assert path is not None, f"{name} comes from {module}, which is not ours"
    body = tree(path).body
    for node, following in zip(body, [*body[1:], None], strict=True):
        match node:
            case ast.ClassDef(name=found) | ast.FunctionDef(name=found) | ast.AsyncFunctionDef(name=found) if (
                found == name
            ):
                return ast.get_docstring(node)
            case ast.ImportFrom(module=str(origin), names=names) if name in {a.asname or a.name for a in names}:
                return _docstring(origin, name)
            case ast.Assign(targets=[ast.Name(id=found)]) | ast.AnnAssign(target=ast.Name(id=found)) if found == name:
                match following:
                    case ast.Expr(value=ast.Constant(value=str(text))):
                        return text
                    case _:
                        return None
            case _:
                pass
    return None


@folders
def test_all_is_exactly_what_is_exported(folder: str) -> None:
    """`__all__` lists every name that the folder's `__init__` imports, and each can be imported."""
    module = importlib.import_module(f"queue_runtime.{folder}")

    assert set(module.__all__) == set(_exported(folder))
    assert all(hasattr(module, name) for name in module.__all__)


@folders
def test_an_init_has_no_logic(folder: str) -> None:
    """A folder's `__init__` is a docstring, imports and `__all__`."""
    docstring, *rest = _init(folder).body

    assert isinstance(docstring, ast.Expr)
    assert ast.get_docstring(_init(folder))
    for node in rest:
        is_all = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        assert isinstance(node, ast.ImportFrom) or is_all, f"{folder}/__init__.py:{node.lineno} is logic"


@folders
def test_every_public_name_has_a_docstring(folder: str) -> None:
    """Whatever a folder exports says what it promises."""
    silent = [name for name, module in _exported(folder).items() if not _docstring(module, name)]

    assert not silent


@folders
def test_every_folder_has_its_reference_page(folder: str) -> None:
    """The reference documents each folder, that is every name of its `__all__`."""
    page = ROOT / "docs" / "reference" / f"{folder}.md"

    assert f"::: queue_runtime.{folder}\n" in page.read_text(encoding="utf-8")
