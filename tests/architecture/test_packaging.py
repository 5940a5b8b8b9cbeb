"""What is installed: `queue_runtime/...`, all of it, and nothing else."""

import importlib
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.architecture.source import FOLDERS, ROOT, name_of, python_files

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETUPTOOLS = PYPROJECT["tool"]["setuptools"]
ENTRY_POINTS: dict[str, dict[str, str]] = {
    "scripts": PYPROJECT["project"]["scripts"],
    **PYPROJECT["project"]["entry-points"],
}


def _packages() -> dict[str, str]:
    """Return package -> folder for every folder that holds Python files of ours."""
    places = {name_of(path.parent) for path in python_files(*FOLDERS)}
    return {"queue_runtime." + place.replace("/", "."): place for place in sorted(places)}


def test_every_folder_with_code_is_packaged() -> None:
    """A new sub-folder is listed in both packaging tables, or this fails."""
    assert SETUPTOOLS["packages"] == sorted(_packages())
    assert SETUPTOOLS["package-dir"] == _packages()


def test_every_folder_says_that_it_is_typed() -> None:
    """Each top folder carries `py.typed`, so that a user's type checker reads our annotations."""
    assert all((ROOT / folder / "py.typed").is_file() for folder in FOLDERS)


def test_the_namespace_has_no_init() -> None:
    """`queue_runtime` stays a namespace: neither the root nor the links that stand for it have an `__init__`."""
    assert not (ROOT / "__init__.py").exists()
    assert not (ROOT / "typings" / "queue_runtime" / "__init__.py").exists()


def test_checkers_see_every_folder_under_its_installed_name() -> None:
    """The type checker and the docs builder find each folder, and no other, through a link in `typings`."""
    links = {path.name: path.readlink() for path in (ROOT / "typings" / "queue_runtime").iterdir()}

    assert links == {folder: Path("..", "..", folder) for folder in FOLDERS}


@pytest.mark.parametrize(("group", "name"), [(group, name) for group, names in ENTRY_POINTS.items() for name in names])
def test_every_entry_point_leads_to_something_that_can_be_called(group: str, name: str) -> None:
    """Each script and each provider that the distribution registers exists."""
    module, _, attribute = ENTRY_POINTS[group][name].partition(" ")[0].partition(":")

    assert callable(getattr(importlib.import_module(module), attribute))


def test_L39_dependencies_have_lower_bounds_only() -> None:
    """A library does not cap what its users may install."""
    project = PYPROJECT["project"]
    listed = [
        *project["dependencies"],
        *(item for extra in project["optional-dependencies"].values() for item in extra),
    ]

    assert [item for item in listed if any(sign in item for sign in ("<", "==", "~=", "!="))] == []


def test_the_wheel_holds_the_namespace_alone(tmp_path: Path) -> None:
    """The wheel has every module and `py.typed` below `queue_runtime/`, and no file elsewhere but its metadata."""
    source = tmp_path / "source"
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(tmp_path / "dist"),
        str(source),
    ]

    subprocess.run(command, check=True, capture_output=True)

    (wheel,) = (tmp_path / "dist").glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {"queue_runtime/" + name_of(path) for path in python_files(*FOLDERS)}
    typed = {f"queue_runtime/{folder}/py.typed" for folder in FOLDERS}
    assert modules | typed <= names
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"queue_runtime"}
