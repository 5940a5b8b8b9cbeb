"""The promises about order inside a session, for queues that are received from without a session lock."""

# ruff: noqa: N802, S101 - tests carry the numbers of what they prove, and they assert

from __future__ import annotations

from queue_runtime.providers.conformance_harness import A, B, Desk, message, needs
from queue_runtime.providers.errors import InvalidReceipt, RequiredField, SessionLockLost
from queue_runtime.providers.message import Delivery, Message
from queue_runtime.providers.port import SettleKind

__all__ = ["OrderPromises"]


class OrderPromises:
    """Order, as far as it is declared; and no more blocking than is declared."""

    @needs("ordered")
    async def test_L07_messages_of_a_session_arrive_in_the_order_sent(self, desk: Desk) -> None:
        """Without faults, one message after the other comes in order, each later than the one before."""
        bodies = [str(number).encode() for number in range(20)]
        await desk.send(*(message(body) for body in bodies))

        received: list[Delivery] = []
        for _ in bodies:
            delivery = await desk.one()
            await desk.complete(delivery)
            received.append(delivery)

        assert [d.message.body for d in received] == bodies
        sequences = [d.sequence for d in received if d.sequence is not None]
        assert sequences == sorted(sequences)

    async def test_L08_a_message_in_flight_blocks_the_later_ones_of_its_session_where_declared(
        self, desk: Desk
    ) -> None:
        """Where groups are ordered nothing behind a delivery comes before it is settled; elsewhere it does."""
        await desk.send(message(b"1"), message(b"2"))
        first = await desk.one()

        if desk.capabilities.ordered_groups:
            await desk.nothing()
            await desk.complete(first)
        assert (await desk.one()).message.body == b"2"

    @needs("ordered_groups")
    async def test_L07_L08_other_sessions_are_not_blocked(self, desk: Desk) -> None:
        """A message in flight holds back its own session alone."""
        await desk.send(message(b"a1"), message(b"a2"), message(b"b1", session_id=B))

        first, other = await desk.one(), await desk.one()

        assert (first.message.body, other.message.body) == (b"a1", b"b1")

    @needs("ordered_groups", "native_sessions")
    async def test_C22_an_abandoned_message_returns_to_the_head_of_its_session(self, desk: Desk) -> None:
        """What is given back comes again before anything behind it."""
        await desk.send(message(b"1"), message(b"2"))
        await desk.abandon(await desk.one())

        again = await desk.one()
        await desk.complete(again)

        assert (again.message.body, again.delivery_count) == (b"1", 2)
        assert (await desk.one()).message.body == b"2"

    @needs("ordered_groups", "native_sessions")
    async def test_released_from_tail_to_head_a_batch_returns_in_order(self, desk: Desk) -> None:
        """Three messages of a session given back last first are delivered again first first."""
        await desk.send(*(message(body) for body in (b"1", b"2", b"3", b"4")))
        batch = await desk.several(3)
        for delivery in reversed(batch):
            await desk.abandon(delivery)

        again = await desk.several(3)

        assert [d.message.body for d in batch] == [d.message.body for d in again] == [b"1", b"2", b"3"]

    @needs("ordered_groups")
    async def test_a_released_head_is_delivered_while_later_ones_are_in_flight(self, desk: Desk) -> None:
        """A delivery blocks only what comes after it: its own predecessor it does not."""
        await desk.send(message(b"1"), message(b"2"), message(b"3"))
        first, _second = await desk.several(2)
        await desk.abandon(first)

        assert (await desk.one()).message.body == b"1"
        await desk.nothing()

    @needs("ordered_groups")
    async def test_renewing_one_of_a_session_does_not_keep_the_others(self, desk: Desk) -> None:
        """When the rest expires, what comes before the renewed message returns and what comes after stays hidden."""
        await desk.send(*(message(body) for body in (b"1", b"2", b"3")))
        _first, second, third = await desk.several(3)
        await desk.harness.pass_time(desk.capabilities.lock_s * 0.6)
        await desk.renew(second.receipt)
        await desk.harness.pass_time(desk.capabilities.lock_s * 0.6)

        assert [d.message.body for d in await desk.several(3)] == [b"1"]
        (refused,) = await desk.settle(SettleKind.COMPLETE, third)
        assert isinstance(refused, InvalidReceipt)
        await desk.complete(second)

    async def test_C32_sends_of_a_session_are_numbered_where_declared(self, desk: Desk) -> None:
        """Where senders stand in for the broker's order each message says which one it is; elsewhere none does."""
        await desk.send(message(b"1"), message(b"2", session_id=B), message(b"3"))
        await desk.send(message(b"4"))

        stamps = {d.message.body: d.stamp for d in await desk.several(4)}
        if not desk.capabilities.sender_order:
            assert not any(stamps.values())
            return
        (one, three, four) = (stamp for body in (b"1", b"3", b"4") if (stamp := stamps[body]) is not None)
        assert [stamp.number for stamp in (one, three, four)] == [1, 2, 3]
        assert len({(stamp.sender, stamp.epoch) for stamp in (one, three, four)}) == 1
        assert one.at < three.at < four.at
        other = stamps[b"2"]
        assert other is not None
        assert (other.sender, other.number) == (one.sender, 1)

    async def test_B49_a_message_without_a_session_is_refused_where_order_needs_one(self, desk: Desk) -> None:
        """A queue that orders by session takes no message without one; any other queue does."""
        (answer,) = await desk.provider.send(desk.queue, [Message(b"free")])

        if desk.capabilities.ordered_groups or desk.capabilities.native_sessions:
            assert isinstance(answer, RequiredField)
            assert answer.field == "session_id"
        else:
            assert (await desk.one()).message.session_id is None

    async def test_K26_a_session_that_drained_starts_afresh(self, desk: Desk) -> None:
        """Nothing of a session that became empty holds back what is sent to it later."""
        for body in (b"1", b"2", b"3"):
            await desk.send(message(body, session_id=A))
            delivery = await desk.one()
            await desk.complete(delivery)
            assert delivery.message.body == body

    @needs("ordered_groups", "native_sessions")
    async def test_K02_locks_that_end_together_return_in_order(self, desk: Desk) -> None:
        """A consumer that died with several messages of a session costs them time, not their order."""
        await desk.send(*(message(body) for body in (b"1", b"2", b"3")))
        lost = await desk.several(3)
        await desk.lapse()

        (late,) = await desk.settle(SettleKind.COMPLETE, lost[0])
        assert isinstance(late, (InvalidReceipt, SessionLockLost))
        again = await desk.several(3)
        assert [(d.message.body, d.delivery_count) for d in again] == [(b"1", 2), (b"2", 2), (b"3", 2)]
