"""What an application gets from the clients."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from queue_runtime.providers.client import QueueClient, SessionClient
from queue_runtime.providers.errors import (
    ConnectionFailed,
    DeadLetterError,
    ErrorContext,
    InvalidReceipt,
    MessageNotFound,
    MessageTooLarge,
    QueueNotFound,
    SessionLocked,
    SessionLockLost,
    ValidationError,
)
from queue_runtime.providers.memory import MemoryBroker, MemoryProvider, Operation, QueueKind, QueueSettings
from queue_runtime.providers.message import Message
from queue_runtime.providers.port import QueueCounts, Sent
from queue_runtime.providers.redrive import ORIGIN_ATTRIBUTE, REDRIVE_ATTRIBUTE, origin_of, redriven
from tests.providers.fake_clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def broker(clock: FakeClock) -> MemoryBroker:
    queues = {
        "pulls": QueueSettings(max_message_bytes=100),
        "sessions": QueueSettings(kind=QueueKind.SESSIONS, session_lock_s=60),
    }
    return MemoryBroker(queues, clock=clock)


@pytest.fixture
async def client(broker: MemoryBroker) -> AsyncIterator[QueueClient]:
    async with QueueClient(MemoryProvider(broker), timeout_s=10) as client:
        yield client


async def test_a_message_goes_in_and_comes_out(client: QueueClient) -> None:
    """Send, receive and complete need a queue's name and nothing else."""
    sent = await client.send("pulls", Message(b"body", session_id="octo/repo/pull/17"))
    delivery = await client.receive("pulls")

    assert delivery is not None
    assert delivery.message.message_id == sent.message_id
    await client.complete(delivery)
    assert await client.counts("pulls") == QueueCounts(0, 0, 0, 0)


async def test_b25_a_receive_answers_none_at_its_time_out(client: QueueClient, clock: FakeClock) -> None:
    """The client's time-out holds unless the call brings its own."""
    waiting = asyncio.ensure_future(client.receive("pulls"))
    brief = asyncio.ensure_future(client.receive("pulls", timeout_s=2))
    await clock.advance(3)
    assert brief.done()
    assert not waiting.done()
    await clock.advance(8)

    assert await brief is None
    assert await waiting is None


async def test_L06_a_second_settlement_is_an_error(client: QueueClient) -> None:
    """The port forgives a repetition; an application that settles twice has a mistake, and hears of it."""
    await client.send("pulls", Message(b""))
    (delivery,) = await client.receive_batch("pulls", 5)
    await client.complete(delivery)

    for settle in (client.complete, client.abandon):
        with pytest.raises(InvalidReceipt):
            await settle(delivery)
    with pytest.raises(InvalidReceipt):
        await client.dead_letter(delivery, "no reason")


async def test_of_two_settlements_at_once_one_succeeds(client: QueueClient) -> None:
    """Two tasks that complete one delivery together do not both believe it."""
    await client.send("pulls", Message(b""))
    (delivery,) = await client.receive_batch("pulls", 1)

    answers = await asyncio.gather(client.complete(delivery), client.complete(delivery), return_exceptions=True)

    assert [type(answer) for answer in answers] == [type(None), InvalidReceipt]


async def test_a_settlement_that_failed_can_be_tried_again(client: QueueClient, broker: MemoryBroker) -> None:
    """An answer that was lost does not use the receipt up, whether or not the broker had acted."""
    broker.faults.lose_answer(Operation.SETTLE)
    broker.faults.refuse(Operation.SETTLE, ConnectionFailed("down"))
    await client.send("pulls", Message(b""))
    (delivery,) = await client.receive_batch("pulls", 1)

    for _ in range(2):
        with pytest.raises(ConnectionFailed):
            await client.complete(delivery)
    await client.complete(delivery)
    assert broker.messages("pulls") == []


async def test_K05_a_message_too_large_is_refused_before_any_call(client: QueueClient, broker: MemoryBroker) -> None:
    """Nothing of it reaches the broker, whose own send would have failed otherwise."""
    broker.faults.refuse(Operation.SEND, ConnectionFailed("a call was made"))

    with pytest.raises(MessageTooLarge, match="101 bytes"):
        await client.send("pulls", Message(b"x" * 101))
    assert broker.faults.are_planned


async def test_b19_a_batch_keeps_what_can_be_kept(client: QueueClient, broker: MemoryBroker) -> None:
    """Answers stand in the order of the messages, those that never left included."""
    messages = [Message(b"1"), Message(b"x" * 101), Message(b"2")]

    first, refused, last = await client.send_batch("pulls", messages)

    assert isinstance(first, Sent)
    assert isinstance(refused, MessageTooLarge)
    assert isinstance(last, Sent)
    assert last.message_id == messages[2].message_id
    assert [message.body for message in broker.messages("pulls")] == [b"1", b"2"]
    assert await client.send_batch("pulls", []) == []


