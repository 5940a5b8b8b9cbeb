"""The promises about locks and settlement."""

# ruff: noqa: N802, S101 - tests carry the numbers of what they prove, and they assert

from __future__ import annotations

import asyncio
from dataclasses import replace

from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.conformance_harness import Desk, message
from queue_runtime.providers.errors import InvalidReceipt, SessionLockLost, UnsupportedOperation
from queue_runtime.providers.message import Receipt
from queue_runtime.providers.port import SettleKind, Settlement

__all__ = ["SettlingPromises"]

LOST = (InvalidReceipt, SessionLockLost)


class SettlingPromises:
    """A receipt settles its own delivery while its lock lasts, and nothing else."""

    async def test_L05_a_completed_message_is_gone(self, desk: Desk) -> None:
        """Completing removes a message for good: no lock that ends brings it back."""
        await desk.send(message())
        await desk.complete(await desk.one())

        await desk.lapse()
        await desk.nothing()

    async def test_L05_completing_twice_is_harmless(self, desk: Desk) -> None:
        """A repeated settlement, after an answer that was lost, takes effect once and is no error."""
        await desk.send(message())
        delivery = await desk.one()
        await desk.complete(delivery)

        await desk.complete(delivery)
        await desk.nothing()

    async def test_L06_a_made_up_receipt_settles_nothing(self, desk: Desk) -> None:
        """A foreign receipt is refused by a digest of it, never by the token, and the queue is unchanged."""
        await desk.send(message())
        delivery = await desk.one()
        forged = replace(delivery, receipt=replace(delivery.receipt, handle="forged-handle"))

        for kind in (SettleKind.COMPLETE, SettleKind.ABANDON, SettleKind.DEAD_LETTER):
            (refused,) = await desk.settle(kind, forged)
            assert isinstance(refused, InvalidReceipt)
            assert "forged-handle" not in str(refused)
        await desk.complete(delivery)

    async def test_L20_settlements_are_answered_item_by_item(self, desk: Desk) -> None:
        """A bad receipt among good ones costs them nothing."""
        await desk.send(message(b"1"), message(b"2"))
        first, second = await desk.several(2)
        forged = replace(first, receipt=replace(first.receipt, handle="forged"))

        answers = await desk.settle(SettleKind.COMPLETE, first, forged, second)

        assert answers[0] is None
        assert isinstance(answers[1], InvalidReceipt)
        assert answers[2] is None

    async def test_B37_an_abandoned_message_returns_with_a_higher_count(self, desk: Desk) -> None:
        """Abandoning makes a message available at once, and its next delivery counts one more."""
        await desk.send(message(b"again", "m1"))
        first = await desk.one()
        await desk.abandon(first)

        second = await desk.one()

        assert (second.message.message_id, second.message.body) == ("m1", b"again")
        assert (first.delivery_count, second.delivery_count) == (1, 1 if desk.capabilities.uncounted_release else 2)
        assert second.receipt.handle != first.receipt.handle
        assert second.first_delivered_at == first.first_delivered_at

    async def test_an_abandoned_message_stays_hidden_for_its_delay(self, desk: Desk) -> None:
        """Where a delay is honoured the message is hidden for so long; elsewhere it returns at once."""
        await desk.send(message())
        delivery = await desk.one()
        settlement = Settlement(SettleKind.ABANDON, delivery.receipt, delay_s=5)
        assert await desk.provider.settle(desk.source, [settlement]) == [None]

        if desk.capabilities.abandon_delay:
            await desk.nothing()
            await desk.harness.pass_time(4)
            await desk.nothing()
            await desk.harness.pass_time(1.1)
        assert (await desk.one()).delivery_count == 2

    async def test_K03_L13_an_ended_lock_redelivers_under_a_new_receipt(self, desk: Desk) -> None:
        """When a lock ends, and not before, its message returns, counted once more."""
        await desk.send(message())
        first = await desk.one()
        await desk.harness.pass_time(desk.capabilities.lock_s * 0.5)
        await desk.nothing()
        await desk.lapse()

        second = await desk.one()
        assert second.delivery_count == 2
        assert second.receipt.handle != first.receipt.handle

    async def test_K03_L06_a_late_receipt_completes_nothing_unless_declared(self, desk: Desk) -> None:
        """After its lock ended a receipt is refused and its message returns; where declared it completes it still."""
        await desk.send(message())
        late = await desk.one()
        await desk.lapse()

        (answer,) = await desk.settle(SettleKind.COMPLETE, late)

        if desk.capabilities.late_complete:
            assert answer is None
            await desk.nothing()
        else:
            assert isinstance(answer, LOST)
            assert (await desk.one()).delivery_count == 2

    async def test_K02_only_the_newest_receipt_settles(self, desk: Desk) -> None:
        """Of several hand-overs of a message only the last can complete it; older receipts are refused, or ignored."""
        await desk.send(message())
        older = await desk.one()
        await desk.lapse()
        newest = await desk.one()

        (answer,) = await desk.settle(SettleKind.COMPLETE, older)

        # Standard SQS answers that it is done and does not promise it. Source: DeleteMessage in the API reference.
        assert isinstance(answer, LOST) or (answer is None and desk.capabilities.late_complete)
        await desk.complete(newest)
        await desk.lapse()
        await desk.nothing()

    async def test_K20_K21_B40_a_renewed_lock_keeps_its_message(self, desk: Desk) -> None:
        """Renewing moves the end of a lock to a full duration from now, as often as it is done."""
        await desk.send(message())
        delivery = await desk.one()
        receipt = delivery.receipt
        for _ in range(3):
            await desk.harness.pass_time(desk.capabilities.lock_s * 0.6)
            (end,) = await desk.renew(receipt)
            assert isinstance(end, Timestamp)
            assert end > receipt.expires_at
            receipt = replace(receipt, expires_at=end)
            await desk.nothing()

        await desk.complete(delivery)

    async def test_a_lock_lasts_as_long_as_it_was_asked_for_where_that_can_be_chosen(self, desk: Desk) -> None:
        """A renewal for twice the queue's duration holds that long; a broker that cannot says so and gives its own."""
        await desk.send(message())
        delivery = await desk.one()
        lock_s = desk.capabilities.lock_s
        (end,) = await desk.provider.renew(desk.source, [delivery.receipt], 2 * lock_s)
        assert isinstance(end, int)

        await desk.harness.pass_time(lock_s * 1.5)

        if desk.capabilities.variable_lock:
            await desk.nothing()
            await desk.complete(delivery)
        else:
            assert (await desk.one()).delivery_count == delivery.delivery_count + 1

    async def test_a_lost_lock_cannot_be_renewed(self, desk: Desk) -> None:
        """A lock that ended is not revived, and one in a batch does not cost the others theirs."""
        await desk.send(message(b"1"))
        lost = await desk.one()
        await desk.lapse()
        held = await desk.one()

        refused, end = await desk.renew(lost.receipt, held.receipt)

        assert isinstance(refused, LOST)
        assert isinstance(end, int)

    async def test_a_sibling_renews_from_another_threads_loop(self, desk: Desk) -> None:
        """Locks can be kept by a second provider on another thread, whatever this loop is doing."""
        await desk.send(message())
        delivery = await desk.one()
        await desk.harness.pass_time(desk.capabilities.lock_s * 0.6)
        sibling = desk.provider.sibling()

        async def renew() -> object:
            await sibling.open()
            (answer,) = await sibling.renew(desk.source, [delivery.receipt])
            await sibling.close()
            return answer

        assert isinstance(await asyncio.to_thread(asyncio.run, renew()), int)
        await desk.harness.pass_time(desk.capabilities.lock_s * 0.6)
        await desk.complete(delivery)

    async def test_B43_a_receipt_outlives_its_provider_as_declared(self, desk: Desk) -> None:
        """Where receipts survive a restart, another provider settles with one that was only written down."""
        await desk.send(message())
        receipt = (await desk.one()).receipt
        kept = Receipt(receipt.handle, receipt.provider_id, receipt.expires_at, receipt.provider)
        other = await desk.harness.open()

        (answer,) = await other.settle(desk.source, [Settlement(SettleKind.COMPLETE, kept)])
        await other.close()

        assert (answer is None) == desk.capabilities.receipts_survive_restart

    async def test_L38_setting_aside_is_refused_where_it_is_not_offered(self, desk: Desk) -> None:
        """A queue that declares no deferral answers so, and the delivery stays good; elsewhere it is set aside."""
        await desk.send(message())
        delivery = await desk.one()

        (answer,) = await desk.settle(SettleKind.DEFER, delivery)

        if desk.capabilities.defer:
            assert answer is None
            await desk.lapse()
            await desk.nothing()
        else:
            assert isinstance(answer, UnsupportedOperation)
            await desk.complete(delivery)
