import json
import os
from collections import defaultdict
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queue_runtime.plugins import DeliveryInfo, GitHub, GitHubStrategy, PluginError, Plugins, github_message
from queue_runtime.plugins.github_sessions import STRATEGIES
from queue_runtime.providers.errors import QueueError
from queue_runtime.providers.message import Message, SessionId
from tests.plugins.doubles import delivery_of, info_of

REPOSITORY = {"id": 7, "full_name": "octo/repo"}
FORK = {"id": 8, "full_name": "fork/repo"}
PULL = {"number": 17, "head": {"ref": "fix/it", "repo": REPOSITORY}}


def on(**payload: object) -> dict[str, object]:
    return {"repository": REPOSITORY, **payload}


def checked_pull(number: int, repository: dict[str, Any]) -> dict[str, object]:
    return {"number": number, "base": {"repo": {"id": repository["id"]}}}


def session(payload: dict[str, object], strategy: GitHubStrategy = "pull_request") -> str | None:
    return github_message("an_event", payload, strategy=strategy).session_id


def real_webhooks() -> list[dict[str, Any]]:
    """Read the real webhooks, where there are some: `QUEUE_RUNTIME_WEBHOOKS` names the folder."""
    beside = Path(__file__).parents[2].parent / "shared" / "webhooks"
    file = Path(os.environ.get("QUEUE_RUNTIME_WEBHOOKS", beside)) / "github.jsonl"
    if not file.exists():
        pytest.skip("no real webhooks here; name their folder in QUEUE_RUNTIME_WEBHOOKS")
    with file.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@pytest.mark.parametrize(
    ("payload", "pull_request", "issue", "branch"),
    [
        (on(pull_request=PULL), "octo/repo/pull/17", "octo/repo/issues/17", "octo/repo/branch/fix/it"),
        (
            on(pull_request={"number": 17, "head": {"ref": "main", "repo": FORK}}),
            "octo/repo/pull/17",
            "octo/repo/issues/17",
            "fork/repo/branch/main",
        ),
        (
            on(pull_request={"number": 17, "head": {"ref": "main", "repo": None}}),
            "octo/repo/pull/17",
            "octo/repo/issues/17",
            "octo/repo/branch/main",
        ),
        (on(issue={"number": 5}), "octo/repo/issues/5", "octo/repo/issues/5", "octo/repo/issues/5"),
        (
            on(issue={"number": 17, "pull_request": {"url": "u"}}),
            "octo/repo/pull/17",
            "octo/repo/issues/17",
            "octo/repo/pull/17",
        ),
        (on(discussion={"number": 9}), *["octo/repo/discussions/9"] * 3),
        (on(ref="refs/heads/release/1.0"), *["octo/repo/branch/release/1.0"] * 3),
        (on(ref="refs/tags/v1"), *["octo/repo"] * 3),
        (on(ref="v1", ref_type="tag"), *["octo/repo"] * 3),
        (on(ref=None, ref_type="repository"), *["octo/repo"] * 3),
        (
            on(
                check_suite={
                    "head_branch": "fix",
                    "pull_requests": [checked_pull(17, REPOSITORY), checked_pull(3, FORK)],
                }
            ),
            "octo/repo/pull/17",
            "octo/repo/branch/fix",
            "octo/repo/branch/fix",
        ),
        (
            on(
                check_suite={
                    "head_branch": "x",
                    "pull_requests": [checked_pull(1, REPOSITORY), checked_pull(2, REPOSITORY)],
                }
            ),
            *["octo/repo/branch/x"] * 3,
        ),
        (on(check_run={"check_suite": {"head_branch": "fix"}, "pull_requests": []}), *["octo/repo/branch/fix"] * 3),
        (on(workflow_run={"head_branch": "fix", "pull_requests": None}), *["octo/repo/branch/fix"] * 3),
        (on(branches=[{"name": "main"}]), *["octo/repo/branch/main"] * 3),
        (on(branches=[{"name": "main"}, {"name": "next"}]), *["octo/repo"] * 3),
        (on(action="starred"), *["octo/repo"] * 3),
        ({"organization": {"login": "octo"}, "sender": {"login": "mona"}}, *["@octo"] * 3),
        ({"sender": {"login": "bot[bot]"}}, *["@bot%5Bbot%5D"] * 3),
        ({"security_advisory": {"ghsa_id": "GHSA-1"}}, *["@advisories/GHSA-1"] * 3),
        ({}, None, None, None),
    ],
)
def test_the_first_entity_of_the_strategy_names_the_session(
    payload: dict[str, object], pull_request: str | None, issue: str | None, branch: str | None
) -> None:
    """Each strategy looks for its own entity first, then for wider ones, as its table says."""
    assert session(payload, "pull_request") == pull_request
    assert session(payload, "issue") == issue
    assert session(payload, "branch") == branch


