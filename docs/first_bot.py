"""Labels pull requests by their titles."""

from dataclasses import dataclass

from queue_runtime.plugins import Context, GitHub, Router

router = Router()
plugins = [GitHub(), router]  # GitHub keeps the webhooks of one pull request in order


@dataclass(frozen=True)
class PullRequest:
    number: int
    title: str


@dataclass(frozen=True)
class Opened:
    pull_request: PullRequest


@router.on("pull_request.opened")
async def label(event: Opened, ctx: Context) -> None:
    pull = event.pull_request
    labels = await ctx.step("classify", lambda: classify(pull.title))  # journaled: a retry does not run it again
    await ctx.send("labels", {"number": pull.number, "labels": labels})  # sent if, and only if, this attempt completes


def classify(title: str) -> list[str]:
    return [word for word in ("bug", "docs", "feature") if word in title.lower()]
