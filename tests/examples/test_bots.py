import sys
from pathlib import Path
from typing import Any, cast

import pytest

from queue_runtime.plugins import DeliveryInfo, Plugins, ValidationFailure, github_message, load
from tests.plugins.doubles import RecordingContext, delivery_of

REPOSITORY = {"id": 7, "full_name": "octo/repo"}


@pytest.fixture(autouse=True)
def examples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Import the bots as their users do: by name, from their folder."""
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parents[2] / "docs" / "examples"), *sys.path])


def pull_request(**fields: object) -> dict[str, object]:
    pull = {"number": 17, "user": {"login": "ada"}, "head": {"ref": "fix"}, "title": "fix: it", "body": None}
    return {
        "action": "opened",
        "pull_request": {**pull, "additions": 1, "deletions": 2, **fields},
        "repository": REPOSITORY,
    }


def push(*paths: str) -> dict[str, object]:
    commit = {"added": paths[:1], "modified": paths[1:], "removed": ()}
    return {"ref": "refs/heads/main", "commits": [commit], "repository": REPOSITORY}


async def run(
    bot: str, event: str, payload: dict[str, object], context: RecordingContext | None = None
) -> RecordingContext:
    """Let the bot handle one webhook."""
    delivery = delivery_of(github_message(event, payload))
    handler = Plugins(load([bot])).handler(DeliveryInfo(delivery))
    assert handler is not None
    context = context or RecordingContext(delivery)
    context.delivery = delivery
    await cast("Any", handler.call(context))
    return context


async def test_the_assigner_asks_one_reviewer_and_not_the_author() -> None:
    """One assignment is sent, in the order of the pull request, and the author is left out."""
    authors = ["ada", "grace", "katherine", "margaret"]
    for author in authors:
        context = await run("pr_assigner", "pull_request", pull_request(user={"login": author}))

        [(queue, message, session_id)] = context.sent
        reviewer = cast("dict[str, object]", message)["reviewer"]
        assert queue == "assignments"
        assert session_id == "octo/repo/pull/17"
        assert reviewer in set(authors) - {author}


async def test_the_assigner_spreads_the_work_and_repeats_itself() -> None:
    """Every reviewer gets a share, and a pull request keeps the one it got."""
    chosen = [
        [(await run("pr_assigner", "pull_request", pull_request(number=number, user={"login": "mona"}))).sent[0][1]]
        for number in [*range(40), *range(40)]
    ]

    assert chosen[:40] == chosen[40:]
    assert len({cast("dict[str, str]", message)["reviewer"] for [message] in chosen}) == 4


async def test_the_assigner_keeps_its_choice_in_a_later_attempt() -> None:
    """The choice is a step: an attempt after the first gets the recorded one."""
    delivery = delivery_of(github_message("pull_request", pull_request()))
    context = RecordingContext(delivery, attempt=2, steps={"choose": "linus"})

    await run("pr_assigner", "pull_request", pull_request(), context)

    assert [cast("dict[str, object]", message)["reviewer"] for _, message, _ in context.sent] == ["linus"]


async def test_the_assigner_leaves_drafts_alone() -> None:
    """A draft needs no reviewer yet."""
    assert not (await run("pr_assigner", "pull_request", pull_request(draft=True))).sent


@pytest.mark.parametrize(
    ("fields", "problems"),
    [
        ({"title": "fix(parser)!: accept empty lines"}, 0),
        ({"title": "Fixed it"}, 1),
        ({"additions": 300, "deletions": 101}, 1),
        ({"title": "wip", "additions": 401}, 2),
    ],
)
async def test_the_warden_checks_title_and_size(fields: dict[str, object], problems: int) -> None:
    """The verdict is sent with a sentence for each problem."""
    context = await run("merge_warden", "pull_request", pull_request(**fields))

    [(queue, message, session_id)] = context.sent
    verdict = cast("dict[str, Any]", message)
    assert (queue, session_id) == ("checks", "octo/repo/pull/17")
    assert verdict["passed"] is (problems == 0)
    assert len(verdict["problems"]) == problems


@pytest.mark.parametrize(
    ("paths", "undocumented"),
    [
        (("src/a.py", "b.go"), ["b.go", "src/a.py"]),
        (("src/a.py", "docs/a.md"), None),
        (("src/a.py", "README.md"), None),
        (("Makefile",), None),
        (("docs/examples/bot.py",), None),
        ((), None),
    ],
)
async def test_the_checker_asks_for_pages_when_only_code_changed(
    paths: tuple[str, ...], undocumented: list[str] | None
) -> None:
    """A push of code without a page is reported with its paths, and nothing else is."""
    context = await run("docs_checker", "push", push(*paths))

    expected = [("docs", {"ref": "refs/heads/main", "undocumented": undocumented}, None)]
    assert context.sent == (expected if undocumented else [])


@pytest.mark.parametrize(
    ("body", "asked"), [(None, True), ("Faster.", True), ("Faster. Documented in usage.md", False)]
)
async def test_the_checker_reads_the_description(body: str | None, *, asked: bool) -> None:
    """A description without a word about documentation is answered."""
    context = await run("docs_checker", "pull_request", pull_request(body=body))

    assert bool(context.sent) is asked


async def test_the_checker_refuses_what_is_no_pull_request() -> None:
    """A webhook without the fields that it needs can never succeed."""
    with pytest.raises(ValidationFailure, match="no pull request with a number"):
        await run("docs_checker", "pull_request", {"action": "opened"})


@pytest.mark.parametrize("bot", ["pr_assigner", "merge_warden", "docs_checker"])
def test_a_bot_is_short_and_needs_no_network(bot: str) -> None:
    """Each example is a page of code, and acts by sending messages alone."""
    source = (Path(__file__).parents[2] / "docs" / "examples" / f"{bot}.py").read_text(encoding="utf-8")

    assert len(source.splitlines()) < 80
    assert not any(module in source for module in ("socket", "http", "urllib", "aiohttp"))
