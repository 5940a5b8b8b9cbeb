"""Writes what is proven where into the docs: `python -m tests.conformance.matrix` after a test or an item has changed.

Tests carry the numbers of the items that they show. The tests are collected, not run, but for one a provider, which
records what the provider declares: a test of the public suite counts for a provider only where it is not skipped.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from queue_runtime.providers.conformance import ProviderConformance
from queue_runtime.providers.port import Capabilities

ROOT = Path(__file__).resolve().parents[2]
ITEMS = Path(__file__).with_name("items.toml")
GENERATED = ROOT / "docs" / "_generated"
DECLARED = "test_what_is_declared_fits_together"
NUMBERS = {**{f"K{n:02}": None for n in range(1, 45)}, **{f"L{n:02}": None for n in range(1, 40)}}

_TAG = re.compile(r"([A-Z])(\d+)_")


@dataclass(frozen=True, slots=True)
class Shown:
    """A test that shows an item. `on`: the providers that it runs on, for a test of the public suite."""

    name: str
    place: str = ""
    on: frozenset[str] = frozenset()


@dataclass(slots=True, eq=False)  # pytest keeps its plugins in sets
class Tests:
    """A pytest plugin that notes which tests show what, and runs those alone that say what a provider declares."""

    elsewhere: defaultdict[str, set[Shown]] = field(default_factory=lambda: defaultdict(set))
    suite: dict[str, tuple[str, ...]] = field(default_factory=dict)  # test -> what it needs, any of
    features: dict[str, dict[str, str]] = field(default_factory=dict)  # provider -> feature -> its value
    departed: set[tuple[str, str]] = field(default_factory=set)  # provider, test that its server keeps it from

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Note every test, and leave those that are to be run."""
        for item in items:
            assert isinstance(item, pytest.Function)
            if item.cls is not None and issubclass(item.cls, ProviderConformance):
                test: object = getattr(ProviderConformance, item.originalname)
                self.suite[item.originalname] = getattr(test, "needs", ())
                if item.originalname in getattr(item.cls, "departures", ()):
                    self.departed.add(((item.cls.__doc__ or item.cls.__name__).rstrip("."), item.originalname))
                continue
            for number in numbers_of(item.originalname):
                path = item.path.relative_to(ROOT).as_posix()
                self.elsewhere[number].add(Shown(item.originalname, path))
        items[:] = [item for item in items if isinstance(item, pytest.Function) and item.originalname == DECLARED]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note what a provider declares."""
        if report.when == "call" and report.passed:
            noted = {name: str(value) for name, value in report.user_properties}
            self.features[noted.pop("provider")] = noted

    def shown(self) -> dict[str, list[Shown]]:
        """Return item -> the tests that show it, those of the public suite first."""
        found: defaultdict[str, list[Shown]] = defaultdict(list)
        for name, needs in sorted(self.suite.items()):
            on = frozenset(
                provider
                for provider, there in self.features.items()
                if (not needs or any(there[need] not in {"False", "None"} for need in needs))
                and (provider, name) not in self.departed
            )
            for number in numbers_of(name) if on else ():
                found[number].append(Shown(name, on=on))
        for number, tests in self.elsewhere.items():
            found[number] += sorted(tests, key=lambda test: (test.place, test.name))
        return dict(found)


def numbers_of(test: str) -> list[str]:
    """Return the items that a test's name says it shows: `test_K03_L13_B40_...` shows K03 and L13."""
    found: list[str] = []
    position = len("test_")
    while (tag := _TAG.match(test, position)) is not None:
        if tag[1] in "KL":
            found.append(tag[1] + tag[2])
        position = tag.end()
    return found


def problems(items: Mapping[str, Mapping[str, str]], shown: Mapping[str, list[Shown]]) -> list[str]:
    """Return what is wrong: items that nothing is said about, tests of no item, reasons that are not true."""
    found = [f"{number} is no item: a test has a wrong number" for number in sorted(set(shown) - set(items))]
    for number, item in items.items():
        reasons = [name for name in ("later", "documented") if name in item]
        if set(item) - {"says", "note", "later", "documented"} or "says" not in item or len(reasons) > 1:
            found.append(f"{number} must have `says`, and at most one of `later` and `documented`")
        if number in shown and reasons:
            found.append(f"{number} has a test, {shown[number][0].name}, so it must not have a reason for none")
        if number not in shown and not reasons:
            found.append(f"{number} has neither a test nor a reason")
        if number not in shown and "note" in item:
            found.append(f"{number} has a note on tests, and no test")
    return found


