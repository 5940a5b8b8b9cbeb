"""The table of what is proven where is that of the tests, and says something about every item."""

import json
import re
import subprocess
import sys

import pytest

from tests.conformance.matrix import GENERATED, NUMBERS, Shown, items_of, numbers_of, problems
from tests.docs.pages import ROOT, page

SHOWN = {"K01": [Shown("test_K01_x", "tests/x.py")]}


@pytest.mark.timeout(240)
def test_the_tables_on_the_page_are_those_of_the_tests() -> None:
    """A test that comes, goes or is renamed changes the table; `python -m tests.conformance.matrix` writes it anew."""
    command = (
        sys.executable,
        "-c",
        "import json; from tests.conformance.matrix import drawn; print(json.dumps(drawn()))",
    )
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    drawn: dict[str, str] = json.loads(done.stdout.splitlines()[-1])

    for name, text in drawn.items():
        kept = (GENERATED / name).read_text(encoding="utf-8")
        assert kept == text, f"docs/_generated/{name} is stale: run python -m tests.conformance.matrix"


def test_every_item_is_worded() -> None:
    """The 44 edge cases and the 39 behaviours are there, and no others."""
    assert set(items_of()) == set(NUMBERS)
    assert len(NUMBERS) == 44 + 39


@pytest.mark.parametrize(
    ("items", "shown", "said"),
    [
        ({"K01": {"says": "a"}}, SHOWN, None),
        ({"K01": {"says": "a", "note": "b"}}, SHOWN, None),
        ({"K01": {"says": "a", "later": "b"}}, {}, None),
        ({"K01": {"says": "a", "documented": "b"}}, {}, None),
        ({"K01": {"says": "a"}}, {}, "neither a test nor a reason"),
        ({"K01": {"says": "a", "later": "b"}}, SHOWN, "must not have a reason"),
        ({"K01": {"says": "a", "documented": "b"}}, SHOWN, "must not have a reason"),
        ({"K01": {"says": "a", "later": "b", "documented": "c"}}, {}, "at most one"),
        ({"K01": {"later": "b"}}, {}, "must have `says`"),
        ({"K01": {"says": "a", "later": "b", "note": "c"}}, {}, "and no test"),
        ({}, SHOWN, "K01 is no item"),
    ],
)
def test_what_does_not_agree_is_said(
    items: dict[str, dict[str, str]], shown: dict[str, list[Shown]], said: str | None
) -> None:
    """An item without a test and a reason, a reason beside a test, a test of no item: each is a problem in words."""
    found = problems(items, shown)

    assert found == [] if said is None else [said in problem for problem in found] == [True]


def test_numbers_are_read_from_the_front_of_a_name() -> None:
    """Any number of them, among those of other requirements, and nothing that comes later."""
    assert numbers_of("test_K03_L13_an_end") == ["K03", "L13"]
    assert numbers_of("test_K20_B40_L01_x") == ["K20", "L01"]
    assert numbers_of("test_a_lock_K03_x") == []


def test_tests_that_the_page_names_exist() -> None:
    """Every test in the table of rules is in the suite or in the file on those rules."""
    files = [*(ROOT / "providers").glob("conformance_*.py"), ROOT / "tests" / "providers" / "test_memory_sqs_rules.py"]
    defined = {name for file in files for name in re.findall(r"def (test_\w+)", file.read_text(encoding="utf-8"))}
    named = set(re.findall(r"`(test_\w+)`", page("conformance.md")))

    assert named
    assert named <= defined


def test_the_page_on_providers_shows_the_toy_and_a_short_suite() -> None:
    """Each part of the toy's file is included in the page, and adopting the suite takes fewer than 40 lines."""
    toy = (ROOT / "tests" / "conformance" / "test_provider_toy.py").read_text(encoding="utf-8")
    parts = dict(re.findall(r"# --8<-- \[start:(\w+)\]\n(.*?)# --8<-- \[end:\1\]", toy, re.DOTALL))
    shown = re.findall(r"test_provider_toy\.py:(\w+)", page("writing-a-provider.md"))

    assert shown == list(parts) == ["broker", "capabilities", "provider", "factory", "suite"]
    assert len(parts["suite"].splitlines()) < 40
