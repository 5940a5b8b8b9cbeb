"""Tells the spans of attempts what the engine knows of them, if there are any."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from queue_runtime.engine.inputs import HandlerRaised, HandlerReleased, HandlerTimedOut, Input
from queue_runtime.engine.routing import Routing
from queue_runtime.journal.state import MessageState
from queue_runtime.providers.message import Message

if TYPE_CHECKING:  # the extra may not be there
    from queue_runtime.plugins.telemetry.attempts import Attempts, Scope

__all__ = ["AttemptTraces", "TracedRun"]


class AttemptTraces:
    """Tells the spans of attempts what the core and the dispatcher know of them. On the engine's loop."""

    def __init__(self, attempts: Attempts, routing: Routing) -> None:
        self._attempts = attempts
        self._routing = routing

    def begin(self, message: MessageState, route: str) -> str | None:
        """An attempt is about to be decided; returns its span, as W3C's `traceparent` writes it."""
        return self._attempts.begin(message, self._routing.delivery(message), route)

    def started(self, key: str, position: int | None) -> None:
        """The journal took it in at `position`; None if there is no attempt."""
        self._attempts.started(key, position)

    @contextmanager
    def running(self, message: MessageState) -> Generator[TracedRun]:
        """The handler runs: what it records belongs to the attempt. In the worker's own task."""
        scope = self._attempts.enter(message, self._routing.delivery(message))
        try:
            yield TracedRun(self._attempts, scope)
        finally:
            self._attempts.leave(scope)

    def never_ran(self, key: str) -> None:
        """The attempt was released before its handler's first line."""
        self._attempts.ended(key, "released", None, None)

    def outgoing(self, queue: str, message: Message) -> Message:
        """Give what a handler sends the context that it is made in."""
        return self._attempts.outgoing(queue, message)


class TracedRun:
    """One run of a handler, until its outcome is known."""

    def __init__(self, attempts: Attempts, scope: Scope) -> None:
        self._attempts = attempts
        self._scope = scope

    def ended(self, given: Input) -> None:
        """Record the outcome; of an error its kind alone."""
        outcome, error = "completed", None
        match given:
            case HandlerRaised():
                outcome, error = "failed", given.error_kind
            case HandlerTimedOut():
                outcome, error = "failed", "timeout"
            case HandlerReleased():
                outcome = "released"
            case _:
                pass
        self._attempts.ended(self._scope.key, outcome, error, self._scope)
