"""The rules of SQS that no local SQS server keeps, kept by the in-memory broker; each with its source.

R: recorded against AWS and published in LocalStack's snapshot tests, under the name that is given. D: AWS's own service
model and guide. What the public suite shows for every provider (a message in flight blocks those behind it alone, a
released head comes again at once, an extended message keeps those behind it hidden, an oversize entry fails alone) is
shown there: tests/conformance runs it on a FIFO queue of this broker.
"""

from dataclasses import replace

import pytest

from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.errors import ConfigurationError, InvalidReceipt
from queue_runtime.providers.memory import MemoryBroker, MemoryProvider, QueueKind, QueueSettings
from queue_runtime.providers.message import Delivery, Message, QueueName
from queue_runtime.providers.port import Address, SettleKind, Settlement
from tests.providers.fake_clock import FakeClock

QUEUE = Address(QueueName("q"))
BURIED = Address(QueueName("q"), dead_letters=True)
FIFO = QueueSettings(kind=QueueKind.FIFO)
LATE = QueueSettings(late_receipts=True)
FOREVER = Timestamp(2**60)


class Shop:
    """One queue, one provider, and a clock that the test moves."""

    def __init__(self, settings: QueueSettings) -> None:
        self.clock = FakeClock()
        self.broker = MemoryBroker({"q": settings}, clock=self.clock)
        self.provider = MemoryProvider(self.broker)

    async def send(self, *messages: Message) -> None:
        await self.provider.open()
        for answer in await self.provider.send(QUEUE.queue, messages):
            assert not isinstance(answer, Exception), answer

    async def take(self, count: int = 1, source: Address = QUEUE) -> list[Delivery]:
        return await self.provider.receive(source, count, 0)

    async def complete(self, delivery: Delivery) -> object:
        (answer,) = await self.provider.settle(QUEUE, [Settlement(SettleKind.COMPLETE, delivery.receipt)])
        return answer

    async def renew(self, delivery: Delivery, *, claimed_end: Timestamp | None = None) -> object:
        receipt = delivery.receipt if claimed_end is None else replace(delivery.receipt, expires_at=claimed_end)
        (answer,) = await self.provider.renew(QUEUE, [receipt])
        return answer

    @property
    def bodies(self) -> list[bytes]:
        return [message.body for message in self.broker.messages("q")]


def of(session: str, body: bytes, deduplication_id: str | None = None) -> Message:
    return Message(body, session_id=session, deduplication_id=deduplication_id)


async def test_a_fifo_receipt_ends_with_its_lock() -> None:
    """Deleting after the time-out is refused, and the message comes again (R: test_fifo_delete_message_with_*)."""
    shop = Shop(FIFO)
    await shop.send(of("g", b"1"))
    (late,) = await shop.take()
    await shop.clock.advance(31)

    assert isinstance(await shop.complete(late), InvalidReceipt)
    assert isinstance(await shop.renew(late, claimed_end=FOREVER), InvalidReceipt)
    assert [d.delivery_count for d in await shop.take()] == [2]


async def test_a_standard_receipt_deletes_after_its_lock() -> None:
    """The message is gone although it was visible again (R: deleting after the visibility time-out)."""
    shop = Shop(LATE)
    await shop.send(of("g", b"1"), of("g", b"2"))
    late, _ = await shop.take(2)
    await shop.clock.advance(31)

    assert await shop.complete(late) is None
    assert await shop.complete(late) is None
    assert [d.message.body for d in await shop.take(5)] == [b"2"]


async def test_a_standard_receipt_is_worth_nothing_once_its_message_was_delivered_again() -> None:
    """Only the newest of two receipts completes (D: DeleteMessage wants the most recent receipt handle)."""
    shop = Shop(LATE)
    await shop.send(of("g", b"1"))
    (late,) = await shop.take()
    await shop.clock.advance(31)
    (newest,) = await shop.take()

    for _ in ("while the newest is locked", "after that"):
        assert isinstance(await shop.complete(late), InvalidReceipt)
        assert isinstance(await shop.renew(late, claimed_end=FOREVER), InvalidReceipt)
        assert shop.bodies == [b"1"]
        await shop.clock.advance(31)
    assert await shop.complete(newest) is None
    assert shop.bodies == []


