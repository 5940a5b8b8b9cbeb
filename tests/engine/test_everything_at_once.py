"""Faults of every sort at once, seeded: whatever comes together, nothing is lost, overtaken or run after its end."""

import asyncio
import random
from collections import defaultdict
from typing import Any

import pytest

from queue_runtime.engine import Context
from queue_runtime.journal.events import Completed
from queue_runtime.plugins import Router
from queue_runtime.providers.errors import ConnectionFailed, InvalidReceipt, ServiceThrottled, SessionNotFound
from queue_runtime.providers.memory import Operation, QueueKind
from queue_runtime.providers.message import Message
from tests.engine.bench import OUT, QUEUE, Bench

SESSIONS, EACH, ACTS = 8, 6, 60
LOCK_S = 0.5


class Mischief:
    """Commits a fault now and then, as its dice say."""

    def __init__(self, bench: Bench, seed: int) -> None:
        self._bench = bench
        self.dice = random.Random(seed)

    async def go_on(self) -> None:
        for turn in range(ACTS):
            self._commit()
            if turn in {ACTS // 4, ACTS // 2}:
                self._bench.journal.fail_next(lands=self.dice.random() < 0.5)
            await asyncio.sleep(self.dice.uniform(0.0, 0.01))

    def _commit(self) -> None:
        faults, dice = self._bench.broker.faults, self.dice
        match dice.randrange(8):
            case 0:
                faults.refuse(Operation.SETTLE, ServiceThrottled(0.02), times=dice.randint(1, 3))
            case 1:
                faults.refuse(Operation.SETTLE, InvalidReceipt("x", "digest"))
            case 2:
                faults.refuse(Operation.RENEW, ConnectionFailed("the link broke"))
            case 3:
                faults.refuse(Operation.RECEIVE, ServiceThrottled(0.02))
            case 4:
                faults.refuse(Operation.SEND, ServiceThrottled(0.02), queue=OUT)
            case 5:
                faults.delay(dice.choice([Operation.SETTLE, Operation.RENEW, Operation.RECEIVE]), 0.05)
            case 6:
                faults.duplicate()
            case _:
                self._lose_session(f"s{dice.randrange(SESSIONS)}")

    def _lose_session(self, session_id: str) -> None:
        try:
            self._bench.broker.lose_session(QUEUE, session_id)
        except SessionNotFound:
            return  # nobody holds it, or the queue has none


def _bot(dice: random.Random, ended: dict[str, list[int]]) -> Router:
    router = Router()

    @router.on("*")
    async def handle(event: bytes, ctx: Context) -> None:
        session_id, number = event.decode().split("/")
        await ctx.step("one", lambda: number)
        await ctx.send(OUT, event)
        await asyncio.sleep(dice.uniform(0.0, 0.01))
        if dice.random() < 0.1:
            msg = "now and then"
            raise ConnectionError(msg)
        ended[session_id].append(int(number))

    return router


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", [QueueKind.STANDARD, QueueKind.FIFO, QueueKind.SESSIONS])
async def test_every_message_is_completed_once_and_in_order(kind: QueueKind, seed: int) -> None:
    """After all the mischief each message has one completion, and what it sent has arrived."""
    bench = Bench(kind, lock_s=LOCK_S, max_deliveries=1_000)
    mischief = Mischief(bench, seed)
    ended: defaultdict[str, list[int]] = defaultdict(list)
    for number in range(EACH):
        await bench.send(*(Message(b"s%d/%d" % (n, number), session_id=f"s{n}") for n in range(SESSIONS)))
    settings: dict[str, Any] = {
        "max_attempts": 50,
        "breaker_failures": 1_000,
        "max_lane": 4,
        "max_in_flight": 20,
        "concurrency": 6,
        "lane_release_delay_s": 0.1,
    }
    async with bench.engine(_bot(mischief.dice, ended), **settings, session_receivers=3):
        await mischief.go_on()
        bench.broker.faults.clear()
        await bench.until_empty()

    completed = [event.key for event in bench.of(Completed) if isinstance(event, Completed)]
    assert len(completed) == len(set(completed)) == SESSIONS * EACH
    assert {message.body for message in bench.broker.messages(OUT)} == {
        b"s%d/%d" % (n, number) for n in range(SESSIONS) for number in range(EACH)
    }
    assert bench.dead_letters == 0
    if kind is not QueueKind.STANDARD:  # which promises no order once a lock is lost
        assert all(numbers == sorted(numbers) for numbers in ended.values())
