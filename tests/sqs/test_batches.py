"""Batches, polls and receipts, against the service's recorded rules and its faults."""

import asyncio

import pytest

from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.errors import (
    ConfigurationError,
    ConnectionFailed,
    InvalidReceipt,
    ProviderClosed,
    ProviderError,
    QueueError,
    QueueNotFound,
    UnsupportedOperation,
)
from queue_runtime.providers.message import Delivery, Message
from queue_runtime.providers.port import Address, Sent, SettleKind, Settlement
from queue_runtime.providers.sqs import SqsProvider
from tests.sqs.servers import LOCK_S
from tests.sqs.strict import Fault, StrictServer
from tests.sqs.test_wire import Rig, rig

GONE = Fault("InternalError", items=frozenset({0}))


def texts(*numbers: int) -> list[Message]:
    return [Message(str(number).encode(), session_id="s") for number in numbers]


async def take(desk: Rig, count: int, wait_s: float = 1) -> list[Delivery]:
    return await desk.provider.receive(desk.source, count, wait_s)


async def test_B21_batches_are_cut_by_number_and_by_bytes(strict: StrictServer) -> None:
    """No call has more than ten items, nor more bytes than a call may have; answers come in the order asked."""
    desk = await rig(strict)
    provider = SqsProvider(desk.harness.settings(max_message_bytes=190_000), strict.clock)
    await provider.open()
    messages = [Message(b"x" * 180_000, message_id=f"m{number}") for number in range(12)]

    answers = await provider.send(desk.queue, messages)

    assert [answer.message_id for answer in answers if isinstance(answer, Sent)] == [m.message_id for m in messages]
    assert sorted(len(call["Entries"]) for call in strict.calls("SendMessageBatch")) == [2, 5, 5]
    await provider.close()
    await desk.provider.close()


async def test_B19_only_what_failed_is_sent_again(strict: StrictServer) -> None:
    """An item that failed and may pass is repeated alone."""
    desk = await rig(strict)
    strict.fail("SendMessageBatch", Fault(items=frozenset({1})))

    answers = await desk.provider.send(desk.queue, texts(0, 1, 2))

    assert all(isinstance(answer, Sent) for answer in answers)
    assert [[e["MessageBody"] for e in call["Entries"]] for call in strict.calls("SendMessageBatch")] == [
        ["0", "1", "2"],
        ["1"],
    ]
    await desk.provider.close()


async def test_a_fifo_message_that_was_overtaken_is_not_sent_again(strict: StrictServer) -> None:
    """A message behind which its group has gone on would come out of order: its sender decides."""
    desk = await rig(strict, is_fifo=True)
    strict.fail("SendMessageBatch", GONE)

    first, second = await desk.provider.send(desk.queue, texts(0, 1))

    assert isinstance(first, ProviderError)
    assert first.transient
    assert isinstance(second, Sent)
    await desk.provider.close()


async def test_a_fifo_group_waits_for_its_message_that_fails(strict: StrictServer) -> None:
    """What comes in a later call is not sent past a message of its group that may yet be sent; other groups are."""
    desk = await rig(strict, is_fifo=True)
    strict.fail("SendMessageBatch", *[Fault(items=frozenset({0}))] * 3)
    others = [Message(str(number).encode(), session_id="other") for number in range(9)]

    answers = await desk.provider.send(desk.queue, [*texts(0), *others, *texts(1), Message(b"x", session_id="other")])

    assert [isinstance(answer, Sent) for answer in answers] == [False, *[True] * 9, False, True]
    await desk.provider.close()


async def test_B17_a_send_that_is_repeated_is_one_message(strict: StrictServer) -> None:
    """After a lost answer the SDK sends again, under the same deduplication id: a FIFO queue has it once."""
    desk = await rig(strict, is_fifo=True)
    strict.fail("SendMessageBatch", Fault(is_lost=True))

    (answer,) = await desk.provider.send(desk.queue, texts(0))

    assert isinstance(answer, Sent)
    assert len(strict.calls("SendMessageBatch")) == 2
    assert len(await take(desk, 10)) == 1
    await desk.provider.close()


