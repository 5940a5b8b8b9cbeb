"""Spans of sends, receives, attempts and settlements, read from the SDK's exporter, over real engines."""

import asyncio
from typing import cast

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, SpanKind, StatusCode

from queue_runtime.engine import Context
from queue_runtime.journal.events import AttemptStarted, Completed, Received
from queue_runtime.plugins import PermanentError
from queue_runtime.providers import QueueClient
from queue_runtime.providers.memory import MemoryProvider, QueueKind
from queue_runtime.providers.message import Message
from queue_runtime.providers.telemetry import names
from tests.telemetry.recorded import Recorded, Site, until

SECRET = "planted-body-and-text"


def _id(span: ReadableSpan) -> SpanContext:
    return cast("SpanContext", span.get_span_context())


def _links(span: ReadableSpan) -> list[tuple[int, int]]:
    return [(link.context.trace_id, link.context.span_id) for link in span.links]


def _pair(context: SpanContext) -> tuple[int, int]:
    return context.trace_id, context.span_id


def _parent(span: ReadableSpan) -> tuple[int, int] | None:
    return None if span.parent is None else _pair(span.parent)


def _written(span: ReadableSpan) -> str:
    return _as_w3c(_id(span))


def _as_w3c(context: SpanContext) -> str:
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


async def test_L21_one_trace_goes_from_a_send_through_both_handlers(sdk: Recorded) -> None:
    """A client's send is the parent of the attempt, whose own send - through the journal - is that of the next one."""
    site = Site()

    async def first(ctx: Context) -> None:
        with trace.get_tracer("bot").start_as_current_span("classify"):
            await ctx.send(site.other, b"labels")

    def second(ctx: Context) -> None:
        assert ctx.attempt == 1
        trace.get_tracer("bot").start_span("in a thread").end()

    async with site.engine(first, second):
        async with site.client() as client:
            await client.send(site.queue, Message(b"{}", message_id="m-1", session_id="s", correlation_id="c"))
        await until(lambda: len(site.of(Completed)) == 2 and site.is_empty())

    sent, attempt = sdk.span(f"send {site.queue}"), sdk.span(f"process {site.queue}")
    inner, made = sdk.span("classify"), sdk.span(f"create {site.other}")
    forwarded, after = sdk.span(f"send {site.other}"), sdk.span(f"process {site.other}")
    assert sent.kind is SpanKind.PRODUCER
    assert attempt.kind is SpanKind.CONSUMER
    assert sent.parent is None
    assert _parent(attempt) == _pair(_id(sent))
    assert _links(attempt) == [_pair(_id(sent))]
    assert _parent(inner) == _pair(_id(attempt))
    assert _parent(made) == _pair(_id(inner))
    assert (forwarded.kind, _links(forwarded)) == (SpanKind.CLIENT, [_pair(_id(made))])
    assert _parent(after) == _pair(_id(made))
    assert _parent(sdk.span("in a thread")) == _pair(_id(after))
    assert {_id(span).trace_id for span in (attempt, inner, made, after)} == {_id(sent).trace_id}
    assert dict(attempt.attributes or {}) == {
        "messaging.system": "in_memory",
        "messaging.destination.name": site.queue,
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.message.id": "m-1",
        "messaging.message.body.size": 2,
        "messaging.message.conversation_id": "c",
        "queue_runtime.session.id": "s",
        "queue_runtime.message.key": f"{site.queue}/m-1",
        "queue_runtime.message.delivery_count": 1,
        "queue_runtime.route": "first",
        "queue_runtime.attempt": 1,
        "queue_runtime.outcome": "completed",
        "queue_runtime.run.id": (attempt.attributes or {})[names.RUN_ID],
        "queue_runtime.journal.position": site.of(AttemptStarted)[0][0],
    }


async def test_L21_receives_and_settlements_link_to_what_they_are_about(sdk: Recorded) -> None:
    """Messages of a batch have a span each; the batch's send, its receive and its settlements link to them."""
    site = Site()

    async with site.client() as client:
        await client.send_batch(site.queue, [Message(b"{}", message_id=f"m-{n}") for n in range(3)])
    async with site.engine(_nothing):
        await until(lambda: len(site.of(Completed)) == 3 and site.is_empty())

    made, sent = sdk.spans(f"create {site.queue}"), sdk.span(f"send {site.queue}")
    attempts = sdk.spans(f"process {site.queue}")
    received, settled = sdk.spans(f"receive {site.queue}"), sdk.spans(f"settle {site.queue}")
    assert [span.kind for span in (*made, *received, *settled)] == [
        *[SpanKind.PRODUCER] * 3,
        *[SpanKind.CLIENT] * (len(received) + len(settled)),
    ]
    assert (sent.attributes or {})["messaging.batch.message_count"] == 3
    assert _links(sent) == [_pair(_id(span)) for span in made]
    assert sorted(link for span in received for link in _links(span)) == sorted(_links(sent))
    assert sorted(link for span in settled for link in _links(span)) == sorted(_pair(_id(span)) for span in attempts)
    assert all((span.attributes or {})[names.DISPOSITIONS] == ("complete",) for span in settled)


