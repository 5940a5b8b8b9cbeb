"""Sends and receives, with their spans, and the trace context that travels with messages."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind
from opentelemetry.util.types import AttributeValue

from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.errors import QueueError
from queue_runtime.providers.message import Delivery, Message, QueueName
from queue_runtime.providers.port import Provider, Sent
from queue_runtime.providers.telemetry import names
from queue_runtime.providers.telemetry.context import made_in, stamped
from queue_runtime.providers.telemetry.operations import Call, Calls, error_type

__all__ = ["created", "received", "sent"]


async def sent(
    calls: Calls, provider: Provider, queue: QueueName, messages: Sequence[Message], at: Timestamp | None
) -> list[Sent | QueueError]:
    """Send, and record it; every message goes with the context that it was made in."""
    if not messages:
        return await provider.send(queue, messages, at=at)
    call = Call("send", "send", queue)
    span: Span | None = None
    if not calls.spans:  # a context that is there goes on all the same
        messages = [message if made_in(message) is not None else stamped(message) for message in messages]
    elif len(messages) == 1 and made_in(messages[0]) is None:
        span = calls.begin_span(call, SpanKind.PRODUCER, (), _of_message(messages[0]))
        messages = [stamped(messages[0], trace.set_span_in_context(span))]
    else:
        messages = [created(calls, queue, message) for message in messages]
        made = [context for message in messages if (context := made_in(message)) is not None]
        more = _of_message(messages[0]) if len(messages) == 1 else {names.BATCH_COUNT: len(messages)}
        span = calls.begin_span(call, SpanKind.CLIENT, made, more)
    answers = await calls.watched(call, provider.send(queue, messages, at=at), span, error_type)
    calls.count_sent(call, answers)
    return answers


def created(calls: Calls, queue: str, message: Message) -> Message:
    """Give a message that is sent later, or with others, a span of its own, unless it brings the context of one."""
    if made_in(message) is not None:
        return message
    span = calls.begin_span(Call("create", "create", queue), SpanKind.PRODUCER, (), _of_message(message))
    span.end()
    return stamped(message, trace.set_span_in_context(span))


async def received(calls: Calls, queue: str, receiving: Awaitable[list[Delivery]]) -> list[Delivery]:
    """Await what receives, and record it. The span is made afterwards: only then is it known what it links to."""
    if not calls.are_recorded:
        return await receiving
    call = Call("receive", "receive", queue)
    error: str | None = None
    deliveries: list[Delivery] = []
    try:
        deliveries = await receiving
    except Exception as raised:
        error = type(raised).__name__
        raise
    else:
        return deliveries
    finally:
        span: Span | None = None
        if calls.spans and (deliveries or error is not None):
            made = [context for one in deliveries if (context := made_in(one.message)) is not None]
            span = calls.begin_span(call, SpanKind.CLIENT, made, {names.BATCH_COUNT: len(deliveries)})
        calls.end(call, error, span)
        calls.count_consumed(call, len(deliveries))


def _of_message(message: Message) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {
        names.MESSAGE_ID: message.message_id,
        names.BODY_BYTES: len(message.body),
    }
    if message.session_id is not None:
        attributes[names.SESSION_ID] = message.session_id
    if message.correlation_id is not None:
        attributes[names.CONVERSATION_ID] = message.correlation_id
    return attributes
