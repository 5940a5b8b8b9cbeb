"""Tests of the first bot."""

import json

import first_bot

from queue_runtime.engine.testing import capture
from queue_runtime.plugins import github_message

OPENED = {"action": "opened", "pull_request": {"number": 3, "title": "Docs for a feature"}}


async def test_a_pull_request_is_labelled_by_its_title() -> None:
    message = github_message("pull_request", OPENED, delivery_id="a-webhook")

    happened = await capture(first_bot.plugins, [message])

    assert happened.completed == ("a-webhook",)
    assert happened.steps["a-webhook"] == {"classify": ["docs", "feature"]}
    (labels,) = happened.sent
    assert labels.queue == "labels"
    assert json.loads(labels.message.body) == {"number": 3, "labels": ["docs", "feature"]}


async def test_a_payload_without_a_pull_request_is_given_up_at_once() -> None:
    broken = github_message("pull_request", {"action": "opened"}, delivery_id="broken")

    happened = await capture(first_bot.plugins, [broken], max_attempts=5)

    (dead_letter,) = happened.dead_letters
    assert dead_letter.reason == "PermanentError"
    assert happened.sent == ()
