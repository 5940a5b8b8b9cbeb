"""Routes messages to handlers by the name of their event."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from queue_runtime.plugins.errors import PluginError
from queue_runtime.plugins.handlers import Handler, RouteOptions, SessionFailure
from queue_runtime.plugins.hookspecs import hookimpl
from queue_runtime.plugins.infos import DeliveryInfo
from queue_runtime.plugins.signatures import handler_of

__all__ = ["EVENT_ATTRIBUTE", "Router", "event_attribute"]

EVENT_ATTRIBUTE = "event"
"""The message attribute in which senders name the event: `pull_request.opened`."""

MAX_EVENT_NAME = 256  # a sender's text: a longer one is no name, and would only cost look-ups

_F = TypeVar("_F", bound=Callable[..., object])


def event_attribute(info: DeliveryInfo) -> str | None:
    """Read the event's name from the message attribute `event`."""
    return info.delivery.message.attributes.get(EVENT_ATTRIBUTE)


class Router:
    """A plugin that hands each message to the function registered for its event.

    An event's name is words joined by dots, the general one first. Patterns, the most specific first, as they win:

    - `pull_request.opened`: this event;
    - `pull_request.*`: every event below `pull_request`;
    - `pull_request`: the event itself, and every event below it;
    - `*`: every message, also one without an event's name.

    Args:
        event_name: names the event of a delivery, or None; must not read the body. By default the attribute `event`.
    """

    def __init__(self, *, event_name: Callable[[DeliveryInfo], str | None] = event_attribute) -> None:
        self._event_name = event_name
        self._handlers: dict[str, Handler] = {}

    def on(
        self,
        *patterns: str,
        timeout_s: float | None = None,
        max_attempts: int | None = None,
        session_failure: SessionFailure | None = None,
    ) -> Callable[[_F], _F]:
        """Register the decorated function for events that match one of `patterns`, and return it unchanged.

        It may be `def`, which runs in a thread, or `async def`, which runs on the engine's loop. It takes
        `(event: T, ctx: Context)`, `(event: T)` or `(ctx: Context)`; `T` decides how the body is decoded: `bytes`,
        `str`, `dict`, or a dataclass, `msgspec.Struct` or pydantic model from JSON. A body that does not fit
        dead-letters the message at once, with the reason. For the options see `RouteOptions`.

        Raises:
            PluginError: no pattern, a malformed one, one that has a handler already, an option out of its range, or a
                signature that cannot be served.
        """
        options = RouteOptions(timeout_s, max_attempts, session_failure)
        if not patterns:
            msg = 'on() needs at least one event: @router.on("pull_request.opened"), or "*" for every message'
            raise PluginError(msg)

        def register(function: _F) -> _F:
            handler = handler_of(function, options)
            for pattern in patterns:
                self._check(pattern, handler)
            self._handlers.update(dict.fromkeys(patterns, handler))
            return function

        return register

    @hookimpl
    def queue_runtime_handler(self, info: DeliveryInfo) -> Handler | None:
        """Find the handler of the most specific pattern that matches; None if there is none."""
        name = self._event_name(info)
        if name is None or len(name) > MAX_EVENT_NAME:
            return self._handlers.get("*")
        for pattern in _patterns_of(name):
            handler = self._handlers.get(pattern)
            if handler is not None:
                return handler
        return None

    def _check(self, pattern: str, handler: Handler) -> None:
        words = pattern.split(".")
        if not all(words) or any("*" in word for word in words[:-1]) or ("*" in words[-1] and words[-1] != "*"):
            msg = f"{pattern!r} is no pattern: write words joined by dots, with * alone or as the last word"
            raise PluginError(msg)
        taken = self._handlers.get(pattern)
        if taken is not None:
            msg = f"{pattern!r} is handled by {taken.route} already; {handler.route} needs another pattern"
            raise PluginError(msg)


def _patterns_of(name: str) -> Iterator[str]:
    """Every pattern that matches `name`, the most specific first."""
    yield name
    while "." in name:
        name = name.rpartition(".")[0]
        yield f"{name}.*"
        yield name
    yield "*"
