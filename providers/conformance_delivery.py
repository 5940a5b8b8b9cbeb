"""The promises about sending and receiving."""

# ruff: noqa: N802, S101 - tests carry the numbers of what they prove, and they assert

from __future__ import annotations

import asyncio
from itertools import chain

import pytest

from queue_runtime.providers.conformance_harness import LINK, A, CutsTheLink, Desk, message, needs
from queue_runtime.providers.errors import MessageTooLarge, ProviderClosed, QueueError, QueueNotFound
from queue_runtime.providers.message import Message, QueueName
from queue_runtime.providers.port import Address, Sent

__all__ = ["DeliveryPromises"]

BODIES = [b"", b"\x00", bytes(range(256)), "grüße".encode(), b'{"a": 1}', b"\xff\xfe" * 1_000]


class DeliveryPromises:
    """What is sent arrives, whole, once a lock; what is not there is waited for."""

    async def test_L01_a_sent_message_arrives_with_its_content(self, desk: Desk) -> None:
        """Ids, session, correlation, content type and attributes arrive as they were sent."""
        attributes = {"trace": "00-ab", "naïve": "ü €", "empty": ""}
        sent = Message(
            b"body", message_id="m 1", session_id=A, correlation_id="c-1", content_type="text/x", attributes=attributes
        )
        (answer,) = await desk.send(sent)

        delivery = await desk.one()

        assert answer.message_id == "m 1"
        got = delivery.message
        assert (got.body, got.message_id, got.session_id) == (b"body", "m 1", A)
        assert (got.correlation_id, got.content_type, got.attributes) == ("c-1", "text/x", attributes)
        assert (delivery.queue, delivery.delivery_count) == (desk.queue, 1)
        assert delivery.delivered_at >= delivery.first_delivered_at
        assert delivery.dead_letter is None

    async def test_A13_any_bytes_arrive_unchanged(self, desk: Desk) -> None:
        """Bodies are opaque: empty ones, every byte value, and what is not text."""
        for body in BODIES:
            await desk.send(message(body))
            delivery = await desk.one()
            await desk.complete(delivery)

            assert delivery.message.body == body

    async def test_L02_an_unknown_queue_is_named(self, desk: Desk) -> None:
        """Every way into a queue that does not exist says which one, and makes none."""
        unknown = QueueName("no-such-queue")
        for call in (
            desk.provider.send(unknown, [message()]),
            desk.provider.receive(Address(unknown), 1, 0),
            desk.provider.capabilities(unknown),
        ):
            with pytest.raises(QueueNotFound, match="no-such-queue"):
                await call

    async def test_L03_a_delivered_message_is_invisible_at_once(self, desk: Desk) -> None:
        """While its lock runs, a message is delivered to nobody else."""
        await desk.send(message())
        delivery = await desk.one()

        await desk.nothing()
        assert delivery.receipt.expires_at > delivery.delivered_at

    async def test_K01_L04_an_empty_queue_answers_nothing_at_the_time_out(self, desk: Desk) -> None:
        """A receive waits as long as it was told to, and then answers an empty list."""
        receiving = asyncio.ensure_future(desk.receive(wait_s=2))
        await desk.harness.pass_time(1)
        assert not receiving.done()

        await desk.harness.pass_time(1.1)
        assert await receiving == []

    async def test_K01_a_receive_that_waits_is_woken_by_a_send(self, desk: Desk) -> None:
        """A message sent while somebody waits for one is delivered without further time passing."""
        receiving = asyncio.ensure_future(desk.receive(wait_s=20))
        await desk.harness.pass_time(0.1)
        await desk.send(message(b"news"))

        (delivery,) = await receiving
        assert delivery.message.body == b"news"

    async def test_B26_asking_for_no_messages_answers_none(self, desk: Desk) -> None:
        """A receive of nothing takes nothing."""
        await desk.send(message())

        assert await desk.receive(max_messages=0) == []
        assert await desk.one()

    async def test_L20_a_batch_answers_item_by_item(self, desk: Desk) -> None:
        """One message over the limit costs the others nothing, and answers come in the order asked."""
        limit = desk.capabilities.max_message_bytes
        too_large = message(b"x" * (limit + 1), "large")

        answers = await desk.provider.send(desk.queue, [message(b"1", "one"), too_large, message(b"2", "two")])

        first, refused, last = answers
        assert isinstance(first, Sent)
        assert isinstance(last, Sent)
        assert isinstance(refused, MessageTooLarge)
        assert refused.max_size == limit
        assert [d.message.body for d in await desk.several(3)] == [b"1", b"2"]

    async def test_K05_a_message_at_the_limit_is_taken(self, desk: Desk) -> None:
        """The limit itself is allowed, and attributes count towards it."""
        limit = desk.capabilities.max_message_bytes
        at_limit = Message(b"x" * (limit - 2), session_id=A, attributes={"a": "b"})
        over = Message(b"x" * (limit - 2), session_id=A, attributes={"a": "bc"})

        await desk.send(at_limit)
        (refused,) = await desk.provider.send(desk.queue, [over])

        assert isinstance(refused, QueueError)
        assert len((await desk.one()).message.body) == limit - 2

    async def test_B20_an_empty_batch_answers_an_empty_list(self, desk: Desk) -> None:
        """Nothing to do is no call and no error, everywhere."""
        assert await desk.provider.send(desk.queue, []) == []
        assert await desk.provider.settle(desk.source, []) == []
        assert await desk.provider.renew(desk.source, []) == []

    async def test_K01_L04_cancelling_a_receive_loses_nothing(self, desk: Desk) -> None:
        """A message that arrives as the receive for it is cancelled is delivered to the next one."""
        receiving = asyncio.ensure_future(desk.receive(wait_s=20))
        await desk.harness.pass_time(0.1)
        receiving.cancel()
        await asyncio.wait({receiving})
        await desk.send(message(b"kept"))

        assert (await desk.one()).message.body == b"kept"

    async def test_closing_ends_a_receive_that_waits(self, desk: Desk) -> None:
        """Nobody hangs on a closed provider, calls after it are refused, and closing twice is harmless."""
        receiving = asyncio.ensure_future(desk.receive(wait_s=20))
        await desk.harness.pass_time(0.1)
        await desk.provider.close()

        with pytest.raises(ProviderClosed):
            await receiving
        await desk.provider.close()
        with pytest.raises(ProviderClosed):
            await desk.provider.send(desk.queue, [message()])

    @needs(LINK)
    async def test_K10_K12_L11_a_broker_that_is_away_is_a_transient_error_and_loses_nothing(self, desk: Desk) -> None:
        """While it is away every call ends with an error that may pass; then the same provider works, messages kept."""
        assert isinstance(desk.harness, CutsTheLink)
        await desk.send(message(b"kept"))
        waiting = asyncio.ensure_future(desk.provider.receive(desk.dead_letters, 1, 20))
        await desk.harness.pass_time(0.1)
        await desk.harness.cut()

        calls = (
            waiting,
            desk.provider.receive(desk.dead_letters, 1, 0),
            desk.provider.send(desk.queue, [message(b"unknown")]),
        )
        for answer in await asyncio.gather(*calls, return_exceptions=True):
            refused = answer[0] if isinstance(answer, list) else answer
            assert isinstance(refused, QueueError)
            assert refused.transient
        await desk.harness.mend()
        assert (await desk.one()).message.body == b"kept"

    async def test_L18_many_tasks_share_one_provider(self, desk: Desk) -> None:
        """Concurrent sends and receives on one provider deliver every message exactly once while locks last."""
        bodies = [str(number).encode() for number in range(60)]
        await asyncio.gather(*(desk.send(message(body)) for body in bodies))
        if desk.capabilities.native_sessions:
            batches = [await desk.several(len(bodies))]  # one session: one receiver at a time has all of it
        elif desk.capabilities.ordered_groups:
            batches = [await desk.drained(len(bodies))]  # what is in flight blocks what is behind it
        else:
            batches = await asyncio.gather(*(desk.several(10) for _ in range(6)))

        assert sorted(d.message.body for d in chain(*batches)) == sorted(bodies)

    async def test_K19_a_burst_loses_nothing(self, desk: Desk) -> None:
        """More than a batch in one call is cut up, taken whole, and drained."""
        bodies = [str(number).encode() for number in range(250)]
        await desk.send(*(message(body) for body in bodies))

        drained: list[bytes] = []
        while deliveries := await desk.receive(max_messages=50):
            await desk.complete(*deliveries)
            drained += [delivery.message.body for delivery in deliveries]

        assert drained == bodies if desk.capabilities.ordered else sorted(drained) == sorted(bodies)
