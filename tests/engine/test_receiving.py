"""Pulling messages: bounded room, shared fairly, and kept up whatever the broker does."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from queue_runtime.engine import Context
from queue_runtime.journal import MemoryJournal
from queue_runtime.journal.events import Completed, DeadLettered, Duplicate, Redelivered, SessionAcquired, SessionLost
from queue_runtime.plugins import Router
from queue_runtime.providers.errors import AuthenticationFailed, ConnectionFailed, QueueError
from queue_runtime.providers.memory import MemoryProvider, Operation, QueueKind, QueueSettings
from queue_runtime.providers.message import Message, QueueName
from queue_runtime.providers.port import Address, Settlement
from tests.engine.bench import QUEUE, Bench


def _gated() -> tuple[Router, asyncio.Event, list[bytes]]:
    router, gate, seen = Router(), asyncio.Event(), list[bytes]()

    @router.on("*")
    async def handle(event: bytes, ctx: Context) -> None:
        del ctx
        seen.append(event)
        await gate.wait()

    return router, gate, seen


async def test_quiet_queues_hold_no_room_that_a_busy_one_needs() -> None:
    """Receives that wait for messages reserve a share each, so the last queue is served at once."""
    bench = Bench(lock_s=5.0)
    quiet = tuple(QueueName(f"quiet{n}") for n in range(3))
    for name in quiet:
        bench.broker.create_queue(name, QueueSettings(max_deliveries=100))
    router, gate, seen = _gated()
    gate.set()
    async with bench.engine(router, queues=(*quiet, QUEUE), max_in_flight=30, receive_batch=10, receive_wait_s=60.0):
        await bench.send(*(Message(b"%d" % n) for n in range(50)))
        await bench.until_empty()

    assert len(seen) == 50


async def test_quiet_sessions_hold_no_room_that_a_busy_one_needs() -> None:
    """Sessions that are held and have nothing to do leave room for those that have."""
    bench = Bench(QueueKind.SESSIONS, lock_s=5.0)
    router, gate, seen = _gated()
    gate.set()
    settings: dict[str, Any] = {
        "max_in_flight": 30,
        "receive_batch": 10,
        "session_receivers": 5,
        "receive_wait_s": 60.0,
    }
    async with bench.engine(router, **settings, session_idle_s=60.0):
        for name in ("a", "b", "c", "d"):
            await bench.send(Message(b"first", session_id=name))
            await bench.until_empty()
        await bench.send(*(Message(b"%d" % n, session_id="e") for n in range(30)))
        await bench.until_empty()

    assert len(seen) == 34


async def test_receivers_that_wait_for_room_are_served_in_turn() -> None:
    """With no room to spare, a queue whose receive comes back empty does not take the room again before others."""
    bench = Bench(lock_s=5.0)
    other = bench.broker.create_queue("other", QueueSettings(max_deliveries=100))
    router, gate, seen = _gated()
    await bench.send(Message(b"slow 1"), Message(b"slow 2"))
    async with bench.engine(router, queues=(other, QUEUE), max_in_flight=3, receive_wait_s=0.02):
        await bench.until(lambda: len(seen) == 2)
        await bench.send(Message(b"third"))
        await bench.until(lambda: len(seen) == 3)
        gate.set()
        await bench.until_empty()


@pytest.mark.parametrize("error", [ConnectionFailed("the link broke"), AuthenticationFailed("the key expired")])
@pytest.mark.parametrize("kind", [QueueKind.STANDARD, QueueKind.SESSIONS])
async def test_K11_K12_a_receive_that_fails_is_tried_again(kind: QueueKind, error: QueueError) -> None:
    """Whatever the broker says, the engine goes on asking; what is sent afterwards is handled, in order."""
    bench = Bench(kind, lock_s=5.0)
    error.retry_after_s = 0.02
    router, gate, seen = _gated()
    gate.set()
    await bench.send(Message(b"1", session_id="s"))
    async with bench.engine(router, session_idle_s=30.0, session_receivers=1):
        await bench.until_empty()
        bench.broker.faults.refuse(Operation.RECEIVE, error, times=2)
        await bench.until(lambda: not bench.broker.faults.are_planned)
        await bench.send(Message(b"2", session_id="s"), Message(b"3", session_id="s"))
        await bench.until_empty()

    assert seen == [b"1", b"2", b"3"]


class Buggy(MemoryProvider):
    """An adapter whose first settlement fails in a way that the port does not allow."""

    faults = 1

    async def settle(self, source: Address, settlements: Sequence[Settlement]) -> list[QueueError | None]:
        if self.faults:
            self.faults -= 1
            msg = "a bug"
            raise KeyError(msg)
        return await super().settle(source, settlements)


@pytest.mark.parametrize("kind", [QueueKind.STANDARD, QueueKind.SESSIONS])
async def test_a_provider_that_raises_what_it_may_not_is_asked_again(kind: QueueKind) -> None:
    """An adapter with a bug costs a pause and a line in the log, not a queue that nobody reads any more."""
    bench = Bench(kind, lock_s=5.0)
    bench.provider = Buggy
    router, gate, seen = _gated()
    gate.set()
    await bench.send(Message(b"1", session_id="s"))
    bug: Any = KeyError("a bug")
    bench.broker.faults.refuse(Operation.RECEIVE, bug)
    async with bench.engine(router):
        await bench.until_empty()

    assert seen == [b"1"]


async def test_a_session_with_more_than_its_share_waits_at_the_broker() -> None:
    """What a session may not have here is not fetched: handing it back over and over would wear out its deliveries."""
    bench = Bench(QueueKind.SESSIONS, lock_s=5.0, max_deliveries=10)
    router, gate, seen = _gated()
    await bench.send(*(Message(b"%d" % n, session_id="hot") for n in range(12)))
    async with bench.engine(router, max_lane=3, max_in_flight=6) as engine:
        await bench.until(lambda: engine.status().in_flight >= 3)
        await bench.send(Message(b"other", session_id="cold"))
        await bench.until(lambda: b"other" in seen)
        assert engine.status().in_flight <= 4
        gate.set()
        await bench.until_empty()

    assert [body for body in seen if body != b"other"] == [b"%d" % n for n in range(12)]
    assert bench.count(Redelivered) == 0


async def test_K26_a_lost_session_is_taken_up_again_in_order() -> None:
    """Everything held of it lapses, tail first; what was running is not charged; nothing overtakes."""
    bench = Bench(QueueKind.SESSIONS, lock_s=5.0)
    router, gate, seen = _gated()
    await bench.send(*(Message(b"%d" % n, session_id="s") for n in range(4)))
    async with bench.engine(router, session_receivers=1) as engine:
        await bench.until(lambda: engine.status().in_flight == 4 and seen == [b"0"])
        bench.broker.lose_session(QUEUE, "s")
        await bench.until(lambda: bench.count(SessionLost) == 1)
        gate.set()
        await bench.until_empty()

    assert seen == [b"0", b"1", b"2", b"3"]
    assert bench.count(SessionAcquired) == 2
    assert bench.count(Completed) == 4


async def test_K06_a_session_that_another_worker_was_given_is_let_go_of_first() -> None:
    """The worker that has no room to receive hears of the loss from the one that is given the session next."""
    bench = Bench(QueueKind.SESSIONS, lock_s=5.0)
    router, gate, seen = _gated()
    await bench.send(*(Message(b"%d" % n, session_id="s") for n in range(3)))
    async with bench.engine(router, session_receivers=2, max_lane=1):
        await bench.until(lambda: seen == [b"0"])
        bench.broker.lose_session(QUEUE, "s")
        await bench.until(lambda: bench.count(SessionAcquired) == 2)
        gate.set()
        await bench.until_empty()

    ours = [type(event) for event in bench.of(SessionAcquired, SessionLost)]
    assert ours == [SessionAcquired, SessionLost, SessionAcquired]
    assert seen == [b"0", b"1", b"2"]
    assert bench.count(Completed) == 3


async def test_a_duplicate_whose_body_an_older_journal_did_not_keep_is_not_run() -> None:
    """It is known by its key alone, and is then no message of its own."""
    bench = Bench()
    router, gate, seen = _gated()
    gate.set()
    await bench.send(Message(b"body", message_id="m"))
    async with bench.engine(router):
        await bench.until_empty()
    at = bench.journal.events[-1].at
    older = Duplicate(f"{QUEUE}/m", at, QUEUE, "m", "unsettled", None, 1, at, b"", "receipt")
    bench.journal = MemoryJournal(events=[*bench.journal.events, older])
    await bench.send(Message(b"body", message_id="m"))
    async with bench.engine(router):
        await bench.until_empty()

    assert seen == [b"body"]


async def test_a_message_delivered_twice_by_the_broker_is_run_once() -> None:
    """A copy under another provider id is settled as a duplicate, whether the first is live or done."""
    bench = Bench(lock_s=5.0)
    router, gate, seen = _gated()
    bench.broker.faults.duplicate(times=3)
    await bench.send(*(Message(b"%d" % n) for n in range(3)))
    async with bench.engine(router):
        await bench.until(lambda: bench.count(Duplicate) == 3)
        gate.set()
        await bench.until_empty()

    assert sorted(seen) == [b"0", b"1", b"2"]
    assert bench.count(Completed) == 3
    assert bench.count(DeadLettered) == 0


async def test_bytes_in_flight_are_bounded() -> None:
    """Large bodies stop the pulling before the number of messages does."""
    bench = Bench(lock_s=5.0)
    router, gate, _ = _gated()
    await bench.send(*(Message(b"x" * 100_000) for _ in range(20)))
    async with bench.engine(router, max_in_flight_bytes=250_000, receive_batch=1) as engine:
        await bench.until(lambda: engine.status().in_flight_bytes >= 250_000)
        assert engine.status().in_flight == 3
        gate.set()
        await bench.until_empty()