async def test_L21_a_retry_links_to_the_attempt_before_and_says_its_kind_of_error_alone(sdk: Recorded) -> None:
    """The trace is the sender's; the error's text stays in the journal, at the position that the span names."""
    site = Site()

    async def twice(ctx: Context) -> None:
        if ctx.attempt == 1:
            raise LookupError(SECRET)

    async with site.engine(twice):
        async with site.client() as client:
            await client.send(site.queue, Message(SECRET.encode()))
        await until(lambda: bool(site.of(Completed)) and site.is_empty())

    (first, second), sent = sdk.spans(f"process {site.queue}"), sdk.span(f"send {site.queue}")
    assert (first.status.status_code, first.status.description) == (StatusCode.ERROR, "LookupError")
    assert (first.attributes or {})["error.type"] == "LookupError"
    assert second.status.status_code is StatusCode.UNSET
    assert _links(second) == [_pair(_id(sent)), _pair(_id(first))]
    assert _parent(second) == _pair(_id(sent))
    journaled = [cast("AttemptStarted", event).trace_parent for _, event in site.of(AttemptStarted)]
    assert journaled == [_written(first), _written(second)]
    assert SECRET not in "".join(span.to_json() for span in sdk.exporter.get_finished_spans())


async def test_L21_an_attempt_after_a_crash_links_to_the_one_that_crashed(sdk: Recorded) -> None:
    """The crashed attempt exported nothing, but the journal knows its span."""
    site, gate = Site(), asyncio.Event()

    async def waits(ctx: Context) -> None:
        del ctx
        await gate.wait()

    async with site.client() as client:
        await client.send(site.queue, Message(b"{}"))
    async with site.engine(waits, is_killed=True):
        await until(lambda: bool(site.of(AttemptStarted)))
    assert sdk.spans(f"process {site.queue}") == []
    gate.set()
    async with site.engine(waits):
        await until(lambda: bool(site.of(Completed)) and site.is_empty())

    attempt = sdk.span(f"process {site.queue}")
    crashed = cast("AttemptStarted", site.of(AttemptStarted)[0][1]).trace_parent
    assert crashed is not None
    assert [_as_w3c(link.context) for link in attempt.links][1:] == [crashed]


async def test_h3_a_redriven_message_begins_a_trace_of_its_own(sdk: Recorded) -> None:
    """It links to where the message was made first."""
    site, fails = Site(), [True]

    async def fixed_later(ctx: Context) -> None:
        del ctx
        if fails:
            msg = "not yet"
            raise PermanentError(msg)

    async with site.engine(fixed_later):
        async with site.client() as client:
            await client.send(site.queue, Message(b"{}"))
            await until(lambda: site.broker.counts(site.queue).dead_letters == 1)
            fails.clear()
            dead = client.dead_letters(site.queue)
            buried = await dead.receive()
            assert buried is not None
            await dead.redrive(buried)
        await until(lambda: bool(site.of(Completed)) and site.is_empty())

    sent = sdk.spans(f"send {site.queue}")[0]
    _, again = sdk.spans(f"process {site.queue}")
    assert again.parent is None
    assert _links(again) == [_pair(_id(sent))]
    assert _id(again).trace_id != _id(sent).trace_id


async def test_h3_a_context_that_makes_no_sense_is_ignored(sdk: Recorded) -> None:
    """The attempt begins a trace; what the message says is handed on as it came."""
    site = Site()

    async with QueueClient(MemoryProvider(site.broker)) as client:
        await client.send(site.queue, Message(b"{}", attributes={"traceparent": "00-zz-1"}))
    async with site.engine(_nothing):
        await until(lambda: bool(site.of(Completed)) and site.is_empty())

    attempt = sdk.span(f"process {site.queue}")
    assert attempt.parent is None
    assert attempt.links == ()
    assert cast("Received", site.of(Received)[0][1]).attributes["traceparent"] == "00-zz-1"


async def test_L21_sessions_of_the_broker_are_received_with_spans(sdk: Recorded) -> None:
    """A message that came through a session has the same story as any other."""
    site = Site(QueueKind.SESSIONS)

    async with site.engine(_nothing):
        async with site.client() as client:
            await client.send(site.queue, Message(b"{}", session_id="s"))
        await until(lambda: bool(site.of(Completed)) and site.is_empty())

    sent = sdk.span(f"send {site.queue}")
    assert [_links(span) for span in sdk.spans(f"receive {site.queue}")] == [[_pair(_id(sent))]]
    assert _parent(sdk.span(f"process {site.queue}")) == _pair(_id(sent))


async def _nothing(ctx: Context) -> None:
    del ctx
