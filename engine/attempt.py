"""One run of a handler: the context that it is given, and what became of it."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import json
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import datetime, timedelta
from typing import TypeVar, cast

from queue_runtime.engine.core import Core
from queue_runtime.engine.inputs import StateSet, StepReturned
from queue_runtime.engine.packing import pack, unpack
from queue_runtime.engine.recording import record, record_session
from queue_runtime.journal.events import Outgoing
from queue_runtime.journal.state import MessageState
from queue_runtime.plugins import PermanentError, StepError
from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.message import Delivery, Message, QueueName, SessionId

__all__ = ["MAX_OUTGOING", "MAX_STATE_BYTES", "AttemptContext"]

T = TypeVar("T")

MAX_STATE_BYTES = 64 * 1024
MAX_OUTGOING = 1_000
"""What one attempt may send: it is held in memory and journaled in one event."""

_logger = logging.getLogger("queue_runtime.handler")


class AttemptContext:
    """What a handler is given (see `plugins.Context` for what each part promises).

    Attributes:
        delivery: the hand-over that this attempt works on; with its body opened before the handler sees it.
        outgoing: what the handler has sent so far.
    """

    def __init__(self, core: Core, message: MessageState, delivery: Delivery, *, is_last: bool) -> None:
        self.outgoing: list[Outgoing] = []
        self._core = core
        self._message = message
        self.delivery = delivery
        self._is_last = is_last
        self._lock_lost = False
        self._names: set[str] = set()
        self._loop = asyncio.get_running_loop()

    @property
    def body(self) -> bytes:
        """The body of the message, as its sender wrote it."""
        return self.delivery.message.body

    @property
    def attempt(self) -> int:
        """Which run of the handler this is, from 1."""
        return self._message.attempt

    @property
    def is_last_attempt(self) -> bool:
        """True if a failure of this attempt is final."""
        return self._is_last

    @property
    def idempotency_key(self) -> str:
        """The key under which this message is completed once."""
        return self._message.key

    @property
    def may_have_run(self) -> bool:
        """True if an earlier attempt may have got to its end unseen."""
        return self._message.may_have_run

    @property
    def locked_until(self) -> datetime:
        """When the broker takes the message back unless the lock is renewed."""
        message = self._core.state.messages.get(self._message.key, self._message)
        return Timestamp(max(copy.locked_until for copy in message.copies)).to_datetime()

    @property
    def lock_lost(self) -> bool:
        """True once the lock is gone; stays true."""
        message = self._core.state.messages.get(self._message.key)
        self._lock_lost = self._lock_lost or message is None or not message.is_held
        return self._lock_lost

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger whose records carry queue, message, session and attempt."""
        origin = self._message.origin
        ids = {
            "queue_name": origin.queue,
            "message_id": origin.message_id,
            "session_id": origin.session_id,
            "attempt": self._message.attempt,
        }
        return logging.LoggerAdapter(_logger, ids)

    @property
    def session_state(self) -> bytes | None:
        """What was last stored for the session."""
        session = self._core.state.sessions.get(self._message.lane) if self._message.lane else None
        return None if session is None else session.state

    async def set_session_state(self, state: bytes | None) -> None:
        """Store up to 64 KB for the session; durable when this returns."""
        lane = self._message.lane
        if lane is None:
            msg = f"message {self._message.key} has no session, so no session state; send it with a session_id"
            raise PermanentError(msg)
        if state is not None and len(state) > MAX_STATE_BYTES:
            msg = (
                f"session state of {len(state)} bytes is over the limit of {MAX_STATE_BYTES}; store a reference instead"
            )
            raise PermanentError(msg)
        await record_session(self._core, lane, StateSet(self._core.now(), *lane, state or b""))

    async def step(self, name: str, fn: Callable[[], Awaitable[T] | T]) -> T:
        """Run `fn` and journal its result, or hand out the result that an earlier attempt journaled."""
        if name in self._names:
            msg = f"step {name!r} ran already in this attempt of {self._message.key}; give each step a name of its own"
            raise StepError(msg)
        self._names.add(name)
        recorded = self._message.steps.get(name)
        if recorded is not None:
            return cast("T", unpack(recorded))
        value = fn()
        result = await value if inspect.isawaitable(value) else value
        packed = _packed_step(name, result)
        await record(self._core, self._message.key, StepReturned(self._core.now(), self._message.attempt, name, packed))
        return cast("T", result)

    async def send(
        self,
        queue: str,
        message: Message | Mapping[str, object] | bytes,
        *,
        session_id: str | None = None,
        after: timedelta | None = None,
    ) -> str:
        """Have a message sent if, and only if, this attempt completes; returns its id."""
        if len(self.outgoing) >= MAX_OUTGOING:
            msg = f"an attempt of {self._message.key} sent {MAX_OUTGOING} messages already; split the work"
            raise PermanentError(msg)
        message_id = _outgoing_id(self._message.key, len(self.outgoing))
        checked = _as_message(message, message_id, session_id)
        if self._core.traces is not None:
            checked = self._core.traces.outgoing(queue, checked)
        due_at = None if after is None else self._core.now() + after // timedelta(microseconds=1)
        ttl = checked.time_to_live
        self.outgoing.append(
            Outgoing(
                message_id=message_id,
                queue=QueueName(queue),
                session_id=SessionId(session_id) if session_id is not None else checked.session_id,
                correlation_id=checked.correlation_id,
                content_type=checked.content_type,
                attributes=checked.attributes,
                time_to_live_us=None if ttl is None else ttl // timedelta(microseconds=1),
                due_at=due_at,
                body=checked.body,
            )
        )
        return message_id

    def run(self, coroutine: Coroutine[object, object, T]) -> T:
        """Await `coroutine` on the engine's loop, from the thread of a handler that is a plain function."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()


def _packed_step(name: str, result: object) -> bytes:
    try:
        packed = pack(result)
    except (TypeError, ValueError, OverflowError) as error:
        msg = f"step {name!r} returned a {type(result).__name__} that cannot be journaled; return what msgpack carries"
        raise StepError(msg) from error
    if len(packed) > MAX_STATE_BYTES:
        msg = f"step {name!r} returned {len(packed)} bytes, over the limit of {MAX_STATE_BYTES}; return a reference"
        raise StepError(msg)
    return packed


def _as_message(message: Message | Mapping[str, object] | bytes, message_id: str, session_id: str | None) -> Message:
    match message:
        case Message():
            return message
        case bytes():
            return Message(message, message_id=message_id, session_id=session_id)
        case _:
            body = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
            return Message(body, message_id=message_id, session_id=session_id, content_type="application/json")


def _outgoing_id(key: str, index: int) -> str:
    """The same attempt sends under the same ids again, so that a broker or a receiver can drop a repeated send."""
    return hashlib.sha256(f"{key}\0{index}".encode()).hexdigest()[:32]
