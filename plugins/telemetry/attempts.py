"""A span for every attempt: from its admission over the commit that says so to the end of its handler."""

from __future__ import annotations

import time
from contextvars import Token
from dataclasses import dataclass

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import Link, Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from queue_runtime.journal.state import MessageState
from queue_runtime.plugins.telemetry.instruments import instruments
from queue_runtime.providers.message import Delivery, Message
from queue_runtime.providers.redrive import origin_of
from queue_runtime.providers.telemetry import names
from queue_runtime.providers.telemetry.context import made_in, sent_in, stamped, trace_parent_of
from queue_runtime.providers.telemetry.operations import Calls
from queue_runtime.providers.telemetry.provider import InstrumentedProvider
from queue_runtime.providers.telemetry.transfers import created

__all__ = ["Attempts", "Scope"]

_W3C = TraceContextTextMapPropagator()


@dataclass(frozen=True, slots=True)
class Scope:
    """One attempt whose handler runs: what is to be undone and recorded at its end."""

    key: str
    queue: str
    route: str
    began: float
    token: Token[Context] | None


class Attempts:
    """The spans of the attempts under way, by key. Used on the engine's loop; nothing here raises or waits.

    Where nothing keeps spans, a message's context still goes through its handler to what that sends.
    """

    def __init__(self, provider: InstrumentedProvider, run_id: str) -> None:
        self._provider = provider
        self._calls = Calls(provider.name)
        self._system = names.SYSTEMS.get(provider.name, provider.name)
        self._run_id = run_id
        self._spans: dict[str, Span] = {}

    def begin(self, message: MessageState, delivery: Delivery, route: str) -> str | None:
        """Begin the span of a message's next attempt; returns what the journal is to hold of it, or None.

        It continues the trace that the message was made in, and links to that, and to the span of the attempt before,
        which the journal knows after a restart too. A redriven message begins a trace of its own.
        """
        if not self._calls.spans:
            return None
        made = sent_in(delivery.message.attributes)
        links = [] if made is None else [Link(trace.get_current_span(made).get_span_context())]
        if message.trace_parent is not None:
            before = _W3C.extract({"traceparent": message.trace_parent}, Context())
            links.append(Link(trace.get_current_span(before).get_span_context(), {names.ATTEMPT: message.attempt}))
        parent = Context() if made is None or origin_of(delivery.message)[1] else made
        span = self._calls.tracer.start_span(
            f"process {delivery.queue}",
            context=parent,
            kind=SpanKind.CONSUMER,
            attributes=self._attributes(message, delivery, route),
            links=links,
        )
        self._spans[message.key] = span
        self._provider.concerns(delivery.receipt.provider_id, span.get_span_context())
        return trace_parent_of(span.get_span_context())

    def _attributes(self, message: MessageState, delivery: Delivery, route: str) -> dict[str, AttributeValue]:
        attributes: dict[str, AttributeValue] = {
            names.SYSTEM: self._system,
            names.DESTINATION: delivery.queue,
            names.OPERATION: "process",
            names.OPERATION_TYPE: "process",
            names.MESSAGE_ID: delivery.message.message_id,
            names.BODY_BYTES: len(delivery.message.body),
            names.KEY: message.key,
            names.ROUTE: route,
            names.ATTEMPT: message.attempt + 1,
            names.DELIVERY_COUNT: delivery.delivery_count,
            names.RUN_ID: self._run_id,
        }
        if message.origin.session_id is not None:
            attributes[names.SESSION_ID] = message.origin.session_id
        if delivery.message.correlation_id is not None:
            attributes[names.CONVERSATION_ID] = delivery.message.correlation_id
        return attributes

    def started(self, key: str, position: int | None) -> None:
        """The journal took the attempt in at `position`; None if it did not, and there is no attempt."""
        if position is None:
            self._spans.pop(key, None)
        elif (span := self._spans.get(key)) is not None:
            span.set_attribute(names.POSITION, position)

    def enter(self, message: MessageState, delivery: Delivery) -> Scope:
        """The handler is about to run, in this task: have its own spans be children of the attempt's."""
        span = self._spans.get(message.key)
        context = sent_in(delivery.message.attributes) if span is None else trace.set_span_in_context(span, Context())
        token = None if context is None else attach(context)
        return Scope(message.key, message.origin.queue, message.route, time.perf_counter(), token)

    def leave(self, scope: Scope) -> None:
        """The handler has ended; in the task that entered."""
        if scope.token is not None:
            detach(scope.token)

    def ended(self, key: str, outcome: str, error: str | None, scope: Scope | None) -> None:
        """The attempt has ended: `scope` is None for one whose handler never ran.

        An error is its kind alone: its text may hold anything, and the journal has it.
        """
        span = self._spans.pop(key, None)
        if span is not None:
            span.set_attribute(names.OUTCOME, outcome)
            if error is not None:
                span.set_attribute(names.ERROR_TYPE, error)
                span.set_status(StatusCode.ERROR, error)
            span.end()
        if scope is not None and self._calls.metrics:
            attributes: dict[str, AttributeValue] = {
                names.SYSTEM: self._system,
                names.DESTINATION: scope.queue,
                names.OPERATION: "process",
                names.ROUTE: scope.route,
            }
            if error is not None:
                attributes[names.ERROR_TYPE] = error
            instruments().process.record(time.perf_counter() - scope.began, attributes)

    def outgoing(self, queue: str, message: Message) -> Message:
        """Give what a handler sends the context that it is made in; it goes with the message through the journal."""
        if self._calls.spans:
            return created(self._calls, queue, message)
        return message if made_in(message) is not None else stamped(message)
