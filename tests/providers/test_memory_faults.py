"""Every fault that can be ordered happens as ordered, as often as ordered, and no more."""

import asyncio

import pytest

from queue_runtime.providers.errors import (
    AuthorizationFailed,
    ConnectionFailed,
    InvalidReceipt,
    ServiceThrottled,
    SessionLockLost,
)
from queue_runtime.providers.memory import MemoryBroker, MemoryProvider, Operation, QueueKind, QueueSettings
from queue_runtime.providers.message import Message, QueueName
from queue_runtime.providers.port import Address, Sent, SettleKind, Settlement
from tests.providers.fake_clock import FakeClock

PULLS = Address(QueueName("pulls"))
SESSIONS = Address(QueueName("sessions"))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def broker(clock: FakeClock) -> MemoryBroker:
    queues = {"pulls": QueueSettings(), "sessions": QueueSettings(kind=QueueKind.SESSIONS)}
    return MemoryBroker(queues, clock=clock)


@pytest.fixture
async def provider(broker: MemoryBroker) -> MemoryProvider:
    provider = MemoryProvider(broker)
    await provider.open()
    return provider


async def test_K17_an_operation_is_refused_as_often_as_planned(broker: MemoryBroker, provider: MemoryProvider) -> None:
    """The planned error is raised, other operations work, and then this one works as well."""
    broker.faults.refuse(Operation.RECEIVE, AuthorizationFailed("receive"), times=2)
    assert isinstance((await provider.send(PULLS.queue, [Message(b"x")]))[0], Sent)

    for _ in range(2):
        with pytest.raises(AuthorizationFailed):
            await provider.receive(PULLS, 1, 0)
    assert len(await provider.receive(PULLS, 1, 0)) == 1


async def test_refusals_of_a_batch_hit_single_items(broker: MemoryBroker, provider: MemoryProvider) -> None:
    """The first item fails, the others are carried out."""
    broker.faults.refuse(Operation.SEND, ConnectionFailed("down"))
    refused, sent = await provider.send(PULLS.queue, [Message(b"1"), Message(b"2")])
    assert isinstance(refused, ConnectionFailed)
    assert isinstance(sent, Sent)

    broker.faults.refuse(Operation.RENEW, ConnectionFailed("down"))
    (delivery,) = await provider.receive(PULLS, 1, 0)
    refused_renewal, end = await provider.renew(PULLS, [delivery.receipt] * 2)
    assert isinstance(refused_renewal, ConnectionFailed)
    assert isinstance(end, int)


async def test_L12_throttling_says_how_long_to_wait(broker: MemoryBroker, provider: MemoryProvider) -> None:
    """The error is transient and carries the wait."""
    broker.faults.throttle(Operation.RECEIVE, 12.5)

    with pytest.raises(ServiceThrottled) as refused:
        await provider.receive(PULLS, 1, 0)
    assert refused.value.retry_after_s == 12.5
    assert refused.value.transient


async def test_a_call_can_be_late(broker: MemoryBroker, provider: MemoryProvider, clock: FakeClock) -> None:
    """It is carried out after the delay, by the broker's clock."""
    broker.faults.delay(Operation.SEND, 3)
    sending = asyncio.ensure_future(provider.send(PULLS.queue, [Message(b"x")]))
    await clock.advance(2)
    assert broker.messages("pulls") == []
    await clock.advance(1)

    assert isinstance((await sending)[0], Sent)


async def test_a_message_can_be_delivered_twice(broker: MemoryBroker, provider: MemoryProvider) -> None:
    """A copy under another provider id follows, with a receipt of its own."""
    broker.faults.duplicate()
    await provider.send(PULLS.queue, [Message(b"x", message_id="m1")])

    first, second = [*await provider.receive(PULLS, 1, 0), *await provider.receive(PULLS, 5, 0)]

    assert first.message == second.message
    assert first.receipt.provider_id != second.receipt.provider_id
    settlements = [Settlement(SettleKind.COMPLETE, d.receipt) for d in (first, second)]
    assert await provider.settle(PULLS, settlements) == [None, None]


