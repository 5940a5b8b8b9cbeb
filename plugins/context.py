"""What a handler is given."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from queue_runtime.providers.message import Delivery, Message

__all__ = ["Context"]

T = TypeVar("T")


class Context(Protocol):
    """One attempt, as its handler sees it. Valid until the handler returns; not to be shared with other attempts."""

    @property
    def delivery(self) -> Delivery:
        """The newest hand-over of the message."""
        ...

    @property
    def body(self) -> bytes:
        """The body of the message, as its sender wrote it."""
        ...

    @property
    def attempt(self) -> int:
        """Which run of the handler this is, from 1.

        Runs that a drain or a lost lock ended count here, but are not charged.
        """
        ...

    @property
    def is_last_attempt(self) -> bool:
        """True if a failure of this attempt is final: no further one follows by itself."""
        ...

    @property
    def idempotency_key(self) -> str:
        """The key under which this message is completed once; hand it to services that can deduplicate."""
        ...

    @property
    def may_have_run(self) -> bool:
        """True if an earlier attempt may have got to its end unknown to the journal: it crashed, or lost its lock."""
        ...

    @property
    def locked_until(self) -> datetime:
        """When the broker takes the message back unless the lock is renewed, which the engine does by itself."""
        ...

    @property
    def lock_lost(self) -> bool:
        """True once the lock is gone: another consumer may be handed the message.

        What is done from now on may be done twice. Never goes back to False.
        """
        ...

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger whose records carry queue, message, session and attempt."""
        ...

    @property
    def session_state(self) -> bytes | None:
        """What the last `set_session_state` of this session stored; None without a session."""
        ...

    async def set_session_state(self, state: bytes | None) -> None:
        """Store up to 64 KB for the session. Durable when this returns."""
        ...

    async def step(self, name: str, fn: Callable[[], Awaitable[T] | T]) -> T:
        """Run `fn` and journal its result; a later attempt gets the recorded result instead of a second run.

        The result must be what msgpack carries (None, bool, int, float, str, bytes, lists and dicts of them), up to
        64 KB. Names are unique within a handler. A step runs at least once: a crash between its end and the journal
        repeats it.

        Raises:
            StepError: the name was used already in this attempt, or the result is too large or of another type.
        """
        ...

    async def send(
        self,
        queue: str,
        message: Message | Mapping[str, object] | bytes,
        *,
        session_id: str | None = None,
        after: timedelta | None = None,
    ) -> str:
        """Have a message sent if, and only if, this attempt completes; returns its id.

        It is journaled with the completion and sent before the incoming message is settled. A mapping is sent as JSON.
        """
        ...

    def run(self, coroutine: Coroutine[object, object, T]) -> T:
        """Await `coroutine` on the engine's loop and return its result: how a plain function uses `step` and `send`.

        Only from the thread of a handler that is a plain function; on the loop itself it would wait for itself. What
        the coroutine raises comes out here.
        """
        ...
