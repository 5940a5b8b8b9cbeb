"""Every hook that a plugin may implement.

A plugin subclasses nothing: it is a module, or an object, with plain functions of these names marked `@hookimpl`. All
hooks are called on the engine's event loop, so they must return at once: slow work belongs in a handler. `async def` is
refused at registration.

The first four *answer*. Plugins are asked in turn, the one registered last first (`@hookimpl(tryfirst=True)` and
`trylast=True` move one), and the first answer that is not None ends it. An exception fails closed: it reaches the
engine, which treats it as an error of the attempt; no message is lost by it, and none is run on a guess.

The others *observe*. Every plugin is told, in the same order, after the fact is in the journal; what a hook returns is
ignored, and an exception is counted in `Plugins.failures`, logged once for each kind, and stops nobody. Observers are
told what happened in this run: what was journaled before a crash is not told again after the restart.
"""

from __future__ import annotations

import pluggy

from queue_runtime.plugins.errors import ErrorVerdict
from queue_runtime.plugins.handlers import Handler
from queue_runtime.plugins.infos import (
    AttemptFailedInfo,
    AttemptStartedInfo,
    CompletedInfo,
    DeadLetteredInfo,
    DeliveryInfo,
    DuplicateInfo,
    EngineStartedInfo,
    EngineStoppedInfo,
    ErrorInfo,
    LockLostInfo,
    ReceivedInfo,
)

__all__ = ["PROJECT", "hookimpl"]

PROJECT = "queue_runtime"
"""What every hook's name begins with, and the name under which pluggy keeps its marks."""

hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a function as the hook that it is named after."""

hookspec = pluggy.HookspecMarker(PROJECT)


# --- answering ---------------------------------------------------------------------------------------------------


@hookspec(firstresult=True)
def queue_runtime_handler(info: DeliveryInfo) -> Handler | None:
    """Say who handles this message.

    Called before every attempt, so that a new version of a bot may route an old message elsewhere. Must not decode the
    body: that belongs to the attempt, where a body that does not decode is dead-lettered with the reason. If it raises,
    the attempt fails with that error.

    Returns:
        The handler, or None to leave the message to the next plugin. What becomes of a message that nobody handles is
        the engine's setting.
    """


@hookspec(firstresult=True)
def queue_runtime_session_id(info: DeliveryInfo) -> str | None:
    """Name the ordered group that this message belongs to.

    Called for every hand-over; the answer must depend on the message alone. It replaces the session id that the message
    carries, on brokers without sessions of their own; where the broker holds the order, its session id stands. If it
    raises, the attempt fails with that error.

    Returns:
        1 to 128 printable ASCII characters; or None to leave the session id as it came. Without one the message runs
        beside all others.
    """


@hookspec(firstresult=True)
def queue_runtime_idempotency_key(info: DeliveryInfo) -> str | None:
    """Name the work that this message asks for: of two messages with one key and one body, one is run.

    Called for every hand-over; the answer must depend on the message alone. The engine puts the queue's name in
    front of it. If it raises, the attempt fails with that error.

    Returns:
        A text that is not empty; or None for the sender's message id.
    """


@hookspec(firstresult=True)
def queue_runtime_classify_error(info: ErrorInfo) -> ErrorVerdict | None:
    """Judge an error that ended an attempt.

    Called once for every failed attempt, before it is journaled. If it raises, the handler's error is judged as if
    nobody had answered (`default_verdict`), and the failure is counted and logged.

    Returns:
        The verdict, or None to leave it to the next plugin, and at last to `default_verdict`.
    """


# --- observing ---------------------------------------------------------------------------------------------------


@hookspec
def queue_runtime_received(info: ReceivedInfo) -> None:
    """A message was handed over for the first time, and is in the journal."""


@hookspec
def queue_runtime_attempt_started(info: AttemptStartedInfo) -> None:
    """A handler is about to run; the journal already says so."""


@hookspec
def queue_runtime_attempt_failed(info: AttemptFailedInfo) -> None:
    """A handler raised or ran out of time. An attempt that a drain or a lost lock ended is not told."""


@hookspec
def queue_runtime_completed(info: CompletedInfo) -> None:
    """A handler returned, and the journal holds it; the broker has not confirmed yet."""


@hookspec
def queue_runtime_dead_lettered(info: DeadLetteredInfo) -> None:
    """No further attempt is made; the broker has not confirmed yet."""


@hookspec
def queue_runtime_duplicate(info: DuplicateInfo) -> None:
    """Another broker message came under a key that is known, and is settled without being run."""


@hookspec
def queue_runtime_lock_lost(info: LockLostInfo) -> None:
    """The broker's lock on a message is gone: another consumer may be handed it."""


@hookspec
def queue_runtime_engine_started(info: EngineStartedInfo) -> None:
    """The journal is recovered, and the engine is about to receive."""


@hookspec
def queue_runtime_engine_stopped(info: EngineStoppedInfo) -> None:
    """The engine has stopped in good order. Not told after a crash."""
