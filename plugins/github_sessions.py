"""Which GitHub events must be handled one after another: session ids from webhook payloads.

Every strategy is a list of entities, and the first one that an event is about names the session:

| strategy       | looked for, in this order                                            |
|----------------|----------------------------------------------------------------------|
| `pull_request` | pull request, issue, discussion, branch, repository, account         |
| `issue`        | issue or pull request by number, discussion, branch, repository, account |
| `branch`       | branch, pull request, issue, discussion, repository, account         |
| `repository`   | repository, account                                                  |

Ids read `owner/repository/pull/17`, `.../issues/17`, `.../discussions/17`, `.../branch/NAME`, `owner/repository`, and
`@login` for an event without a repository.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias, cast
from urllib.parse import quote

from queue_runtime.providers.message import MAX_SESSION_ID

__all__ = ["STRATEGIES", "GitHubStrategy", "session_id_of"]

Payload: TypeAlias = Mapping[str, object]
GitHubStrategy: TypeAlias = (
    Literal["pull_request", "issue", "branch", "repository"] | Callable[[str, Payload], str | None]
)
"""A strategy by name, or a function of the event's name (`pull_request`) and its payload that answers a session id."""

_Entity: TypeAlias = Callable[[Payload], tuple[str, ...] | None]

DIGEST_CHARACTERS = 32  # 128 bits: two long branch names do not meet by chance

_BRANCHES = (
    ("pull_request", "head", "ref"),
    ("check_run", "check_suite", "head_branch"),
    ("check_suite", "head_branch"),
    ("workflow_run", "head_branch"),
    ("workflow_job", "head_branch"),
    ("merge_group", "head_ref"),
    ("deployment", "ref"),
    ("ref",),  # push, create, delete, workflow_dispatch, code scanning
    ("branch",),  # repository_dispatch
)
_ACCOUNTS = (
    ("organization", "login"),
    ("installation", "account", "login"),
    ("marketplace_purchase", "account", "login"),
    ("sponsorship", "sponsorable", "login"),
    ("sender", "login"),
)


def session_id_of(strategy: GitHubStrategy, event: str, payload: Payload) -> str | None:
    """Name the session of a webhook; None if it is about nothing that has an order.

    The same payload always gives the same id. Characters that a session id may not hold are percent-encoded, and an id
    that would be too long ends in a digest of what was cut, so different entities do not share one.
    """
    if callable(strategy):
        return strategy(event, payload)
    for entity in _STRATEGIES[strategy]:
        parts = entity(payload)
        if parts is not None:
            return _joined(parts)
    return None


def _pull_request(payload: Payload) -> tuple[str, ...] | None:
    number = _get(payload, "pull_request", "number")
    if number is None and _get(payload, "issue", "pull_request") is not None:
        number = _get(payload, "issue", "number")  # a comment on a pull request arrives as one on an issue
    if number is None:
        number = _checked_pull_request(payload)
    return _numbered(payload, "pull", number)


def _checked_pull_request(payload: Payload) -> object:
    """The one pull request that a check or a workflow ran for; of several, none is more right than another."""
    for name in ("check_run", "check_suite", "workflow_run"):
        ours = [pull for pull in _list(payload, name, "pull_requests") if _is_ours(payload, pull)]
        if len(ours) == 1:
            return _get(ours[0], "number")
    return None


def _is_ours(payload: Payload, pull: object) -> bool:
    """A check on a fork's branch also lists the pull requests of other repositories."""
    return _get(pull, "base", "repo", "id") == _get(payload, "repository", "id")


def _issue(payload: Payload) -> tuple[str, ...] | None:
    return _numbered(payload, "issues", _get(payload, "issue", "number"))


def _issue_or_pull_request(payload: Payload) -> tuple[str, ...] | None:
    # One sequence of numbers counts both, so one prefix for both is unambiguous.
    return _issue(payload) or _numbered(payload, "issues", _get(payload, "pull_request", "number"))


def _discussion(payload: Payload) -> tuple[str, ...] | None:
    return _numbered(payload, "discussions", _get(payload, "discussion", "number"))


def _branch(payload: Payload) -> tuple[str, ...] | None:
    repository = _repository(payload)
    name = next(filter(None, (_text(payload, *path) for path in _BRANCHES)), None) or _status_branch(payload)
    if repository is None or name is None or name.startswith("refs/tags/") or _get(payload, "ref_type") == "tag":
        return None
    head = _full_name(_get(payload, "pull_request", "head", "repo"))  # a fork's branch is another branch
    return (*(head or repository), "branch", name.removeprefix("refs/heads/"))


def _status_branch(payload: Payload) -> str | None:
    """The one branch that a commit status is about."""
    branches = _list(payload, "branches")
    return _text(branches[0], "name") if len(branches) == 1 else None


def _repository(payload: Payload) -> tuple[str, ...] | None:
    return _full_name(_get(payload, "repository"))


def _account(payload: Payload) -> tuple[str, ...] | None:
    advisory = _text(payload, "security_advisory", "ghsa_id")
    if advisory is not None:
        return ("@advisories", advisory)  # published for everybody: it has neither repository nor sender
    login = next(filter(None, (_text(payload, *path) for path in _ACCOUNTS)), None)
    return None if login is None else (f"@{login}",)


_STRATEGIES: dict[str, tuple[_Entity, ...]] = {
    "pull_request": (_pull_request, _issue, _discussion, _branch, _repository, _account),
    "issue": (_issue_or_pull_request, _discussion, _branch, _repository, _account),
    "branch": (_branch, _pull_request, _issue, _discussion, _repository, _account),
    "repository": (_repository, _account),
}
STRATEGIES = tuple(_STRATEGIES)
"""The names of the strategies."""


def _numbered(payload: Payload, kind: str, number: object) -> tuple[str, ...] | None:
    repository = _repository(payload)
    if repository is None or not isinstance(number, int):
        return None
    return (*repository, kind, str(number))


def _full_name(repository: object) -> tuple[str, ...] | None:
    owner, slash, name = (_text(repository, "full_name") or "").partition("/")
    return (owner, name) if owner and slash and name else None


def _joined(parts: tuple[str, ...]) -> str:
    *front, last = parts
    # Only a branch's name, the last part, may hold slashes, so the parts stay apart without encoding those.
    whole = "/".join((*(quote(part, safe="@") for part in front), quote(last, safe="/@")))
    if len(whole) <= MAX_SESSION_ID:
        return whole
    digest = hashlib.sha256(whole.encode()).hexdigest()[:DIGEST_CHARACTERS]
    return f"{whole[: MAX_SESSION_ID - DIGEST_CHARACTERS - 1]}~{digest}"


def _get(value: object, *path: str) -> object:
    """Follow `path` through nested objects; None where it ends early, as webhooks of every age and kind come by."""
    for name in path:
        if not isinstance(value, Mapping):
            return None
        value = cast("Payload", value).get(name)
    return value


def _list(value: object, *path: str) -> list[object]:
    found = _get(value, *path)
    return cast("list[object]", found) if isinstance(found, list) else []


def _text(value: object, *path: str) -> str | None:
    found = _get(value, *path)
    return found if isinstance(found, str) and found else None
