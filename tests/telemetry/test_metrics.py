"""Metrics of an engine and a client, read from the SDK's reader, and what they and spans may not hold."""

import asyncio
import re

import pytest

from queue_runtime.engine import Context
from queue_runtime.journal.events import AttemptStarted, BreakerOpened, Completed, DeadLettered, Duplicate
from queue_runtime.plugins import PermanentError, TransientError
from queue_runtime.providers import QueueClient
from queue_runtime.providers.errors import QueueNotFound
from queue_runtime.providers.inspection import Inspects
from queue_runtime.providers.memory import MemoryProvider, QueueKind
from queue_runtime.providers.message import Message, QueueName
from queue_runtime.providers.port import CountsMessages
from queue_runtime.providers.telemetry import instrumented, names
from tests.telemetry.recorded import Recorded, Site, until

SECRET = "planted-body-and-text"


async def test_L22_what_becomes_of_messages_is_counted_and_timed(sdk: Recorded) -> None:
    """Completed, tried again, dead-lettered, duplicate: by queue, route, reason and kind of error."""
    site = Site()

    async def judged(ctx: Context) -> None:
        if ctx.body == b"twice" and ctx.attempt == 1:
            raise TransientError(SECRET)
        if ctx.body == b"never":
            raise PermanentError(SECRET)

    async with site.engine(judged):
        async with site.client() as client:
            for body in (b"once", b"twice", b"never"):
                await client.send(site.queue, Message(body, message_id=body.decode()))
            await until(lambda: len(site.of(Completed)) == 2 and len(site.of(DeadLettered)) == 1 and site.is_empty())
            await client.send(site.queue, Message(b"once", message_id="once"))
        await until(lambda: bool(site.of(Duplicate)) and site.is_empty())
        queue = {"messaging__destination__name": site.queue}

        assert sdk.value(names.SENT, **queue) == 4
        assert sdk.value(names.CONSUMED, **queue) == 4
        assert sdk.value(names.COMPLETED, **queue, queue_runtime__route="judged") == 2
        assert sdk.value(names.RETRIES, **queue, error__type="TransientError") == 1
        assert sdk.value(names.RETRY_DELAY, **queue) == 1
        assert sdk.value(names.DEAD_LETTERED, **queue, error__type="PermanentError") == 1
        assert sdk.value(names.DUPLICATES, **queue) == 1
        assert sdk.value(names.PROCESS_DURATION, **queue) == 4
        assert sdk.value(names.PROCESS_DURATION, **queue, error__type="PermanentError") == 1
        for operation in ("send", "receive", "settle"):
            assert sdk.value(names.OPERATION_DURATION, **queue, messaging__operation__name=operation) >= 1


async def test_L22_the_journal_is_measured(sdk: Recorded) -> None:
    """Every commit has a duration and a size, and their sizes add up to the events; a start says what it recovered."""
    site, gate = Site(), asyncio.Event()
    before = _sum(sdk, names.COMMIT_EVENTS), sdk.value(names.COMMIT_DURATION), sdk.value(names.COMMIT_EVENTS)
    queues = ",".join(sorted((site.queue, site.other)))

    async def waits(ctx: Context) -> None:
        del ctx
        await gate.wait()

    async with site.client() as client:
        await client.send(site.queue, Message(b"{}"))
    async with site.engine(waits, is_killed=True):
        await until(lambda: bool(site.of(AttemptStarted)))
    gate.set()
    async with site.engine(waits):
        await until(lambda: bool(site.of(Completed)) and site.is_empty())

    after = _sum(sdk, names.COMMIT_EVENTS), sdk.value(names.COMMIT_DURATION), sdk.value(names.COMMIT_EVENTS)
    assert after[0] - before[0] == len(site.journal.events)
    assert after[1] - before[1] == after[2] - before[2] > 0
    assert sdk.value(names.RECOVERY_DURATION, queue_runtime__engine__queues=queues) == 2
    assert sdk.value(names.RECOVERED, queue_runtime__engine__queues=queues) == 1