async def test_a_standard_receipt_is_renewed_after_its_lock() -> None:
    """The broker hides the message again (R: test_change_message_visibility_after_visibility_timeout_expiration)."""
    shop = Shop(LATE)
    await shop.send(of("g", b"1"))
    (late,) = await shop.take()
    await shop.clock.advance(31)

    assert await shop.renew(late, claimed_end=FOREVER) == shop.clock.now() + 30_000_000
    assert await shop.take() == []
    await shop.clock.advance(29)
    assert await shop.complete(late) is None
    assert shop.bodies == []


async def test_a_message_that_was_hidden_late_comes_once_when_that_ends() -> None:
    """However often its lock ends and is revived it is one message, delivered to one receiver at a time."""
    shop = Shop(LATE)
    await shop.send(of("g", b"1"))
    (late,) = await shop.take()
    for _ in range(3):
        await shop.clock.advance(31)
        await shop.renew(late, claimed_end=FOREVER)
    await shop.clock.advance(31)

    assert [d.delivery_count for d in await shop.take(5)] == [2]
    assert await shop.take(5) == []


async def test_the_provider_does_not_believe_in_late_renewals() -> None:
    """What the broker would grant is refused by the receipt's own end: nothing else proves that it was held."""
    shop = Shop(LATE)
    await shop.send(of("g", b"1"))
    (late,) = await shop.take()
    await shop.clock.advance(30)

    assert isinstance(await shop.renew(late), InvalidReceipt)
    assert [d.delivery_count for d in await shop.take()] == [2]


async def test_nothing_is_renewed_after_its_deletion() -> None:
    """Not even where late receipts count (R: "Message does not exist or is not available for...")."""
    shop = Shop(LATE)
    await shop.send(of("g", b"1"))
    (delivery,) = await shop.take()
    await shop.complete(delivery)

    assert isinstance(await shop.renew(delivery), InvalidReceipt)
    assert shop.bodies == []


@pytest.mark.parametrize("kind", [QueueKind.FIFO, QueueKind.SESSIONS])
def test_late_receipts_are_for_standard_queues(kind: QueueKind) -> None:
    """A queue whose receipts end with their locks is not made to promise more."""
    with pytest.raises(ConfigurationError, match="late_receipts"):
        QueueSettings(kind=kind, late_receipts=True)


async def test_duplicates_are_of_the_whole_queue() -> None:
    """One id in two groups is sent once (R: test_fifo_deduplication_not_on_message_group_id)."""
    shop = Shop(FIFO)
    await shop.send(of("g1", b"1", "same"), of("g2", b"2", "same"))

    assert shop.bodies == [b"1"]


async def test_duplicates_are_of_their_group_where_the_queue_says_so() -> None:
    """One id in two groups is two messages, and twice in one group one (D: DeduplicationScope=messageGroup)."""
    shop = Shop(replace(FIFO, duplicates_per_session=True))
    await shop.send(of("g1", b"1", "same"), of("g2", b"2", "same"), of("g1", b"3", "same"))

    assert shop.bodies == [b"1", b"2"]


async def test_a_fifo_window_is_five_minutes_from_the_first_send() -> None:
    """Neither deletion ends it nor a duplicate extends it (R: test_fifo_deduplication_arrives_once_after_delete)."""
    shop = Shop(FIFO)
    await shop.send(of("g", b"1", "same"))
    for delivery in await shop.take():
        await shop.complete(delivery)
    await shop.clock.advance(299)
    await shop.send(of("g", b"2", "same"))
    assert shop.bodies == []
    await shop.clock.advance(1)
    await shop.send(of("g", b"3", "same"))

    assert shop.bodies == [b"3"]


async def test_the_receive_that_would_be_one_too_many_moves_the_message() -> None:
    """Until then it is in its queue; it keeps its id (R: test_message_groups_with_dead_letter_queue_and_fifo)."""
    shop = Shop(replace(FIFO, max_deliveries=2))
    await shop.send(of("g", b"poison"), of("g", b"next"))
    ids: set[str] = set()
    for _ in range(2):
        (delivery,) = await shop.take()
        ids.add(delivery.receipt.provider_id)
        await shop.clock.advance(31)
    assert shop.bodies == [b"poison", b"next"]

    assert [d.message.body for d in await shop.take()] == [b"next"]
    (buried,) = await shop.take(source=BURIED)
    assert {buried.receipt.provider_id} == ids
