"""The in-memory broker's own knobs: what the conformance suite cannot ask of every provider."""

import asyncio
import time
from dataclasses import replace
from datetime import timedelta

import pytest

from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.errors import ConfigurationError, MessageNotFound, QueueFull, SessionNotFound
from queue_runtime.providers.memory import MemoryBroker, MemoryProvider, QueueKind, QueueSettings
from queue_runtime.providers.memory.queue import EXPIRED, TOO_MANY_DELIVERIES
from queue_runtime.providers.message import Delivery, Message, QueueName, SessionId
from queue_runtime.providers.port import Address, QueueCounts, Sent, SettleKind, Settlement
from tests.providers.fake_clock import FakeClock

PULLS = Address(QueueName("pulls"))
BURIED = Address(QueueName("pulls"), dead_letters=True)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


async def provider_with(settings: QueueSettings, clock: FakeClock) -> tuple[MemoryBroker, MemoryProvider]:
    broker = MemoryBroker({"pulls": settings}, clock=clock)
    provider = MemoryProvider(broker)
    await provider.open()
    return broker, provider


async def take(provider: MemoryProvider, count: int = 1, source: Address = PULLS) -> list[Delivery]:
    return await provider.receive(source, count, 0)


async def settle(provider: MemoryProvider, kind: SettleKind, *deliveries: Delivery) -> list[object]:
    return list(await provider.settle(PULLS, [Settlement(kind, d.receipt) for d in deliveries]))


async def test_the_duplicate_window_counts_from_the_first_send_and_outlives_the_message(clock: FakeClock) -> None:
    """Duplicates do not extend the window, completion does not end it, and the answer names the original."""
    broker, provider = await provider_with(QueueSettings(duplicate_window_s=60), clock)
    (first,) = await provider.send(PULLS.queue, [Message(b"1", message_id="same")])
    await settle(provider, SettleKind.COMPLETE, *await take(provider))
    await clock.advance(40)
    (second,) = await provider.send(PULLS.queue, [Message(b"2", message_id="same")])
    assert isinstance(first, Sent)
    assert isinstance(second, Sent)
    assert second.provider_id == first.provider_id
    assert broker.messages("pulls") == []

    await clock.advance(20)
    await provider.send(PULLS.queue, [Message(b"3", message_id="same")])
    assert [message.body for message in broker.messages("pulls")] == [b"3"]


async def test_b49_a_fifo_queue_deduplicates_for_five_minutes_by_message_id(clock: FakeClock) -> None:
    """An honest repetition is dropped; two messages with equal bodies are not."""
    broker, provider = await provider_with(QueueSettings(kind=QueueKind.FIFO), clock)
    message = Message(b"same body", session_id="s")
    await provider.send(PULLS.queue, [message, message, Message(b"same body", session_id="s")])
    assert len(broker.messages("pulls")) == 2

    await clock.advance(301)
    await provider.send(PULLS.queue, [message])
    assert len(broker.messages("pulls")) == 3


async def test_an_expired_message_is_dropped_where_the_queue_says_so(clock: FakeClock) -> None:
    """Without dead-lettering, and with the queue's own time to live, nothing of it is left."""
    settings = QueueSettings(default_ttl_s=5, dead_letter_expired=False)
    broker, provider = await provider_with(settings, clock)
    await provider.send(PULLS.queue, [Message(b"x"), Message(b"y", time_to_live=timedelta(seconds=50))])
    await clock.advance(5)

    assert [message.body for message in broker.messages("pulls")] == [b"y"]
    assert broker.counts("pulls").dead_letters == 0


async def test_an_expired_message_says_so_among_the_dead_letters(clock: FakeClock) -> None:
    """The reason is the queue's own, and the instant of sending is kept."""
    _, provider = await provider_with(QueueSettings(), clock)
    sent_at = clock.now()
    await provider.send(PULLS.queue, [Message(b"x", time_to_live=timedelta(seconds=5))])
    await clock.advance(9)

    (buried,) = await take(provider, source=BURIED)
    assert buried.dead_letter is not None
    assert buried.dead_letter.reason == EXPIRED
    assert buried.enqueued_at == sent_at


async def test_a_hidden_message_expires_like_any_other(clock: FakeClock) -> None:
    """A delay that is longer than the time to live delivers nothing."""
    broker, provider = await provider_with(QueueSettings(), clock)
    await provider.send(PULLS.queue, [Message(b"x", time_to_live=timedelta(seconds=5))])
    (delivery,) = await take(provider)
    await provider.settle(PULLS, [Settlement(SettleKind.ABANDON, delivery.receipt, delay_s=20)])
    await clock.advance(21)

    assert await take(provider) == []
    assert broker.counts("pulls") == QueueCounts(0, 0, 0, 1)


async def test_e3_a_dead_letter_says_how_often_it_was_delivered(clock: FakeClock) -> None:
    """The count that made it one is kept with it."""
    _, provider = await provider_with(QueueSettings(max_deliveries=2), clock)
    await provider.send(PULLS.queue, [Message(b"x")])
    for _ in range(2):
        await settle(provider, SettleKind.ABANDON, *await take(provider))
    assert await take(provider) == []

    (buried,) = await take(provider, source=BURIED)
    assert buried.dead_letter is not None
    assert (buried.dead_letter.reason, buried.dead_letter.delivery_count) == (TOO_MANY_DELIVERIES, 2)


