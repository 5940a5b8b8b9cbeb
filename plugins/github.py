"""GitHub webhooks as messages: what a webhook receiver sends, and the order in which a bot handles it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import cast

from queue_runtime.plugins.errors import PluginError
from queue_runtime.plugins.github_sessions import STRATEGIES, GitHubStrategy, session_id_of
from queue_runtime.plugins.hookspecs import hookimpl
from queue_runtime.plugins.infos import DeliveryInfo
from queue_runtime.plugins.router import EVENT_ATTRIBUTE
from queue_runtime.providers.message import Message

__all__ = ["GitHub", "github_message"]


def github_message(
    event: str,
    payload: Mapping[str, object],
    *,
    delivery_id: str | None = None,
    strategy: GitHubStrategy = "pull_request",
) -> Message:
    """Make the message that carries one webhook.

    The attribute `event` names it as the router does: `pull_request.opened`, or `push` for one without an action. The
    session id comes from the payload by `strategy`. Check the webhook's signature before calling this.

    Args:
        event: the header `X-GitHub-Event`.
        payload: the decoded body; sent as compact JSON.
        delivery_id: the header `X-GitHub-Delivery`. It becomes the message id, so a webhook that GitHub, or the
            receiver, sends again is run once. Without it the id is random, and each call makes another message.
        strategy: what must stay in order; see `GitHub`.

    Raises:
        PluginError: `event` is empty, or there is no such strategy.
        ValidationError: a custom strategy answered what is no session id, or `delivery_id` is empty.
        ValueError: `payload` holds what JSON cannot carry.
    """
    if not event:
        msg = "a webhook without an event's name; pass the header X-GitHub-Event"
        raise PluginError(msg)
    _check(strategy)
    action = payload.get("action")
    name = f"{event}.{action}" if isinstance(action, str) and action else event
    return Message(
        # Escaped to ASCII: half a surrogate pair, which JSON may hold, is no UTF-8.
        json.dumps(payload, separators=(",", ":"), allow_nan=False).encode(),
        message_id=delivery_id,
        session_id=session_id_of(strategy, event, payload),
        content_type="application/json",
        attributes={EVENT_ATTRIBUTE: name},
    )


class GitHub:
    """A plugin that gives webhooks their order: a session id for those that came without one.

    A message of `github_message` carries its session id, and is left alone. For one that does not, but names its event
    and holds a JSON object, the body is read once. A body that cannot be read has no order; its handler refuses it.

    Args:
        strategy: what must stay in order. `pull_request` (default), `issue`, `branch` and `repository` look for that
            entity first, then for wider ones (`github_sessions.py` has the table). Or a function of the event's name
            and the payload; it answers 1 to 128 printable ASCII characters, or None for no order.

    Raises:
        PluginError: there is no such strategy.
    """

    def __init__(self, strategy: GitHubStrategy = "pull_request") -> None:
        _check(strategy)
        self._strategy: GitHubStrategy = strategy

    @hookimpl
    def queue_runtime_session_id(self, info: DeliveryInfo) -> str | None:
        """Derive the session id of a webhook that carries none."""
        message = info.delivery.message
        name = message.attributes.get(EVENT_ATTRIBUTE)
        if message.session_id is not None or not name:
            return None
        try:
            payload: object = json.loads(message.body)
        except (ValueError, RecursionError):
            return None
        if not isinstance(payload, dict):
            return None
        return session_id_of(self._strategy, name.partition(".")[0], cast("dict[str, object]", payload))


def _check(strategy: GitHubStrategy) -> None:
    if not callable(strategy) and strategy not in STRATEGIES:
        msg = f"there is no session strategy {strategy!r}; use one of {', '.join(STRATEGIES)}, or a function"
        raise PluginError(msg)
