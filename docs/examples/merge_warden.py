"""Checks that a pull request may be merged: its title is a conventional commit, and it is small enough to review."""

from __future__ import annotations

import re
from dataclasses import dataclass

from queue_runtime.plugins import Context, GitHub, Router

MAX_LINES = 400
TITLE = re.compile(r"(build|chore|ci|docs|feat|fix|perf|refactor|revert|style|test)(\([\w./-]+\))?!?: \S.*")

router = Router()
plugins = [GitHub(), router]


@dataclass(frozen=True)
class PullRequest:
    """What the bot needs to know of a pull request; other fields of the webhook are ignored."""

    number: int
    title: str
    additions: int
    deletions: int


@dataclass(frozen=True)
class PullRequestEvent:
    """The webhook `pull_request`."""

    pull_request: PullRequest


# Two verdicts on one pull request must not overtake each other, so a failed one is retried before later events.
@router.on(
    "pull_request.opened",
    "pull_request.edited",
    "pull_request.reopened",
    "pull_request.synchronize",
    timeout_s=30,
    session_failure="block",
)
async def check(event: PullRequestEvent, ctx: Context) -> None:
    """Send the verdict to the queue `checks`."""
    pull = event.pull_request
    problems = problems_of(pull)
    await ctx.send(
        "checks",
        {"number": pull.number, "passed": not problems, "problems": problems},
        session_id=ctx.delivery.message.session_id,
    )


def problems_of(pull: PullRequest) -> list[str]:
    """Say what keeps the pull request from being merged; nothing if it may be."""
    problems: list[str] = []
    if TITLE.fullmatch(pull.title) is None:
        problems.append("the title is no conventional commit, such as 'fix(parser): accept empty lines'")
    lines = pull.additions + pull.deletions
    if lines > MAX_LINES:
        problems.append(f"{lines} lines changed; split it into parts of at most {MAX_LINES}")
    return problems
