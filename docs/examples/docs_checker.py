"""Reminds people of the documentation: when code is pushed without any, and when a pull request does not mention it."""

from __future__ import annotations

from dataclasses import dataclass

from queue_runtime.plugins import Context, GitHub, Router, ValidationFailure

router = Router()
plugins = [GitHub(strategy="branch"), router]


@dataclass(frozen=True)
class Commit:
    """The paths that one commit touched."""

    added: list[str]
    modified: list[str]
    removed: list[str]


@dataclass(frozen=True)
class Push:
    """The webhook `push`."""

    ref: str
    commits: list[Commit]


@router.on("push")
async def check_paths(event: Push, ctx: Context) -> None:
    """Ask for documentation if code changed, and no page did."""
    paths = {path for commit in event.commits for path in (*commit.added, *commit.modified, *commit.removed)}
    if any(map(is_code, paths)) and not any(map(is_documentation, paths)):
        await ctx.send("docs", {"ref": event.ref, "undocumented": sorted(filter(is_code, paths))})


@router.on("pull_request.opened", "pull_request.edited")
async def check_body(event: dict[str, object], ctx: Context) -> None:
    """Ask for a word about documentation in the description."""
    match event:
        case {"pull_request": {"number": int(number), "body": str() | None as body}}:
            if "doc" not in (body or "").lower():
                await ctx.send("docs", {"number": number, "problem": "the description does not mention documentation"})
        case _:
            msg = "the webhook has no pull request with a number and a body; is it one of another event?"
            raise ValidationFailure(msg)


def is_documentation(path: str) -> bool:
    """True for pages and for whatever lies in a folder of documentation."""
    return path.endswith((".md", ".rst")) or path.startswith("docs/")


def is_code(path: str) -> bool:
    """True for sources that users would read about."""
    return path.endswith((".py", ".js", ".ts", ".go", ".rs", ".java", ".c", ".h", ".rb")) and not is_documentation(path)
