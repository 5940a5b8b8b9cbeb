"""The typed facade through which an engine speaks to its plugins. The only file that touches pluggy's `hook`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from queue_runtime.plugins.calls import HookCalls
from queue_runtime.plugins.errors import ErrorVerdict, PluginError
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
from queue_runtime.plugins.registration import HOOKS, registered
from queue_runtime.providers.message import SessionId

__all__ = ["Observation", "Plugins"]

Observation: TypeAlias = Literal[
    "received",
    "attempt_started",
    "attempt_failed",
    "completed",
    "dead_lettered",
    "duplicate",
    "lock_lost",
    "engine_started",
    "engine_stopped",
]
"""What a plugin can observe."""


class Plugins:
    """The plugins of one engine, checked and in order: the last of `plugins` is asked and told first.

    Made once, before the engine starts. Every method is called on the engine's loop, and none of them waits. What each
    hook means, and what becomes of one that raises, is said in `hookspecs.py`.

    Args:
        plugins: modules or objects with functions marked `@hookimpl`. One with a text `name` is known by it, others by
            their module or class.

    Attributes:
        failures: how often each (plugin name, hook name) has raised and was passed over.

    Raises:
        PluginError: a plugin is a class or has no hooks, names a hook that does not exist, has an async or an unmarked
            one, or two plugins have one name.
    """

    def __init__(self, plugins: Sequence[object]) -> None:
        hook = registered(plugins).hook
        # pluggy keeps implementations with the first to be called at the end.
        self._calls = HookCalls({name: reversed(getattr(hook, name).get_hookimpls()) for name in HOOKS})
        self.failures: Mapping[tuple[str, str], int] = self._calls.failures

    def handler(self, info: DeliveryInfo) -> Handler | None:
        """Who handles this message, by `queue_runtime_handler`; None if nobody does.

        Raises:
            PluginError: a plugin answered something else than a `Handler`.
            Exception: whatever a plugin raised.
        """
        return self._calls.first("queue_runtime_handler", info, Handler)

    def session_id(self, info: DeliveryInfo) -> str | None:
        """The ordered group of this message, by `queue_runtime_session_id`; None to leave what the message carries.

        Raises:
            PluginError: a plugin answered something else than a text.
            Exception: whatever a plugin raised, or `SessionId` for a text that is no session id.
        """
        answer = self._calls.first("queue_runtime_session_id", info, str)
        return None if answer is None else SessionId(answer)

    def idempotency_key(self, info: DeliveryInfo) -> str | None:
        """The key under which the message is completed once, by `queue_runtime_idempotency_key`; None for its id.

        Raises:
            PluginError: a plugin answered something else than a text, or an empty one.
            Exception: whatever a plugin raised.
        """
        answer = self._calls.first("queue_runtime_idempotency_key", info, str)
        if answer == "":
            msg = "queue_runtime_idempotency_key answered an empty text; answer None for the sender's message id"
            raise PluginError(msg)
        return answer

    def classify(self, info: ErrorInfo) -> ErrorVerdict | None:
        """The verdict on an error, by `queue_runtime_classify_error`; None if no plugin knows it.

        Raises nothing: a plugin that does is counted and passed over, or the handler's own error would be lost behind
        it. Use `default_verdict` for None.
        """
        return self._calls.first_sound("queue_runtime_classify_error", info, ErrorVerdict)

    def observes(self, what: Observation) -> bool:
        """True if some plugin observes `what`; if not, there is no need to build its info."""
        return self._calls.is_implemented(f"queue_runtime_{what}")

    def notify_received(self, info: ReceivedInfo) -> None:
        """Tell that a message was handed over for the first time."""
        self._calls.tell("queue_runtime_received", info)

    def notify_attempt_started(self, info: AttemptStartedInfo) -> None:
        """Tell that a handler is about to run."""
        self._calls.tell("queue_runtime_attempt_started", info)

    def notify_attempt_failed(self, info: AttemptFailedInfo) -> None:
        """Tell that a handler raised or ran out of time."""
        self._calls.tell("queue_runtime_attempt_failed", info)

    def notify_completed(self, info: CompletedInfo) -> None:
        """Tell that a handler returned."""
        self._calls.tell("queue_runtime_completed", info)

    def notify_dead_lettered(self, info: DeadLetteredInfo) -> None:
        """Tell that no further attempt is made."""
        self._calls.tell("queue_runtime_dead_lettered", info)

    def notify_duplicate(self, info: DuplicateInfo) -> None:
        """Tell that another broker message came under a known key."""
        self._calls.tell("queue_runtime_duplicate", info)

    def notify_lock_lost(self, info: LockLostInfo) -> None:
        """Tell that the broker's lock on a message is gone."""
        self._calls.tell("queue_runtime_lock_lost", info)

    def notify_engine_started(self, info: EngineStartedInfo) -> None:
        """Tell that the engine is about to receive."""
        self._calls.tell("queue_runtime_engine_started", info)

    def notify_engine_stopped(self, info: EngineStoppedInfo) -> None:
        """Tell that the engine has stopped."""
        self._calls.tell("queue_runtime_engine_stopped", info)