async def test_L02_names_are_checked_before_and_at_the_broker(client: QueueClient) -> None:
    """A name that cannot be is refused here, one that does not exist by the broker."""
    with pytest.raises(ValidationError):
        await client.send("no--name", Message(b""))
    with pytest.raises(QueueNotFound, match="missing"):
        await client.send("missing", Message(b""))


async def test_b23_a_message_can_be_sent_for_later_and_called_off(client: QueueClient, clock: FakeClock) -> None:
    """Until it is due it can be cancelled; then it is delivered."""
    at = clock.now().to_datetime() + timedelta(seconds=60)
    off = await client.send("pulls", Message(b"off"), at=at)
    await client.send("pulls", Message(b"due"), at=at)
    await client.cancel("pulls", off)
    assert await client.receive("pulls", timeout_s=0) is None
    await clock.advance(60)

    (delivery,) = await client.receive_batch("pulls", 5)
    assert delivery.message.body == b"due"
    with pytest.raises(MessageNotFound):
        await client.cancel("pulls", off)


async def test_b37_abandoning_can_wait(client: QueueClient, clock: FakeClock) -> None:
    """A delay hides the message for so long."""
    await client.send("pulls", Message(b""))
    (delivery,) = await client.receive_batch("pulls", 1)
    await client.abandon(delivery, after=timedelta(seconds=20))
    assert await client.receive("pulls", timeout_s=0) is None
    await clock.advance(20)

    again = await client.receive("pulls", timeout_s=0)
    assert again is not None
    assert again.delivery_count == 2


async def test_b40_renewing_returns_the_new_end(client: QueueClient, clock: FakeClock) -> None:
    """It is a lock's length from now; a lost lock is an error."""
    await client.send("pulls", Message(b""))
    (delivery,) = await client.receive_batch("pulls", 1)
    await clock.advance(20)

    assert await client.renew(delivery) == clock.now() + 30_000_000
    await clock.advance(31)
    with pytest.raises(InvalidReceipt):
        await client.renew(delivery)


async def test_a_lock_can_be_renewed_with_the_delivery_as_it_came(broker: MemoryBroker, clock: FakeClock) -> None:
    """However often: the client brings the newest end, by which a provider judges what a broker would grant."""
    broker.create_queue("believing", QueueSettings(late_receipts=True))
    async with QueueClient(MemoryProvider(broker)) as client:
        await client.send("believing", Message(b""))
        (delivery,) = await client.receive_batch("believing", 1)
        for _ in range(4):
            await clock.advance(20)
            assert await client.renew(delivery) == clock.now() + 30_000_000
        await clock.advance(31)
        with pytest.raises(InvalidReceipt):
            await client.renew(delivery)


async def test_b32_peeking_takes_nothing(client: QueueClient) -> None:
    """What was looked at is delivered for the first time afterwards."""
    await client.send("pulls", Message(b"x"))

    (seen,) = await client.peek("pulls")
    delivery = await client.receive("pulls")

    assert seen.message.body == b"x"
    assert delivery is not None
    assert delivery.delivery_count == 1


async def test_c11_a_session_is_received_from_in_order_and_given_back(client: QueueClient) -> None:
    """Leaving the session's block frees it; until then nobody else gets it."""
    await client.send_batch("sessions", [Message(b"1", session_id="s"), Message(b"2", session_id="s")])

    async with await _session(client) as session:
        assert session.session_id == "s"
        with pytest.raises(SessionLocked):
            await client.accept_session("sessions", "s")
        first = await session.receive()
        assert first is not None
        await session.complete(first)
        await session.set_state(b"seen 1")
    async with await _session(client) as session:
        assert await session.get_state() == b"seen 1"
        assert [d.message.body for d in await session.receive_batch(5)] == [b"2"]


async def test_c12_no_session_in_time_is_none(client: QueueClient) -> None:
    """Nothing to accept is no error."""
    assert await client.accept_session("sessions", timeout_s=0) is None


async def test_c14_a_sessions_lock_can_be_renewed(client: QueueClient, clock: FakeClock) -> None:
    """The end of the lock moves, for whoever asks the session."""
    await client.send("sessions", Message(b"", session_id="s"))
    session = await _session(client)
    await clock.advance(40)

    renewed = await session.renew_lock()

    assert renewed == session.locked_until == clock.now().to_datetime() + timedelta(seconds=60)