async def test_a_dead_lettered_head_lets_its_session_go_on(clock: FakeClock) -> None:
    """In a FIFO queue the message behind a poisoned one comes in the very receive that buries it."""
    _, provider = await provider_with(QueueSettings(kind=QueueKind.FIFO, max_deliveries=1), clock)
    await provider.send(PULLS.queue, [Message(b"poison", session_id="s"), Message(b"next", session_id="s")])
    await settle(provider, SettleKind.ABANDON, *await take(provider))

    (delivery,) = await take(provider)
    assert delivery.message.body == b"next"


async def test_a_queue_refuses_sends_beyond_its_bound(clock: FakeClock) -> None:
    """Messages in flight count; completing one makes room."""
    _, provider = await provider_with(QueueSettings(max_messages=1), clock)
    _, refused = await provider.send(PULLS.queue, [Message(b"1"), Message(b"2")])
    assert isinstance(refused, QueueFull)
    deliveries = await take(provider)
    (still,) = await provider.send(PULLS.queue, [Message(b"2")])
    assert isinstance(still, QueueFull)
    await settle(provider, SettleKind.COMPLETE, *deliveries)

    (answer,) = await provider.send(PULLS.queue, [Message(b"2")])
    assert isinstance(answer, Sent)


async def test_K14_full_dead_letters_keep_the_message_where_it_is(clock: FakeClock) -> None:
    """Dead-lettering fails, the receipt stays good, and nothing is lost."""
    broker, provider = await provider_with(QueueSettings(max_messages=1), clock)
    await provider.send(PULLS.queue, [Message(b"1")])
    await settle(provider, SettleKind.DEAD_LETTER, *await take(provider))
    await provider.send(PULLS.queue, [Message(b"2")])
    deliveries = await take(provider)

    (refused,) = await settle(provider, SettleKind.DEAD_LETTER, *deliveries)

    assert isinstance(refused, QueueFull)
    assert broker.counts("pulls") == QueueCounts(0, 1, 0, 1)
    assert await settle(provider, SettleKind.COMPLETE, *deliveries) == [None]


async def test_a_delayed_head_holds_its_group_back(clock: FakeClock) -> None:
    """In a FIFO queue order is kept while an abandoned message waits for its delay."""
    _, provider = await provider_with(QueueSettings(kind=QueueKind.FIFO), clock)
    await provider.send(PULLS.queue, [Message(b"1", session_id="s"), Message(b"2", session_id="s")])
    (first,) = await take(provider)
    await provider.settle(PULLS, [Settlement(SettleKind.ABANDON, first.receipt, delay_s=10)])
    assert await take(provider, 5) == []
    await clock.advance(10)

    assert [d.message.body for d in await take(provider, 5)] == [b"1", b"2"]


async def test_a_delayed_head_holds_its_session_back(clock: FakeClock) -> None:
    """So it is for the holder of a session, and for who would accept the next one."""
    _, provider = await provider_with(QueueSettings(kind=QueueKind.SESSIONS), clock)
    await provider.send(PULLS.queue, [Message(b"1", session_id="s"), Message(b"2", session_id="s")])
    held = await provider.accept_session(PULLS.queue, SessionId("s"), 0)
    assert held is not None
    (first,) = await held.receive(1, 0)
    await provider.settle(PULLS, [Settlement(SettleKind.ABANDON, first.receipt, delay_s=10)])
    assert await held.receive(5, 0) == []
    await held.close()
    assert await provider.accept_session(PULLS.queue, None, 0) is None
    await clock.advance(10)

    again = await provider.accept_session(PULLS.queue, None, 0)
    assert again is not None
    assert [d.message.body for d in await again.receive(5, 0)] == [b"1", b"2"]


async def test_scheduled_messages_take_their_place_when_they_are_due(clock: FakeClock) -> None:
    """What is due later comes after what was sent meanwhile."""
    _, provider = await provider_with(QueueSettings(kind=QueueKind.FIFO), clock)
    due = Timestamp(clock.now() + 5_000_000)
    await provider.send(PULLS.queue, [Message(b"due", session_id="s")], at=due)
    await provider.send(PULLS.queue, [Message(b"now", session_id="s")])
    await clock.advance(5)

    assert [d.message.body for d in await take(provider, 5)] == [b"now", b"due"]


async def test_unknown_queues_are_made_only_on_request(clock: FakeClock) -> None:
    """With `auto_create` a first send makes the queue, under the rules that it brings."""
    broker = MemoryBroker(clock=clock, auto_create=QueueSettings(lock_s=7))
    provider = MemoryProvider(broker)
    await provider.open()
    await provider.send(QueueName("new"), [Message(b"x")])

    assert (await provider.capabilities(QueueName("new"))).lock_s == 7


