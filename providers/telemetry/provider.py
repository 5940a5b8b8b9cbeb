"""A provider with telemetry around its calls: what it does and answers is the inner one's."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from opentelemetry.trace import SpanContext, SpanKind
from opentelemetry.util.types import AttributeValue

from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.errors import QueueError
from queue_runtime.providers.inspection import Inspects
from queue_runtime.providers.message import Delivery, Message, QueueName, Receipt, SessionId
from queue_runtime.providers.port import (
    Address,
    Capabilities,
    CountsMessages,
    HeldSession,
    Provider,
    QueueCounts,
    Sent,
    Settlement,
)
from queue_runtime.providers.telemetry import names
from queue_runtime.providers.telemetry.operations import Call, Calls, error_type
from queue_runtime.providers.telemetry.transfers import received, sent

__all__ = ["InstrumentedProvider", "instrument"]

_MAX_REMEMBERED = 4_096


class InstrumentedProvider:
    """Send, receive, settle and renew of a provider, with spans and metrics; the rest passes through.

    A send is a span of kind producer, and its messages carry its context, or for a batch that of a create span each. A
    receive and a settlement are spans that link to what they are about. Empty receives leave no span.
    """

    def __init__(self, inner: Provider) -> None:
        self._inner = inner
        self._calls = Calls(inner.name)
        self._spans: OrderedDict[str, SpanContext] = OrderedDict()

    @property
    def name(self) -> str:
        """The name it is registered under."""
        return self._inner.name

    async def open(self) -> None:
        """Connect."""
        self._calls = Calls(self._inner.name)  # what the process records is known by now
        await self._inner.open()

    async def close(self) -> None:
        """Free everything."""
        await self._inner.close()

    def sibling(self) -> Provider:
        """Make a second, unopened provider to the same broker."""
        return InstrumentedProvider(self._inner.sibling())

    async def capabilities(self, queue: QueueName) -> Capabilities:
        """Say what this broker can do for `queue`."""
        return await self._inner.capabilities(queue)

    def concerns(self, provider_id: str, span: SpanContext) -> None:
        """Have the settlement of a delivery link to `span`: the attempt that it ends."""
        spans = self._spans
        spans[provider_id] = span
        if len(spans) > _MAX_REMEMBERED:
            spans.popitem(last=False)

    # --- sending ---

    async def send(
        self, queue: QueueName, messages: Sequence[Message], *, at: Timestamp | None = None
    ) -> list[Sent | QueueError]:
        """Hand messages to the broker, each with the context that it was made in."""
        return await sent(self._calls, self._inner, queue, messages, at)

    async def cancel_scheduled(self, queue: QueueName, provider_ids: Sequence[str]) -> list[QueueError | None]:
        """Call off scheduled messages that are not due yet."""
        return await self._inner.cancel_scheduled(queue, provider_ids)

    # --- receiving ---

    async def receive(self, source: Address, max_messages: int, wait_s: float) -> list[Delivery]:
        """Wait for messages and take them."""
        return await received(self._calls, source.queue, self._inner.receive(source, max_messages, wait_s))

    async def peek(self, source: Address, max_messages: int, after_sequence: int = 0) -> list[Delivery]:
        """Look without taking."""
        return await self._inner.peek(source, max_messages, after_sequence)

    # --- what was received ---

    async def settle(self, source: Address, settlements: Sequence[Settlement]) -> list[QueueError | None]:
        """Settle deliveries."""
        if not self._calls.are_recorded or not settlements:
            return await self._inner.settle(source, settlements)
        call = Call("settle", "settle", source.queue)
        ended = [self._spans.pop(one.receipt.provider_id, None) for one in settlements]
        more: dict[str, AttributeValue] = {
            names.BATCH_COUNT: len(settlements),
            names.DISPOSITIONS: sorted({one.kind.value for one in settlements}),
        }
        linked = [context for context in ended if context is not None]
        span = self._calls.begin_span(call, SpanKind.CLIENT, linked, more) if self._calls.spans else None
        return await self._calls.watched(call, self._inner.settle(source, settlements), span, error_type)

    async def renew(
        self, source: Address, receipts: Sequence[Receipt], for_s: float | None = None
    ) -> list[Timestamp | QueueError]:
        """Extend the locks of deliveries. A metric and no span: it belongs to no message's story."""
        if not self._calls.metrics:
            return await self._inner.renew(source, receipts, for_s)
        call = Call("renew", "settle", source.queue)
        return await self._calls.watched(call, self._inner.renew(source, receipts, for_s), None, error_type)

    # --- sessions ---

    async def accept_session(self, queue: QueueName, session_id: SessionId | None, wait_s: float) -> HeldSession | None:
        """Lock a session."""
        held = await self._inner.accept_session(queue, session_id, wait_s)
        return None if held is None else _Session(held, queue, self._calls)

    async def renew_sessions(self, queue: QueueName, sessions: Sequence[HeldSession]) -> list[Timestamp | QueueError]:
        """Extend session locks; the inner provider is given its own."""
        inner = [session.inner if isinstance(session, _Session) else session for session in sessions]
        return await self._inner.renew_sessions(queue, inner)


class _CountingProvider(InstrumentedProvider):
    """As above, of a broker that tells how full a queue is."""

    def __init__(self, inner: Provider, counting: CountsMessages) -> None:
        super().__init__(inner)
        self._counting = counting

    async def counts(self, queue: QueueName) -> QueueCounts:
        """Count the messages of a queue."""
        return await self._counting.counts(queue)


class _InspectedProvider(InstrumentedProvider):
    """As above, of a broker that tells how a queue is set up."""

    def __init__(self, inner: Provider, inspects: Inspects) -> None:
        super().__init__(inner)
        self.inspector = inspects.inspector


class _CountingInspectedProvider(_CountingProvider):
    """As above, of a broker that tells both."""

    def __init__(self, inner: Provider, counting: CountsMessages, inspects: Inspects) -> None:
        super().__init__(inner, counting)
        self.inspector = inspects.inspector


class _Session:
    """A held session whose receives are recorded."""

    def __init__(self, inner: HeldSession, queue: QueueName, calls: Calls) -> None:
        self.inner = inner
        self._queue = queue
        self._calls = calls

    @property
    def session_id(self) -> SessionId:
        return self.inner.session_id

    @property
    def locked_until(self) -> Timestamp:
        return self.inner.locked_until

    async def receive(self, max_messages: int, wait_s: float) -> list[Delivery]:
        return await received(self._calls, self._queue, self.inner.receive(max_messages, wait_s))

    async def get_state(self) -> bytes | None:
        return await self.inner.get_state()

    async def set_state(self, state: bytes | None) -> None:
        await self.inner.set_state(state)

    async def close(self) -> None:
        await self.inner.close()


def instrument(provider: Provider) -> Provider:
    """Return the provider with telemetry; one that has it, as it is."""
    if isinstance(provider, InstrumentedProvider):
        return provider
    if isinstance(provider, CountsMessages):
        if isinstance(provider, Inspects):
            return _CountingInspectedProvider(provider, provider, provider)
        return _CountingProvider(provider, provider)
    return _InspectedProvider(provider, provider) if isinstance(provider, Inspects) else InstrumentedProvider(provider)
