"""Asks a reviewer to look at every pull request that opens: always the same one for the same pull request."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from queue_runtime.plugins import Context, GitHub, Router

REVIEWERS = ("ada", "grace", "katherine", "margaret")

router = Router()
plugins = [GitHub(), router]


@dataclass(frozen=True)
class User:
    """Whoever opened the pull request."""

    login: str


@dataclass(frozen=True)
class PullRequest:
    """What the bot needs to know of a pull request; other fields of the webhook are ignored."""

    number: int
    user: User
    draft: bool = False


@dataclass(frozen=True)
class Repository:
    """Where it was opened."""

    full_name: str


@dataclass(frozen=True)
class PullRequestEvent:
    """The webhook `pull_request`."""

    pull_request: PullRequest
    repository: Repository


@router.on("pull_request.opened", "pull_request.reopened", "pull_request.ready_for_review")
async def assign(event: PullRequestEvent, ctx: Context) -> None:
    """Choose a reviewer and send the assignment to the queue `assignments`."""
    pull = event.pull_request
    if pull.draft:
        ctx.logger.info("pull request %d is a draft", pull.number)
        return
    # The choice is journaled: if the list of reviewers changes between two attempts, the first choice stands.
    reviewer = await ctx.step("choose", lambda: choose(event.repository.full_name, pull.number, pull.user.login))
    await ctx.send(
        "assignments",
        {"repository": event.repository.full_name, "number": pull.number, "reviewer": reviewer},
        session_id=ctx.delivery.message.session_id,
    )


def choose(repository: str, number: int, author: str) -> str:
    """Go round the reviewers by a hash that is the same on every machine, and leave out the author."""
    candidates = [reviewer for reviewer in REVIEWERS if reviewer != author]
    digest = hashlib.sha256(f"{repository}#{number}".encode()).digest()
    return candidates[int.from_bytes(digest[:8], "big") % len(candidates)]