async def test_a_lock_can_be_lost_at_once(broker: MemoryBroker, provider: MemoryProvider) -> None:
    """The receipt promises a lock that is gone: the same message comes again."""
    broker.faults.lose_lock()
    await provider.send(PULLS.queue, [Message(b"x")])
    (lost,) = await provider.receive(PULLS, 1, 0)

    (refused,) = await provider.settle(PULLS, [Settlement(SettleKind.COMPLETE, lost.receipt)])
    assert isinstance(refused, InvalidReceipt)
    (again,) = await provider.receive(PULLS, 1, 0)
    assert (again.receipt.provider_id, again.delivery_count) == (lost.receipt.provider_id, 2)


async def test_K10_an_answer_can_be_lost_after_the_act(broker: MemoryBroker, provider: MemoryProvider) -> None:
    """The caller sees a broken link and the broker has acted: a repetition is harmless."""
    broker.faults.lose_answer(Operation.SEND)
    broker.faults.lose_answer(Operation.SETTLE)
    (unknown,) = await provider.send(PULLS.queue, [Message(b"x")])
    assert isinstance(unknown, ConnectionFailed)
    (delivery,) = await provider.receive(PULLS, 1, 0)
    settlement = Settlement(SettleKind.COMPLETE, delivery.receipt)
    (unsure,) = await provider.settle(PULLS, [settlement])

    assert isinstance(unsure, ConnectionFailed)
    assert broker.messages("pulls") == []
    assert await provider.settle(PULLS, [settlement]) == [None]


async def test_a_fault_can_be_for_one_queue_alone(broker: MemoryBroker, provider: MemoryProvider) -> None:
    """Calls to other queues neither see nor use up the plan."""
    broker.faults.refuse(Operation.SEND, ConnectionFailed("down"), queue="sessions")
    (sent,) = await provider.send(PULLS.queue, [Message(b"x")])
    (refused,) = await provider.send(SESSIONS.queue, [Message(b"x", session_id="s")])

    assert isinstance(sent, Sent)
    assert isinstance(refused, ConnectionFailed)


async def test_plans_can_be_dropped(broker: MemoryBroker, provider: MemoryProvider) -> None:
    """Nothing is left of a plan that was cleared."""
    broker.faults.refuse(Operation.RECEIVE, ConnectionFailed("down"), times=100)
    assert broker.faults.are_planned
    broker.faults.clear()

    assert not broker.faults.are_planned
    assert await provider.receive(PULLS, 1, 0) == []


async def test_session_calls_can_be_refused(broker: MemoryBroker, provider: MemoryProvider) -> None:
    """Accepting, renewing and the state of sessions fail like the rest."""
    await provider.send(SESSIONS.queue, [Message(b"x", session_id="s")])
    for operation in (Operation.ACCEPT, Operation.RENEW_SESSION, Operation.SESSION_STATE):
        broker.faults.refuse(operation, ConnectionFailed("down"))

    with pytest.raises(ConnectionFailed):
        await provider.accept_session(SESSIONS.queue, None, 0)
    session = await provider.accept_session(SESSIONS.queue, None, 0)
    assert session is not None
    (renewal,) = await provider.renew_sessions(SESSIONS.queue, [session])
    assert isinstance(renewal, ConnectionFailed)
    with pytest.raises(ConnectionFailed):
        await session.get_state()


async def test_a_session_can_be_lost_on_purpose(broker: MemoryBroker, provider: MemoryProvider) -> None:
    """Its messages are back at once, and its holder learns it at the next call."""
    await provider.send(SESSIONS.queue, [Message(b"x", session_id="s")])
    session = await provider.accept_session(SESSIONS.queue, None, 0)
    assert session is not None
    await session.receive(1, 0)
    broker.lose_session("sessions", "s")

    with pytest.raises(SessionLockLost):
        await session.receive(1, 0)
    again = await provider.accept_session(SESSIONS.queue, None, 0)
    assert again is not None
    assert [d.delivery_count for d in await again.receive(1, 0)] == [2]