def test_a_queue_is_made_once() -> None:
    """A second one of the name would hide the first."""
    broker = MemoryBroker({"pulls": QueueSettings()})
    with pytest.raises(ConfigurationError, match="'pulls' exists"):
        broker.create_queue("pulls")


@pytest.mark.parametrize("setting", ["lock_s", "session_lock_s", "max_deliveries", "max_message_bytes", "max_messages"])
def test_settings_that_deliver_nothing_are_refused(setting: str) -> None:
    """The setting is named."""
    with pytest.raises(ConfigurationError, match=setting):
        replace(QueueSettings(), **{setting: 0})


async def test_a_lock_can_be_lost_on_purpose(clock: FakeClock) -> None:
    """Tests end one message's lock at any moment; what nobody holds cannot be lost."""
    broker, provider = await provider_with(QueueSettings(), clock)
    await provider.send(PULLS.queue, [Message(b"x", message_id="m1")])
    with pytest.raises(MessageNotFound):
        broker.lose_lock("pulls", "m1")
    await take(provider)
    broker.lose_lock("pulls", "m1")

    (again,) = await take(provider)
    assert again.delivery_count == 2
    with pytest.raises(SessionNotFound):
        broker.lose_session("pulls", "s")


async def test_locks_renewed_for_different_times_end_each_at_its_own(clock: FakeClock) -> None:
    """A long lock hides no shorter one behind it, and a renewal for the usual time ends the exception."""
    _, provider = await provider_with(QueueSettings(lock_s=30), clock)
    await provider.send(PULLS.queue, [Message(body) for body in (b"long", b"short", b"usual")])
    long, short, usual = await take(provider, 3)
    await provider.renew(PULLS, [long.receipt], for_s=100)
    await provider.renew(PULLS, [short.receipt, usual.receipt], for_s=5)
    await provider.renew(PULLS, [usual.receipt])

    ended: dict[bytes, int] = {}
    for second in range(1, 102):
        await clock.advance(1)
        for delivery in await take(provider, 3):
            ended[delivery.message.body] = second
            await settle(provider, SettleKind.COMPLETE, delivery)

    assert ended == {b"short": 5, b"usual": 30, b"long": 100}


async def test_L13_who_waits_gets_a_message_the_instant_its_lock_ends(clock: FakeClock) -> None:
    """A receive that waits is woken by an expiry as it is by a send: no sooner and no later."""
    for kind in (QueueKind.STANDARD, QueueKind.FIFO):
        _, provider = await provider_with(QueueSettings(kind=kind, lock_s=30), clock)
        await provider.send(PULLS.queue, [Message(b"x", session_id="s")])
        (first,) = await take(provider)
        waiting = asyncio.ensure_future(provider.receive(PULLS, 1, 100))
        await clock.advance(29.999)
        assert not waiting.done()
        await clock.advance(0.001)

        (again,) = await waiting
        assert again.delivered_at == first.receipt.expires_at


async def test_K01_L04_a_receive_keeps_its_time_out_by_the_systems_clock() -> None:
    """It returns within 100 ms of the time asked for, and takes no processor time meanwhile."""
    provider = MemoryProvider(MemoryBroker({"pulls": QueueSettings()}))
    await provider.open()
    loop = asyncio.get_running_loop()
    started, worked = loop.time(), time.process_time()

    assert await provider.receive(PULLS, 1, 0.25) == []

    assert 0.25 <= loop.time() - started <= 0.35
    assert time.process_time() - worked < 0.1


async def test_two_brokers_share_nothing(clock: FakeClock) -> None:
    """State is the broker's own: as many as one likes in a process."""
    one, provider = await provider_with(QueueSettings(), clock)
    other, _ = await provider_with(QueueSettings(), clock)
    await provider.send(PULLS.queue, [Message(b"x")])

    assert len(one.messages("pulls")) == 1
    assert other.messages("pulls") == []


async def test_b7_threads_with_loops_of_their_own_share_a_broker() -> None:
    """Four threads that send and four that receive lose nothing and deliver nothing twice."""
    broker = MemoryBroker({"pulls": QueueSettings()})
    total, senders = 800, 4

    async def send(part: int) -> None:
        provider = MemoryProvider(broker)
        await provider.open()
        for number in range(part, total, senders):
            await provider.send(PULLS.queue, [Message(str(number).encode())])
        await provider.close()

    async def receive() -> list[bytes]:
        provider = MemoryProvider(broker)
        await provider.open()
        bodies: list[bytes] = []
        while len(bodies) < total // senders:
            deliveries = await provider.receive(PULLS, min(10, total // senders - len(bodies)), 20)
            bodies += [d.message.body for d in deliveries]
            await settle(provider, SettleKind.COMPLETE, *deliveries)
        await provider.close()
        return bodies

    receiving = [asyncio.ensure_future(asyncio.to_thread(asyncio.run, receive())) for _ in range(senders)]
    await asyncio.gather(*(asyncio.to_thread(asyncio.run, send(part)) for part in range(senders)))
    received = [body for bodies in await asyncio.gather(*receiving) for body in bodies]

    assert sorted(received) == sorted(str(number).encode() for number in range(total))
    assert broker.counts("pulls") == QueueCounts(0, 0, 0, 0)
