"""Sessions of a FIFO queue without session locks: what is pulled for others is kept, renewed and never bounced."""

import asyncio
from collections.abc import AsyncGenerator, Callable

import pytest

from queue_runtime.providers import QueueClient
from queue_runtime.providers.errors import QueueError, SessionLocked, UnsupportedOperation
from queue_runtime.providers.message import Message, QueueName, SessionId
from queue_runtime.providers.port import Address, HeldSession
from queue_runtime.providers.sqs import SqsProvider
from tests.sqs.servers import SqsHarness
from tests.sqs.strict import StrictServer
from tests.sqs.strict_rules import Held

A, B = SessionId("a"), SessionId("b")
POLL_S = 0.005


class Counter:
    """A provider at a FIFO queue whose locks last for 3 s."""

    def __init__(self, server: StrictServer, provider: SqsProvider, queue: QueueName) -> None:
        self.server = server
        self.provider = provider
        self.queue = queue

    @property
    def stored(self) -> list[Held]:
        return self.server.queues[self.queue].held

    async def send(self, *names: str) -> None:
        """Send messages whose session is their first letter."""
        messages = [Message(name.encode(), session_id=name[0]) for name in names]
        assert not [
            answer for answer in await self.provider.send(self.queue, messages) if isinstance(answer, QueueError)
        ]

    async def accept(self, session_id: SessionId | None = None) -> HeldSession:
        session = await self.provider.accept_session(self.queue, session_id, 2)
        assert session is not None
        return session

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not is_so():  # noqa: ASYNC110 - the stub's state is what is waited for
                await asyncio.sleep(POLL_S)


@pytest.fixture
async def counter(strict: StrictServer) -> AsyncGenerator[Counter]:
    harness = SqsHarness(strict, is_fifo=True)
    queue = await harness.make(VisibilityTimeout="3")
    provider = await harness.open()
    yield Counter(strict, provider, queue)
    await provider.close()


async def bodies(session: HeldSession, count: int = 10) -> list[bytes]:
    return [delivery.message.body for delivery in await session.receive(count, 1)]


async def test_C31_what_is_of_another_group_is_kept_and_renewed_for_whoever_wants_it(counter: Counter) -> None:
    """Its lock is extended while nobody asks; then it is handed over in order, and was never given back meanwhile."""
    await counter.send("b1", "a1", "b2")
    assert await bodies(await counter.accept(A)) == [b"a1"]
    ends = counter.stored[0].visible_at

    await counter.until(lambda: counter.stored[0].visible_at > ends and counter.stored[2].visible_at > ends)
    other = await counter.accept(B)

    deliveries = await other.receive(10, 1)
    assert [(d.message.body, d.delivery_count) for d in deliveries] == [(b"b1", 1), (b"b2", 1)]
    assert other.locked_until > counter.server.clock.now()


async def test_C36_a_plain_receive_takes_nothing_of_a_held_session(counter: Counter) -> None:
    """What it pulls of one is kept for the holder; what is kept for nobody it takes first."""
    session = await counter.accept(A)
    await counter.send("a1", "b1")

    (delivery,) = await counter.provider.receive(Address(counter.queue), 10, 1)

    assert delivery.message.body == b"b1"
    assert await bodies(session) == [b"a1"]
    await counter.send("c1", "a2")
    assert await session.receive(1, 0) == []  # the head is in flight; c1 comes instead, and is kept
    (kept,) = await counter.provider.receive(Address(counter.queue), 10, 0)
    assert (kept.message.body, kept.delivery_count) == (b"c1", 1)


async def test_closing_gives_back_what_was_not_handed_out(counter: Counter) -> None:
    """A group that was kept, or waits in a held session, comes again from its head without waiting for a lock."""
    await counter.send("a1", "a2", "b1", "b2")
    session = await counter.accept(A)
    assert await bodies(session, 1) == [b"a1"]

    await counter.provider.close()

    now = counter.server.queues[counter.queue].now
    assert [held.visible_at <= now for held in counter.stored] == [False, True, True, True]


async def test_who_only_looks_does_not_wait_for_somebody_elses_poll(counter: Counter) -> None:
    """One poll a queue serves everybody, and nobody waits longer than was asked for."""
    session = await counter.accept(A)
    waiting = asyncio.ensure_future(session.receive(1, 20))
    await counter.server.called("ReceiveMessage")

    assert await counter.provider.accept_session(counter.queue, None, 0) is None
    assert not waiting.done()
    await counter.send("a1")
    assert [d.message.body for d in await waiting] == [b"a1"]
    assert len(counter.server.calls("ReceiveMessage")) < 30


async def test_C11_a_client_works_a_named_group(counter: Counter) -> None:
    """The application's client holds it, settles its messages, and gives it back; a standard queue has none."""
    await counter.send("a1", "b1", "a2")
    client = QueueClient(counter.provider, timeout_s=2)
    session = await client.accept_session(counter.queue, "a")
    assert session is not None
    async with session:
        with pytest.raises(SessionLocked):
            await client.accept_session(counter.queue, "a")
        for body in (b"a1", b"a2"):
            delivery = await session.receive()
            assert delivery is not None
            assert delivery.message.body == body
            await session.renew_lock()
            await session.complete(delivery)
    following = await client.accept_session(counter.queue)
    assert following is not None
    assert following.session_id == "b"

    plain = await SqsHarness(counter.server, is_fifo=False).make()
    with pytest.raises(UnsupportedOperation, match="standard"):
        await client.accept_session(plain, "a")
