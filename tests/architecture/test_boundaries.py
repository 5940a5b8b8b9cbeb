"""What may be touched from one place only: the environment, the SDKs, the machine."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.source import FOLDERS, ROOT, every_file, imports, name_of, python_files, tree

# Beside the settings: the demo's server, which gives the SDK of this process credentials that open nothing.
ENVIRONMENT_READERS = {"engine/settings.py", "providers/settings.py", "tools/demo/local_sqs.py"}
ENVIRONMENT_NAMES = {"environ", "environb", "getenv", "getenvb"}
ADAPTERS: dict[str, str | tuple[str, ...]] = {
    "aiobotocore": "providers/sqs",
    "boto3": "providers/sqs",
    "botocore": "providers/sqs",
    "azure": "providers/servicebus",
    "cryptography": "plugins/encryption",
    "datasette": "tools/",
    "opentelemetry": ("plugins/telemetry", "providers/telemetry"),  # an engine's, and every client's
}
# A folder of somebody's machine. What follows the slash keeps this line from finding itself.
MACHINE_PATH = re.compile(r"(?<![\w./*~-])/(?:home|root|work|Users)/\w")
TEXT = {
    ".cfg",
    ".in",
    ".json",
    ".jsonl",
    ".md",
    ".mmd",
    ".py",
    ".pyi",
    ".sh",
    ".sql",
    ".toml",
    ".txt",
    ".yaml",
    ".yml",
    "",
}
LEFT_OVER = re.compile(r"\b(?:TODO|FIX" + r"ME|XXX)\b")

ours = pytest.mark.parametrize("path", python_files(*FOLDERS), ids=name_of)


@ours
def test_the_environment_is_read_in_the_settings_alone(path: Path) -> None:
    """No file but the two settings files, and one that makes an environment, asks it for anything."""
    if name_of(path) in ENVIRONMENT_READERS:
        return
    for node in ast.walk(tree(path)):
        match node:
            case ast.Attribute(attr=name) | ast.Name(id=name) | ast.alias(name=name):
                read = name in ENVIRONMENT_NAMES
            case ast.keyword(arg="envvar"):
                read = True
            case _:
                read = False
        assert not read, f"{name_of(path)} reads the environment at line {getattr(node, 'lineno', '?')}"
    assert "pydantic_settings" not in {module for module, _ in imports(path)}, f"{name_of(path)} reads the environment"


@ours
def test_an_sdk_is_imported_in_its_adapter_alone(path: Path) -> None:
    """Each SDK has one file, or one folder, that may import it."""
    for module, line in imports(path):
        home = ADAPTERS.get(module.split(".")[0])
        assert home is None or name_of(path).startswith(home), f"{name_of(path)}:{line} imports {module}"


def test_importing_every_folder_loads_no_sdk() -> None:
    """A bot pays for the SDK of the provider it uses, when it uses it."""
    code = "import sys; " + "; ".join(f"import queue_runtime.{folder}" for folder in FOLDERS)
    code += "; print(*sorted({name.split('.')[0] for name in sys.modules}))"

    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()

    assert not set(loaded) & set(ADAPTERS)


def test_no_file_names_a_machine() -> None:
    """Nothing in the repository depends on, or tells, where somebody's checkout lies."""
    found = [
        f"{name_of(path)}:{number}"
        for path in every_file()
        if path.suffix in TEXT
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if MACHINE_PATH.search(line)
    ]

    assert not found


def test_nothing_is_left_for_later() -> None:
    """No note to ourselves is left in code or documentation: it is done, or it is an issue."""
    found = [
        f"{name_of(path)}:{number}"
        for path in every_file()
        if path.suffix in {".md", ".py", ".toml", ".yml"} and path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if LEFT_OVER.search(line)
    ]

    assert not found


def test_only_the_five_folders_hold_code() -> None:
    """Beside the five folders, tests and documentation alone may have Python files."""
    homes = {path.relative_to(ROOT).parts[0] for path in every_file() if path.suffix == ".py"}

    assert homes <= {*FOLDERS, "docs", "tests"}
