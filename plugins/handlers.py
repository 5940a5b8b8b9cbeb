"""What a handler hook answers: the callable that the engine runs, and how its attempts are to be treated."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

from queue_runtime.plugins.context import Context
from queue_runtime.plugins.errors import PluginError

__all__ = ["Handler", "RouteOptions", "SessionFailure"]

SessionFailure: TypeAlias = Literal["skip", "block", "park"]
"""What becomes of a session whose head fails for good: go on, retry without end, or hold the session."""


@dataclass(frozen=True, slots=True)
class RouteOptions:
    """How the attempts of one route are run. None means the engine's own setting.

    Args:
        timeout_s: seconds that one attempt may take, above 0.
        max_attempts: charged attempts before the message is dead-lettered, 1 or more.
        session_failure: `skip` dead-letters the message and goes on with its session, `block` retries it in place
            without end while later ones wait, `park` holds the session until somebody acts.

    Raises:
        PluginError: a value is out of its range.
    """

    timeout_s: float | None = None
    max_attempts: int | None = None
    session_failure: SessionFailure | None = None

    def __post_init__(self) -> None:
        if self.timeout_s is not None and not (math.isfinite(self.timeout_s) and self.timeout_s > 0):
            msg = f"timeout_s is {self.timeout_s!r}; it must be a finite number of seconds above 0, or None"
            raise PluginError(msg)
        if self.max_attempts is not None and self.max_attempts < 1:
            msg = f"max_attempts is {self.max_attempts!r}; it must be 1 or more, or None"
            raise PluginError(msg)
        if self.session_failure is not None and self.session_failure not in get_args(SessionFailure):
            msg = f"session_failure is {self.session_failure!r}; it must be 'skip', 'block' or 'park'"
            raise PluginError(msg)


@dataclass(frozen=True, slots=True)
class Handler:
    """Who handles a message.

    Args:
        route: a name that stays the same from start to start; the journal, breakers and metrics know the handler by it.
        call: runs one attempt. If `is_async` it returns an awaitable and is called on the engine's loop, else it
            returns the result and is called in a thread. Called once an attempt, by many attempts at the same time.
        is_async: how to call it.
        options: how its attempts are treated.
    """

    route: str
    call: Callable[[Context], object]
    is_async: bool
    options: RouteOptions = field(default_factory=RouteOptions)