async def test_B42_settlements_go_in_batches_and_one_bad_item_costs_nothing(strict: StrictServer) -> None:
    """Twelve completions are two calls; the one that fails for the moment is the only one to be tried again."""
    desk = await rig(strict)
    await desk.provider.send(desk.queue, texts(*range(12)))
    deliveries = await take(desk, 10) + await take(desk, 10)
    settlements = [Settlement(SettleKind.COMPLETE, delivery.receipt) for delivery in deliveries]
    strict.fail("DeleteMessageBatch", GONE)

    answers = await desk.provider.settle(desk.source, settlements)

    failed = [number for number, answer in enumerate(answers) if answer is not None]
    assert len(failed) == 1
    assert await desk.provider.settle(desk.source, settlements) == [None] * 12
    assert [len(call["Entries"]) for call in strict.calls("DeleteMessageBatch")] == [10, 2, 1]
    await desk.provider.close()


async def test_B40_a_heartbeat_renews_a_group_in_one_call(strict: StrictServer) -> None:
    """All received messages of a group are extended together: one that lapsed would let its predecessors out."""
    desk = await rig(strict, is_fifo=True)
    await desk.provider.send(desk.queue, texts(*range(10)))
    deliveries = await take(desk, 10)

    ends = await desk.provider.renew(desk.source, [delivery.receipt for delivery in deliveries])

    assert all(isinstance(end, Timestamp) for end in ends)
    (call,) = strict.calls("ChangeMessageVisibilityBatch")
    assert len(call["Entries"]) == 10
    await desk.provider.close()


async def test_a_lock_ends_twelve_hours_after_its_receive(strict: StrictServer) -> None:
    """A renewal asks for no more than the service keeps, and one at the ceiling says that the lock is lost."""
    desk = await rig(strict)
    await desk.provider.send(desk.queue, texts(0))
    (delivery,) = await take(desk, 1)

    (longest,) = await desk.provider.renew(desk.source, [delivery.receipt], 50_000)
    await desk.harness.pass_time(43_195)
    (shorter,) = await desk.provider.renew(desk.source, [delivery.receipt], 60)
    await desk.harness.pass_time(4.5)
    (refused,) = await desk.provider.renew(desk.source, [delivery.receipt], 60)

    assert isinstance(longest, Timestamp)
    assert isinstance(shorter, Timestamp)
    assert shorter - delivery.delivered_at <= 43_200_000_000
    assert isinstance(refused, InvalidReceipt)
    await desk.provider.close()


@pytest.mark.parametrize("kind", [SettleKind.ABANDON, SettleKind.DEAD_LETTER])
async def test_B36_a_late_receipt_takes_nothing_from_whoever_holds_the_message(
    strict: StrictServer, kind: SettleKind
) -> None:
    """A standard queue would release or renew on a stale receipt: it is refused without a call."""
    desk = await rig(strict)
    await desk.provider.send(desk.queue, texts(0))
    (older,) = await take(desk, 1)
    await desk.harness.pass_time(LOCK_S + 1)
    (newer,) = await take(desk, 1)

    (refused,) = await desk.provider.settle(desk.source, [Settlement(kind, older.receipt, message=older.message)])
    (unrenewed,) = await desk.provider.renew(desk.source, [older.receipt])

    assert isinstance(refused, InvalidReceipt)
    assert isinstance(unrenewed, InvalidReceipt)
    assert strict.calls("ChangeMessageVisibilityBatch") == []
    assert await desk.provider.settle(desk.source, [Settlement(SettleKind.COMPLETE, newer.receipt)]) == [None]
    await desk.provider.close()


async def test_an_expired_fifo_receipt_is_refused_by_the_service_itself(strict: StrictServer) -> None:
    """Completing is always tried; what a FIFO queue says of an expired handle is InvalidReceipt."""
    desk = await rig(strict, is_fifo=True)
    await desk.provider.send(desk.queue, texts(0))
    (delivery,) = await take(desk, 1)
    await desk.harness.pass_time(LOCK_S + 1)

    (refused,) = await desk.provider.settle(desk.source, [Settlement(SettleKind.COMPLETE, delivery.receipt)])

    assert isinstance(refused, InvalidReceipt)
    assert len(strict.calls("DeleteMessageBatch")) == 1
    await desk.provider.close()


# --- polls -------------------------------------------------------------------------------------------------------


async def test_a_poll_that_is_cancelled_gives_back_what_it_brings(strict: StrictServer) -> None:
    """Nobody waits for the messages: a group comes again from its head, with its lock not waited for."""
    desk = await rig(strict, is_fifo=True)
    receiving = asyncio.ensure_future(take(desk, 10, 20))
    await desk.provider.capabilities(desk.queue)
    await strict.called("ReceiveMessage")
    receiving.cancel()
    await asyncio.wait({receiving})
    await desk.provider.send(desk.queue, texts(0, 1, 2))
    await strict.called("ChangeMessageVisibilityBatch")

    again = await take(desk, 10)

    assert [delivery.message.body for delivery in again] == [b"0", b"1", b"2"]
    (call,) = strict.calls("ChangeMessageVisibilityBatch")
    released = [entry["ReceiptHandle"] for entry in call["Entries"]]
    assert released == sorted(released, reverse=True)
    await desk.provider.close()


