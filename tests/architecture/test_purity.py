"""The core is pure: what decides reads no clock, no randomness, no I/O and no logger, nor does anything it imports."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from tests.architecture.source import ROOT, file_of, imports, name_of, python_files, tree

PURE = {
    "engine/decide.py",
    "engine/decide_breaker.py",
    "engine/decide_session.py",
    "engine/decide_settle.py",
    "engine/effects.py",
    "engine/inputs.py",
    "engine/policy.py",
    "engine/transitions.py",
    "journal/adopted.py",
    "journal/engine_events.py",
    "journal/engine_rules.py",
    "journal/events.py",
    "journal/evolve.py",
    "journal/invariants.py",
    "journal/message_events.py",
    "journal/message_state.py",
    "journal/rules.py",
    "journal/sender_order.py",
    "journal/settled_keys.py",
    "journal/state.py",
    "journal/tracks.py",
    "tools/servicebus_emulator/broker/browse.py",
    "tools/servicebus_emulator/broker/locks.py",
    "tools/servicebus_emulator/broker/message.py",
    "tools/servicebus_emulator/broker/namespace.py",
    "tools/servicebus_emulator/broker/queue.py",
    "tools/servicebus_emulator/broker/recent.py",
    "tools/servicebus_emulator/broker/refusal.py",
    "tools/servicebus_emulator/broker/sessions.py",
    "tools/servicebus_emulator/broker/store.py",
    "tools/servicebus_emulator/emulated_queue.py",
}
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


def test_the_core_is_what_the_checks_say() -> None:
    """A file that the core imports, or that decides, is checked as part of it; none is listed that is gone."""
    deciding = {name_of(path) for path in python_files("engine") if path.name.startswith("decide")}

    assert {name_of(path) for path in _closure()} | deciding == PURE


def test_the_import_contract_and_the_coverage_gate_cover_the_core() -> None:
    """The import contract and the coverage gate name every file of the core, so that none is held to less."""
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    (contract,) = (contract for contract in linter["contracts"] if contract["name"].startswith("The core is pure"))
    (gate,) = re.findall(r"^PURE := (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)

    assert set(contract["source_modules"]) == {"queue_runtime." + name[:-3].replace("/", ".") for name in PURE}
    assert set(gate.split(",")) == PURE


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