async def test_c16_every_operation_of_a_lost_session_says_so(client: QueueClient, broker: MemoryBroker) -> None:
    """Receiving, settling, renewing and state are all refused, and nothing of the message is lost."""
    await client.send("sessions", Message(b"x", session_id="s"))
    session = await _session(client)
    (delivery,) = await session.receive_batch(1)
    broker.lose_session("sessions", "s")

    for operation in (
        session.receive(),
        session.complete(delivery),
        session.abandon(delivery),
        session.renew(delivery),
        session.renew_lock(),
        session.get_state(),
        session.set_state(b""),
    ):
        with pytest.raises(SessionLockLost, match="'s'"):
            await operation
    await session.close()
    assert [message.body for message in broker.messages("sessions")] == [b"x"]


async def test_a_closed_session_settles_nothing(client: QueueClient) -> None:
    """Operations after close are refused before the broker is asked."""
    await client.send("sessions", Message(b"x", session_id="s"))
    session = await _session(client)
    (delivery,) = await session.receive_batch(1)
    await session.close()

    with pytest.raises(SessionLockLost):
        await session.complete(delivery)


async def test_b38_dead_letters_are_read_and_removed(client: QueueClient) -> None:
    """Why they are there can be read, and completing one is the end of it."""
    await client.send("pulls", Message(b"bad"))
    (delivery,) = await client.receive_batch("pulls", 1)
    await client.dead_letter(delivery, "broken", "no JSON", {"bot": "labels"})
    dead = client.dead_letters("pulls")

    (seen,) = await dead.peek()
    buried = await dead.receive()

    assert buried is not None
    assert buried.dead_letter is not None
    assert (buried.dead_letter.reason, buried.dead_letter.description) == ("broken", "no JSON")
    assert seen.dead_letter == buried.dead_letter
    await dead.complete(buried)
    assert (await client.counts("pulls")).dead_letters == 0


async def test_e15_a_redriven_message_is_new_to_the_broker_and_names_its_origin(client: QueueClient) -> None:
    """The copy has a new id, the origin's id and the number of the redrive; the dead letter is gone."""
    await client.send("pulls", Message(b"bad", message_id="m1", attributes={"a": "b"}))
    for number in (1, 2):
        (delivery,) = await client.receive_batch("pulls", 1)
        await client.dead_letter(delivery, "broken")
        dead = client.dead_letters("pulls")
        buried = await dead.receive()
        assert buried is not None
        sent = await dead.redrive(buried)
        assert sent.message_id != delivery.message.message_id
        (copy,) = await client.peek("pulls")
        assert origin_of(copy.message) == ("m1", number)
        assert copy.message.body == b"bad"
        assert copy.message.attributes["a"] == "b"
    assert (await client.counts("pulls")).dead_letters == 0


async def test_e15_a_redrive_that_was_not_sent_keeps_the_dead_letter(client: QueueClient, broker: MemoryBroker) -> None:
    """A refused copy costs nothing, and the next try sends the same copy."""
    await client.send("pulls", Message(b"bad"))
    (delivery,) = await client.receive_batch("pulls", 1)
    await client.dead_letter(delivery, "broken")
    dead = client.dead_letters("pulls")
    (buried,) = await dead.receive_batch(1)
    broker.faults.refuse(Operation.SEND, ConnectionFailed("down"))

    with pytest.raises(DeadLetterError, match="'pulls' was not sent again: down") as caught:
        await dead.redrive(buried)
    sent = await dead.redrive(buried)

    assert sent.message_id == redriven(delivery.message).message_id
    assert isinstance(caught.value.__cause__, ConnectionFailed)
    assert caught.value.transient
    assert caught.value.context == ErrorContext("pulls", delivery.message.message_id, None, "redrive")


async def test_d38_a_redrive_that_only_sent_says_so(client: QueueClient, broker: MemoryBroker) -> None:
    """A copy that is in the queue while the dead letter stays is told from one that never left."""
    await client.send("pulls", Message(b"bad"))
    (delivery,) = await client.receive_batch("pulls", 1)
    await client.dead_letter(delivery, "broken")
    dead = client.dead_letters("pulls")
    (buried,) = await dead.receive_batch(1)
    broker.faults.refuse(Operation.SETTLE, ConnectionFailed("down"))

    with pytest.raises(DeadLetterError, match="was sent again but is still among the dead letters") as caught:
        await dead.redrive(buried)

    assert caught.value.was_sent
    assert [message.message_id for message in broker.messages("pulls")] == [redriven(delivery.message).message_id]
    assert (await client.counts("pulls")).dead_letters == 1


@pytest.mark.parametrize("number", ["", "0", "-1", "x", "²"])
def test_attributes_of_somebody_else_are_no_redrive(number: str) -> None:
    """What does not make sense is taken as never redriven."""
    foreign = Message(b"", message_id="m", attributes={ORIGIN_ATTRIBUTE: "other", REDRIVE_ATTRIBUTE: number})

    assert origin_of(foreign) == ("m", 0)


async def _session(client: QueueClient) -> SessionClient:
    session = await client.accept_session("sessions", timeout_s=0)
    assert session is not None
    return session