async def test_closing_waits_for_a_poll_and_gives_back_what_it_brings(strict: StrictServer) -> None:
    """A provider that closes while it polls leaves no message in flight behind it."""
    desk = await rig(strict)
    await desk.provider.capabilities(desk.queue)
    receiving = asyncio.ensure_future(take(desk, 10, 20))
    await strict.called("ReceiveMessage")
    closing = asyncio.ensure_future(desk.provider.close())
    await desk.harness.call(
        "SendMessageBatch",
        QueueUrl=f"{strict.url}/000000000000/{desk.queue}",
        Entries=[{"Id": "0", "MessageBody": "late"}],
    )
    await closing
    with pytest.raises(ProviderClosed):
        await receiving

    queue = strict.queues[desk.queue]
    assert [held.visible_at <= queue.now for held in queue.held] == [True]


async def test_a_backlog_is_drained_by_several_polls_and_an_idle_queue_is_asked_by_one(strict: StrictServer) -> None:
    """While answers are full more calls go side by side; when there is nothing one long poll is left."""
    desk = await rig(strict)
    await desk.provider.send(desk.queue, [Message(b"x") for _ in range(200)])

    sizes: list[int] = []
    while deliveries := await take(desk, 100, 0):
        sizes.append(len(deliveries))
    before = len(strict.calls("ReceiveMessage"))
    idle = await take(desk, 100, 1)

    assert sum(sizes) == 200
    assert max(sizes) > 30
    assert idle == []
    (poll,) = strict.calls("ReceiveMessage")[before:]
    assert poll["WaitTimeSeconds"] == 1
    await desk.provider.close()


async def test_B29_a_wait_below_a_second_is_kept(strict: StrictServer) -> None:
    """The service waits in whole seconds; a receive of 0.5 s looks now and then, and ends in time."""
    desk = await rig(strict)
    loop = asyncio.get_running_loop()
    await desk.provider.capabilities(desk.queue)
    started = loop.time()

    assert await take(desk, 1, 0.5) == []

    assert 0.4 < loop.time() - started < 5
    assert {call["WaitTimeSeconds"] for call in strict.calls("ReceiveMessage")} == {0}
    assert 2 <= len(strict.calls("ReceiveMessage")) <= 5
    await desk.provider.close()


async def test_a_poll_that_fails_costs_those_beside_it_nothing(strict: StrictServer) -> None:
    """Of several polls one is throttled: what the others brought is delivered."""
    desk = await rig(strict)
    await desk.provider.send(desk.queue, [Message(b"x") for _ in range(60)])
    assert len(await take(desk, 100)) == 10
    strict.fail("ReceiveMessage", Fault("RequestThrottled"))

    assert len(await take(desk, 100)) == 10
    await desk.provider.close()


# --- queues ------------------------------------------------------------------------------------------------------


async def test_a_queue_that_goes_is_missed_and_found_again(strict: StrictServer) -> None:
    """A queue that was deleted is QueueNotFound; made anew, it is asked for anew."""
    desk = await rig(strict)
    await desk.provider.capabilities(desk.queue)
    queue = strict.queues.pop(desk.queue)
    (refused,) = await desk.provider.send(desk.queue, texts(0))
    assert isinstance(refused, QueueNotFound)
    with pytest.raises(QueueNotFound):
        await desk.provider.send(desk.queue, texts(0))

    strict.queues[desk.queue] = queue
    assert isinstance((await desk.provider.send(desk.queue, texts(0)))[0], Sent)
    await desk.provider.close()


async def test_a_queue_is_reached_by_its_url_and_by_its_owner(strict: StrictServer) -> None:
    """A URL is used as it is, without asking; a name in another account is asked for with that account."""
    desk = await rig(strict)
    url = f"{strict.url}/000000000000/{desk.queue}"
    by_url = SqsProvider(desk.harness.settings(queue_urls={str(desk.queue): url}), strict.clock)
    by_owner = SqsProvider(desk.harness.settings(owner_account="111122223333"), strict.clock)
    for provider in (by_url, by_owner):
        await provider.open()
        await provider.capabilities(desk.queue)
        await provider.close()

    (call,) = strict.calls("GetQueueUrl")
    assert call == {"QueueName": desk.queue, "QueueOwnerAWSAccountId": "111122223333"}
    await desk.provider.close()


