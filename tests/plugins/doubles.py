"""What the tests of plugins and of the example bots hand to them: deliveries, and a context that remembers."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar, cast

from queue_runtime.plugins import Context, DeliveryInfo
from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.message import Delivery, Message, QueueName, Receipt

T = TypeVar("T")

AT = Timestamp(1_700_000_000_000_000)


def delivery_of(message: Message) -> Delivery:
    """Hand over `message` for the first time."""
    return Delivery(
        queue=QueueName("pulls"),
        message=message,
        receipt=Receipt("planted-receipt", "broker-1", Timestamp(AT + 30_000_000), "memory"),
        delivery_count=1,
        sequence=None,
        enqueued_at=AT,
        expires_at=None,
        first_delivered_at=AT,
        delivered_at=AT,
    )


def info_of(event: str | None = None, body: bytes = b"{}", session_id: str | None = None) -> DeliveryInfo:
    """Describe the delivery of a message whose attribute `event` is `event`."""
    attributes = {} if event is None else {"event": event}
    return DeliveryInfo(delivery_of(Message(body, session_id=session_id, attributes=attributes)))


@dataclass
class RecordingContext:
    """A context without an engine: it remembers what was sent, and which steps ran."""

    delivery: Delivery
    attempt: int = 1
    is_last_attempt: bool = False
    idempotency_key: str = "pulls/m-1"
    may_have_run: bool = False
    locked_until: datetime = field(default_factory=lambda: datetime(2030, 1, 1, tzinfo=UTC))
    lock_lost: bool = False
    session_state: bytes | None = None
    sent: list[tuple[str, object, str | None]] = field(default_factory=list[tuple[str, object, str | None]])
    steps: dict[str, object] = field(default_factory=dict[str, object])

    @property
    def body(self) -> bytes:
        return self.delivery.message.body

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        return logging.LoggerAdapter(logging.getLogger("tests.handler"), {})

    async def set_session_state(self, state: bytes | None) -> None:
        self.session_state = state

    async def step(self, name: str, fn: Callable[[], Awaitable[T] | T]) -> T:
        if name not in self.steps:
            result = fn()
            self.steps[name] = await result if inspect.isawaitable(result) else result
        return cast("T", self.steps[name])

    async def send(
        self,
        queue: str,
        message: Message | Mapping[str, object] | bytes,
        *,
        session_id: str | None = None,
        after: timedelta | None = None,
    ) -> str:
        assert after is None, "no example sends later"
        self.sent.append((queue, message, session_id))
        return f"{self.idempotency_key}/{len(self.sent)}"

    def run(self, coroutine: Coroutine[object, object, T]) -> T:
        return asyncio.run(coroutine)


def context_of(body: object) -> Context:
    """Give a handler `body`, as JSON unless it is bytes."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return RecordingContext(delivery_of(Message(raw)))