async def test_L22_gauges_show_what_an_engine_holds_and_forget_it_when_it_stops(sdk: Recorded) -> None:
    """In flight, bytes, running, age of the oldest, sessions, events, breakers; nothing of an engine that is gone."""
    site, gate = Site(QueueKind.SESSIONS), asyncio.Event()
    mine = {"queue_runtime__engine__queues": ",".join(sorted((site.queue, site.other)))}

    async def waits(ctx: Context) -> None:
        if ctx.delivery.message.session_id == "fails":
            msg = "away"
            raise TransientError(msg)
        await gate.wait()

    async with site.engine(waits, breaker_failures=1, max_attempts=10, retry_max_s=30, retry_initial_s=30):
        async with site.client() as client:
            await client.send(site.queue, Message(b"12345", session_id="waits"))
            await until(lambda: sdk.value(names.RUNNING, **mine) == 1)
            assert sdk.value(names.IN_FLIGHT, **mine) == 1
            assert sdk.value(names.IN_FLIGHT_BYTES, **mine) == 5
            assert sdk.value(names.SESSIONS, **mine) == 1
            assert sdk.value(names.UNWRITABLE, **mine) == 0
            assert sdk.value(names.LOOP_LAG, **mine) >= 0
            await until(lambda: sdk.value(names.OLDEST_UNSETTLED, **mine) > 1)
            await client.send(site.queue, Message(b"x", session_id="fails"))
        await until(lambda: bool(site.of(BreakerOpened)))
        await until(lambda: sdk.value(names.BREAKER_STATE, **mine, queue_runtime__breaker="waits") == 2)
        assert 0 < sdk.value(names.EVENTS, **mine) <= len(site.journal.events)
        gate.set()

    gauges = (names.IN_FLIGHT, names.RUNNING, names.SESSIONS, names.BREAKER_STATE)
    assert [name for name in gauges if sdk.has(name, **mine)] == []


async def test_L22_calls_that_fail_are_counted_by_their_kind_of_error(sdk: Recorded) -> None:
    """The error comes out as it would without telemetry, and its kind is on the span and the metric."""
    site = Site()

    provider = instrumented(MemoryProvider(site.broker))
    await provider.open()
    with pytest.raises(QueueNotFound):
        await provider.send(QueueName("nowhere"), [Message(b"{}")])
    await provider.close()

    span = sdk.span("send nowhere")
    assert (span.attributes or {})["error.type"] == "QueueNotFound"
    nowhere = {"messaging__destination__name": "nowhere", "error__type": "QueueNotFound"}
    assert sdk.value(names.OPERATION_DURATION, **nowhere) == 1


async def test_a_provider_with_telemetry_tells_of_its_queues_as_before(sdk: Recorded) -> None:
    """What doctor and a start ask is answered by the provider inside."""
    site = Site()
    provider = instrumented(MemoryProvider(site.broker))

    assert isinstance(provider, Inspects)
    assert isinstance(provider, CountsMessages)
    await provider.open()
    setup = await provider.inspector.setup(site.queue)
    counts = await provider.counts(site.queue)
    await provider.close()

    assert setup.dead_letters
    assert counts.active == 0
    assert not sdk.has(names.SENT, messaging__destination__name=site.queue)


async def test_h9_labels_have_few_values_and_nothing_holds_a_body_or_an_errors_text(sdk: Recorded) -> None:
    """No id is a label; a body and the text of a handler's error are in no span and no metric."""
    site = Site()

    async def fails(ctx: Context) -> None:
        del ctx
        raise LookupError(SECRET)

    async with site.engine(fails, max_attempts=2):
        async with site.client() as client:
            await client.send(site.queue, Message(SECRET.encode(), message_id="an-id", session_id="a-session"))
        await until(lambda: bool(site.of(DeadLettered)) and site.is_empty())

    points = sdk.points()
    labels = {name for found in points.values() for point in found for name in (point.attributes or {})}
    texts = repr(points) + "".join(span.to_json() for span in sdk.exporter.get_finished_spans())
    assert labels <= {
        "messaging.system",
        "messaging.destination.name",
        "messaging.operation.name",
        "messaging.operation.type",
        "error.type",
        "queue_runtime.route",
        "queue_runtime.reason",
        "queue_runtime.breaker",
        "queue_runtime.engine.queues",
    }
    assert "an-id" in texts
    assert SECRET not in texts
    assert not re.search("an-id|a-session", repr(points))


async def test_telemetry_changes_no_answer_of_a_provider(sdk: Recorded) -> None:
    """Without telemetry a client gets the same; the counts of a broker stay reachable."""
    del sdk
    site = Site()
    async with site.client() as traced, QueueClient(MemoryProvider(site.broker)) as plain:
        await traced.send(site.queue, Message(b"{}", message_id="m", attributes={"a": "b"}))
        assert (await traced.counts(site.queue)) == (await plain.counts(site.queue))
        delivery = await plain.receive(site.queue)

    assert delivery is not None
    assert delivery.message.attributes["a"] == "b"
    assert set(delivery.message.attributes) == {"a", "traceparent"}


def _sum(sdk: Recorded, name: str) -> float:
    return sum(getattr(point, "sum", 0) for point in sdk.points().get(name, ()))