def table(items: Mapping[str, Mapping[str, str]], shown: Mapping[str, list[Shown]], providers: Iterable[str]) -> str:
    """Draw the table of items."""
    everywhere = frozenset(providers)
    lines = ["| item | what it says | where it is shown |", "|---|---|---|"]
    for number, item in items.items():
        cell = [_told(test, everywhere) for test in shown.get(number, [])]
        cell += [f"{text}: {item[name]}" for name, text in _REASONS.items() if name in item]
        lines.append(f"| {number} | {item['says']} | {'<br>'.join(cell)} |")
    with_tests = sum(number in shown for number in items)
    documented = sum("documented" in item for item in items.values())
    later = sum("later" in item for item in items.values())
    total = f"{len(items)} items: {with_tests} shown by tests, {documented} documented only, {later} not yet."
    return "\n".join((total, "", *lines, ""))


_REASONS = {"documented": "Documented only", "later": "Not yet", "note": "Open"}


def _told(test: Shown, everywhere: frozenset[str]) -> str:
    if test.place:
        return f"`{test.place}::{test.name}`"
    on = "every provider" if test.on == everywhere else "; ".join(sorted(test.on))
    return f"`{test.name}` on {on}"


def declarations(features: Mapping[str, Mapping[str, str]]) -> str:
    """Draw the table of what providers declare."""
    providers = sorted(features)
    lines = [f"| feature | {' | '.join(providers)} |", f"|---|{'---|' * len(providers)}"]
    for name in Capabilities.__dataclass_fields__:
        values = (_written(features[provider][name]) for provider in providers)
        lines.append(f"| `{name}` | {' | '.join(values)} |")
    return "\n".join((*lines, ""))


def _of_the_stub(features: Mapping[str, Mapping[str, str]]) -> dict[str, Mapping[str, str]]:
    """Return what SQS declares, of each kind of queue once."""
    label = re.compile(r"(SQS, \w+), on a stub .*")
    return {found[1]: noted for name, noted in features.items() if (found := label.fullmatch(name))}


def _of_service_bus(features: Mapping[str, Mapping[str, str]]) -> dict[str, Mapping[str, str]]:
    """Return what Service Bus declares, of each kind of queue."""
    return {name: noted for name, noted in features.items() if name.startswith("Service Bus, ")}


def _written(value: str) -> str:
    return {"True": "yes", "False": "-", "None": "no bound"}.get(value, value)


def items_of(path: Path = ITEMS) -> dict[str, dict[str, str]]:
    """Read the wordings and reasons."""
    return cast("dict[str, dict[str, str]]", tomllib.loads(path.read_text(encoding="utf-8")))


def drawn() -> dict[str, str]:
    """Return the generated pages by name.

    Raises:
        SystemExit: the tests cannot be collected, or tests and items do not agree.
    """
    tests = Tests()
    arguments = ["-q", "-m", "", "-p", "no:cacheprovider", "-p", "no:randomly", str(ROOT / "tests")]
    with redirect_stdout(sys.stderr):
        code = pytest.main(arguments, plugins=[tests])
    if code != pytest.ExitCode.OK:
        sys.exit(f"the tests could not be collected: {code!r}")
    items, shown = items_of(), tests.shown()
    wrong = [f"{number} is missing" for number in NUMBERS if number not in items] + problems(items, shown)
    if wrong:
        sys.exit("\n".join(wrong))
    return {
        "conformance.md": table(items, shown, tests.features),
        "capabilities.md": declarations(tests.features),
        "capabilities-sqs.md": declarations(_of_the_stub(tests.features)),
        "capabilities-servicebus.md": declarations(_of_service_bus(tests.features)),
    }


if __name__ == "__main__":
    for page, text in drawn().items():
        (GENERATED / page).write_text(text, encoding="utf-8")