def test_the_repository_strategy_orders_whole_repositories() -> None:
    """Whatever an event is about, its repository is its session."""
    assert session(on(pull_request=PULL), "repository") == "octo/repo"
    assert session({"organization": {"login": "octo"}}, "repository") == "@octo"


@given(
    payload=st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(
                st.sampled_from(
                    ["repository", "full_name", "pull_request", "number", "issue", "ref", "head", "branches"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_a_payload_of_any_shape_has_a_session_or_none(payload: object) -> None:
    """A field that is missing, null or of another type is passed over; nothing is raised."""
    for strategy in STRATEGIES:
        session(
            {"repository": payload, "pull_request": payload, "issue": payload, "branches": payload},
            cast("Any", strategy),
        )


@given(branches=st.sets(st.text(min_size=1), min_size=2, max_size=6))
def test_different_branches_have_different_valid_sessions(branches: set[str]) -> None:
    """Odd characters are encoded and long names digested, so no two branches of a repository share an order."""
    named = {name for name in branches if not name.startswith(("refs/heads/", "refs/tags/"))}
    sessions = {session(on(branch=name)) for name in named}

    assert len(sessions) == len(named)
    assert all(found is not None and SessionId(found) for found in sessions)


def test_a_long_branch_name_is_shortened_the_same_way_each_time() -> None:
    """Two names with 200 characters in common stay apart, and each keeps its session."""
    first, again, second = (session(on(branch="é" * 200 + end)) for end in ("a", "a", "b"))

    assert first is not None
    assert second is not None
    assert first == again != second
    assert len(first) == len(second) == 128
    assert first.startswith("octo/repo/branch/%C3%A9")


def test_a_function_can_be_the_strategy() -> None:
    """A bot may order webhooks in its own way, by the event's name and the payload."""
    message = github_message(
        "push", on(ref="refs/heads/main"), strategy=lambda event, payload: f"{event}/{len(payload)}"
    )

    assert message.session_id == "push/2"
    assert github_message("push", {}, strategy=lambda _event, _payload: None).session_id is None


def test_a_function_that_answers_no_session_id_is_told_so() -> None:
    """An invalid answer is an error: dropping it would lose the order in silence."""
    with pytest.raises(QueueError, match="session_id"):
        github_message("push", {}, strategy=lambda _event, _payload: "x" * 129)


def test_an_unknown_strategy_is_refused() -> None:
    """A misspelt strategy stops the bot at start-up."""
    with pytest.raises(PluginError, match="'pulls'; use one of pull_request, issue, branch, repository, or a function"):
        GitHub(cast("Any", "pulls"))
    with pytest.raises(PluginError, match="no session strategy"):
        github_message("push", {}, strategy=cast("Any", "pulls"))


@pytest.mark.parametrize(
    ("event", "payload", "name"),
    [
        ("pull_request", {"action": "opened"}, "pull_request.opened"),
        ("push", {}, "push"),
        ("push", {"action": None}, "push"),
        ("push", {"action": ""}, "push"),
        ("push", {"action": 1}, "push"),
    ],
)
def test_a_message_names_its_event_and_action(event: str, payload: dict[str, object], name: str) -> None:
    """The attribute `event` is what the router goes by."""
    assert github_message(event, payload).attributes == {"event": name}


def test_a_message_carries_the_webhook() -> None:
    """The body is the payload as compact JSON, the message id GitHub's delivery id."""
    message = github_message("push", {"b": "\ud800é", "a": [1, None]}, delivery_id="72d3162e")

    assert message.message_id == "72d3162e"
    assert message.content_type == "application/json"
    assert b" " not in message.body
    assert json.loads(message.body) == {"b": "\ud800é", "a": [1, None]}


def test_without_a_delivery_id_each_message_is_another() -> None:
    """Two equal payloads may be two events, and none is dropped on a guess."""
    assert github_message("push", {}).message_id != github_message("push", {}).message_id


def test_what_is_no_webhook_is_refused() -> None:
    """An event without a name has no handler, and JSON has no infinity."""
    with pytest.raises(PluginError, match="pass the header X-GitHub-Event"):
        github_message("", {})
    with pytest.raises(ValueError, match="JSON"):
        github_message("push", {"x": float("inf")})


def test_the_plugin_orders_a_webhook_that_came_without_a_session() -> None:
    """A sender that only names the event and sends the payload gets the same order."""
    body = json.dumps(on(pull_request=PULL)).encode()

    assert Plugins([GitHub()]).session_id(info_of("pull_request.opened", body)) == "octo/repo/pull/17"
    assert Plugins([GitHub("branch")]).session_id(info_of("pull_request", body)) == "octo/repo/branch/fix/it"


def test_the_plugin_gives_a_custom_strategy_the_name_of_the_event() -> None:
    """The strategy is called with the event as GitHub names it, without the action."""
    plugins = Plugins([GitHub(lambda event, _payload: event)])

    assert plugins.session_id(info_of("pull_request.opened")) == "pull_request"


@pytest.mark.parametrize(
    "info",
    [
        DeliveryInfo(delivery_of(github_message("pull_request", on(pull_request=PULL)))),
        DeliveryInfo(delivery_of(Message(b'{"repository": {"full_name": "a/b"}}'))),
        info_of("push", b"{"),
        info_of("push", b"\xff"),
        info_of("push", b"[1]"),
        info_of("push", b"[" * 100_000),
    ],
)
def test_the_plugin_leaves_alone_what_it_cannot_or_need_not_order(info: DeliveryInfo) -> None:
    """A session id that is there stands; a body that cannot be read is left to its handler to refuse."""
    assert Plugins([GitHub()]).session_id(info) is None


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_real_webhook_has_an_order(strategy: GitHubStrategy) -> None:
    """Whatever GitHub sends becomes a message with a session id that every broker takes."""
    plugins = Plugins([GitHub(strategy)])
    for webhook in real_webhooks():
        event, payload = webhook["event"], webhook["payload"]
        message = github_message(event, payload, strategy=strategy)

        assert message.session_id is not None, event
        assert json.loads(message.body) == payload
        assert plugins.session_id(info_of(message.attributes["event"], message.body)) == message.session_id


def test_real_events_of_one_pull_request_share_a_session() -> None:
    """Reviews, comments and the pull request itself are in one order."""
    numbers: defaultdict[str, set[str | None]] = defaultdict(set)
    for webhook in real_webhooks():
        payload = webhook["payload"]
        if "pull_request" in payload and "number" in payload["pull_request"]:
            name = f"{payload['repository']['full_name']}#{payload['pull_request']['number']}"
            numbers[name].add(github_message(webhook["event"], payload).session_id)

    assert numbers
    assert all(len(sessions) == 1 for sessions in numbers.values())