# --- dead letters and delays -------------------------------------------------------------------------------------


async def dead_letter(desk: Rig, delivery: Delivery) -> QueueError | None:
    settlement = Settlement(SettleKind.DEAD_LETTER, delivery.receipt, reason="bad", message=delivery.message)
    (answer,) = await desk.provider.settle(desk.source, [settlement])
    return answer


async def test_B39_a_dead_letter_that_cannot_be_sent_stays(strict: StrictServer) -> None:
    """Where no queue takes dead letters the settlement says what to set, and the message is not deleted."""
    desk = await rig(strict)
    desk.queue = await desk.harness.make(max_deliveries=None)
    desk.source = Address(desk.queue)
    await desk.provider.send(desk.queue, texts(0))
    (delivery,) = await take(desk, 1)

    refused = await dead_letter(desk, delivery)

    assert isinstance(refused, ConfigurationError)
    assert "QUEUE_SQS_DEAD_LETTER_QUEUE" in str(refused)
    assert strict.calls("DeleteMessageBatch") == []
    await desk.provider.close()


async def test_E7_a_dead_letter_is_deleted_only_when_its_copy_is_confirmed(strict: StrictServer) -> None:
    """A copy that the service refuses leaves the message; one whose deletion was lost is not copied twice on FIFO."""
    desk = await rig(strict, is_fifo=True)
    await desk.provider.send(desk.queue, texts(0))
    (delivery,) = await take(desk, 1)
    strict.fail("SendMessageBatch", Fault("AccessDenied"))
    assert await dead_letter(desk, delivery) is not None
    assert strict.calls("DeleteMessageBatch") == []
    strict.fail("DeleteMessageBatch", Fault(is_lost=True))
    assert isinstance(await dead_letter(desk, delivery), ConnectionFailed)

    assert await dead_letter(desk, delivery) is None

    buried = await desk.provider.receive(desk.dead_letters, 10, 1)
    assert [(d.message.body, d.message.session_id) for d in buried] == [(b"0", "s")]
    await desk.provider.close()


async def test_E7_the_settings_name_a_queue_where_no_policy_does(strict: StrictServer) -> None:
    """A queue without a redrive policy dead-letters to the queue of the settings."""
    desk = await rig(strict)
    desk.queue = await desk.harness.make(max_deliveries=None)
    grave = await desk.harness.make(max_deliveries=None)
    await desk.provider.close()
    desk.provider = SqsProvider(desk.harness.settings(dead_letter_queue=str(grave)), strict.clock)
    desk.source = Address(desk.queue)
    await desk.provider.open()
    await desk.provider.send(desk.queue, texts(0))
    (delivery,) = await take(desk, 1)

    assert await dead_letter(desk, delivery) is None
    assert [held.body for held in strict.queues[grave].held] == ["0"]
    await desk.provider.close()


async def test_a_dead_letter_without_its_message_is_refused(strict: StrictServer) -> None:
    """SQS is sent a copy, so there has to be something to copy."""
    desk = await rig(strict)
    await desk.provider.send(desk.queue, texts(0))
    (delivery,) = await take(desk, 1)

    (refused,) = await desk.provider.settle(desk.source, [Settlement(SettleKind.DEAD_LETTER, delivery.receipt)])

    assert isinstance(refused, UnsupportedOperation)
    await desk.provider.close()


async def test_B24_a_delay_beyond_the_services_is_refused(strict: StrictServer) -> None:
    """900 s are held by a standard queue, more are not, and a FIFO queue delays nothing."""
    desk, ordered = await rig(strict), await rig(strict, is_fifo=True)

    async def answer(on: Rig, after_s: float) -> Sent | QueueError:
        at = Timestamp(strict.clock.now() + round(after_s * 1_000_000))
        (given,) = await on.provider.send(on.queue, texts(0), at=at)
        return given

    assert isinstance(await answer(desk, 899), Sent)
    assert isinstance(await answer(desk, 910), UnsupportedOperation)
    assert isinstance(await answer(ordered, 5), UnsupportedOperation)
    assert isinstance(await answer(ordered, -5), Sent)
    await desk.provider.close()
    await ordered.provider.close()
