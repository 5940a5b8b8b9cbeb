"""The promises about messages that wait: dead letters, scheduled ones, time to live, peeking, duplicates."""

# ruff: noqa: N802, S101 - tests carry the numbers of what they prove, and they assert

from __future__ import annotations

from datetime import timedelta

import pytest

from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.conformance_harness import A, Desk, QueueRules, message, needs
from queue_runtime.providers.errors import InvalidReceipt, MessageNotFound, QueueError, UnsupportedOperation
from queue_runtime.providers.message import Message
from queue_runtime.providers.port import CountsMessages, Sent, SettleKind, Settlement

__all__ = ["KeepingPromises"]


class KeepingPromises:
    """What is not to be delivered now is kept, or said to be gone, as declared."""

    async def test_B38_a_dead_letter_keeps_everything(self, desk: Desk) -> None:
        """Body, ids and attributes stay; reason, description and properties are added; the queue has it no more."""
        await desk.send(Message(b"bad", message_id="m1", session_id=A, attributes={"a": "b"}))
        delivery = await desk.one()
        settlement = Settlement(
            SettleKind.DEAD_LETTER,
            delivery.receipt,
            reason="not JSON",
            description="line 1",
            properties=(("bot", "labels"),),
            message=delivery.message,
        )
        assert await desk.provider.settle(desk.source, [settlement]) == [None]

        (buried,) = await desk.buried()

        assert (buried.message.body, buried.message.message_id, buried.message.session_id) == (b"bad", "m1", A)
        assert buried.message.attributes == {"a": "b"}
        assert buried.dead_letter is not None
        assert (buried.dead_letter.reason, buried.dead_letter.description) == ("not JSON", "line 1")
        assert buried.dead_letter.properties == (("bot", "labels"),)
        await desk.lapse()
        await desk.nothing()

    async def test_dead_letters_are_settled_like_messages(self, desk: Desk) -> None:
        """A dead letter is locked, comes back when abandoned, and is gone once completed."""
        await desk.send(message())
        await desk.settle(SettleKind.DEAD_LETTER, await desk.one())
        (first,) = await desk.buried()
        abandon = Settlement(SettleKind.ABANDON, first.receipt)
        assert await desk.provider.settle(desk.dead_letters, [abandon]) == [None]
        (second,) = await desk.buried()
        complete = Settlement(SettleKind.COMPLETE, second.receipt)

        assert await desk.provider.settle(desk.dead_letters, [complete]) == [None]
        assert await desk.provider.receive(desk.dead_letters, 1, 0) == []

    @needs("max_deliveries")
    async def test_K13_L14_a_message_delivered_too_often_is_dead_lettered(self, desk: Desk) -> None:
        """A queue that allows three deliveries makes exactly three, and then buries the message with a reason."""
        queue = await desk.harness.make_queue(QueueRules(max_deliveries=3))
        strict = Desk(desk.harness, desk.provider, queue, await desk.provider.capabilities(queue))
        await strict.send(message(b"poison"), message(b"next"))

        counts: list[int] = []
        delivered: list[bytes] = []
        while deliveries := await strict.receive():
            for delivery in deliveries:
                if delivery.message.body == b"poison":
                    counts.append(delivery.delivery_count)
                    await strict.abandon(delivery)
                else:
                    await strict.complete(delivery)
                    delivered.append(delivery.message.body)

        (buried,) = await strict.buried()
        assert counts == [1, 2, 3]
        assert delivered == [b"next"]
        assert buried.message.body == b"poison"
        assert buried.dead_letter is not None
        assert buried.dead_letter.reason

    async def test_A24_a_message_past_its_time_to_live_is_not_delivered(self, desk: Desk) -> None:
        """It is dead-lettered, or dropped where that is declared; not even a receive that waited for it has it."""
        await desk.send(Message(b"late", session_id=A, time_to_live=timedelta(seconds=3)), message(b"other"))
        await desk.harness.pass_time(3.1)

        assert (await desk.one()).message.body == b"other"
        assert [d.message.body for d in await desk.buried()] == ([] if desk.capabilities.drops_expired else [b"late"])

    async def test_a_time_to_live_that_ends_during_a_lock_waits_for_the_lock(self, desk: Desk) -> None:
        """Who holds a message may complete it after its time to live; given back, it is not delivered again."""
        short = timedelta(seconds=desk.capabilities.lock_s / 2)
        for body in (b"done", b"given back"):
            await desk.send(Message(body, session_id=A, time_to_live=short))
        done, given_back = await desk.several(2)
        await desk.harness.pass_time(desk.capabilities.lock_s * 0.6)

        await desk.complete(done)
        await desk.abandon(given_back)
        await desk.nothing()
        buried = [d.message.body for d in await desk.buried()]
        assert buried == ([] if desk.capabilities.drops_expired else [b"given back"])

    async def test_L38_sending_for_later_is_refused_where_it_is_not_offered(self, desk: Desk) -> None:
        """A queue that declares no scheduled sends takes none, item by item; elsewhere it takes them."""
        (answer,) = await desk.provider.send(desk.queue, [message()], at=Timestamp(await self._now(desk) + 60_000_000))

        if desk.capabilities.scheduled_send:
            assert isinstance(answer, Sent)
        else:
            assert isinstance(answer, UnsupportedOperation)
        await desk.nothing()

    @needs("scheduled_send")
    async def test_B23_a_scheduled_message_is_not_early(self, desk: Desk) -> None:
        """It appears when it is due, and not before."""
        await self._schedule(desk, 5, b"due")
        await desk.harness.pass_time(4.5)
        await desk.nothing()

        await desk.harness.pass_time(0.6)
        assert (await desk.one()).message.body == b"due"

    async def test_L38_calling_off_is_refused_where_it_is_not_offered(self, desk: Desk) -> None:
        """A queue that declares that it cannot call off a scheduled send says so, and elsewhere that there is none."""
        (answer,) = await desk.provider.cancel_scheduled(desk.queue, ["unknown"])

        if desk.capabilities.cancel_scheduled:
            assert isinstance(answer, MessageNotFound)
        else:
            assert isinstance(answer, UnsupportedOperation)

    @needs("cancel_scheduled")
    async def test_a_scheduled_message_can_be_called_off_until_it_is_due(self, desk: Desk) -> None:
        """Cancelled it never appears; cancelling what is due already says so."""
        first = await self._schedule(desk, 5, b"called off")
        second = await self._schedule(desk, 5, b"due")
        assert first is not None
        assert second is not None
        assert await desk.provider.cancel_scheduled(desk.queue, [first]) == [None]
        await desk.harness.pass_time(6)

        assert (await desk.one()).message.body == b"due"
        await desk.nothing()
        for answer in await desk.provider.cancel_scheduled(desk.queue, [first, second]):
            assert isinstance(answer, MessageNotFound)

    async def _now(self, desk: Desk) -> Timestamp:
        """Ask what time it is at the broker: its clock may not be this host's."""
        await desk.send(message(b"now"))
        present = await desk.one()
        await desk.complete(present)
        return present.delivered_at

    async def _schedule(self, desk: Desk, after_s: float, body: bytes) -> str | None:
        at = Timestamp(await self._now(desk) + round(after_s * 1_000_000))
        (sent,) = await desk.provider.send(desk.queue, [message(body)], at=at)
        assert isinstance(sent, Sent)
        return sent.provider_id

    async def test_B32_peeking_changes_nothing(self, desk: Desk) -> None:
        """A look takes no lock, counts no delivery, and its receipts settle nothing; elsewhere it is refused."""
        await desk.send(message(b"1"), message(b"2"), message(b"3"))
        if not desk.capabilities.peek:
            with pytest.raises(UnsupportedOperation):
                await desk.provider.peek(desk.source, 1)
            return
        seen = await desk.provider.peek(desk.source, 2)
        assert [d.message.body for d in seen] == [b"1", b"2"]
        rest = await desk.provider.peek(desk.source, 10, after_sequence=seen[-1].sequence or 0)
        assert [d.message.body for d in rest] == [b"3"]

        (refused,) = await desk.settle(SettleKind.COMPLETE, seen[0])
        assert isinstance(refused, QueueError)
        assert [d.delivery_count for d in await desk.several(3)] == [1, 1, 1]

    async def test_K04_a_second_send_under_one_id_is_dropped_only_where_declared(self, desk: Desk) -> None:
        """Where the queue deduplicates, one of two sends is delivered; elsewhere both, each with its own receipt."""
        for body in (b"1", b"2"):
            await desk.send(Message(body, message_id="same", session_id=A, deduplication_id="same"))
        deliveries = await desk.several(2)

        bodies = [d.message.body for d in deliveries]
        assert sorted(bodies) == ([b"1"] if desk.capabilities.deduplicates else [b"1", b"2"])
        assert {d.message.message_id for d in deliveries} == {"same"}
        await desk.complete(*deliveries)

    async def test_counts_follow_the_messages(self, desk: Desk) -> None:
        """Ready, delivered, scheduled and dead messages are told apart, where the provider counts at all."""
        provider = desk.provider
        if not isinstance(provider, CountsMessages):
            pytest.skip("this provider does not count")
        await desk.send(*(message(str(number).encode()) for number in range(4)))
        for delivery in await desk.several(2):
            if delivery.message.body == b"0":
                await desk.settle(SettleKind.DEAD_LETTER, delivery)

        counts = await provider.counts(desk.queue)

        assert (counts.active, counts.in_flight, counts.scheduled, counts.dead_letters) == (2, 1, 0, 1)

    async def test_an_expired_dead_letter_receipt_is_refused_unless_declared(self, desk: Desk) -> None:
        """Locks on dead letters end like any other."""
        await desk.send(message())
        await desk.settle(SettleKind.DEAD_LETTER, await desk.one())
        (buried,) = await desk.buried()
        await desk.lapse()

        complete = Settlement(SettleKind.COMPLETE, buried.receipt)
        (answer,) = await desk.provider.settle(desk.dead_letters, [complete])
        assert isinstance(answer, InvalidReceipt) or (answer is None and desk.capabilities.late_complete)
