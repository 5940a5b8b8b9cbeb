"""The gathering of single requests into calls: nothing added is ever left lying."""

import asyncio
from collections.abc import Awaitable, Callable

from queue_runtime.engine.batches import Batches
from tests.engine.bench import POLL_S


def _collecting(calls: list[list[int]]) -> Callable[[list[int]], Awaitable[None]]:
    async def call(items: list[int]) -> None:
        calls.append(items)
        await asyncio.sleep(0)

    return call


async def test_what_is_added_at_any_turn_of_the_loop_is_performed() -> None:
    """Also in the turn in which the call before has ended and is not yet known to have."""
    for turns in range(8):
        calls: list[list[int]] = []
        batches = Batches(_collecting(calls), 10, 0.0)
        batches.add(1)
        for _ in range(turns):
            await asyncio.sleep(0)
        batches.add(2)
        for _ in range(8):
            await asyncio.sleep(0)

        assert sorted(item for call in calls for item in call) == [1, 2]


async def test_a_full_batch_goes_at_once_and_a_small_one_after_its_time() -> None:
    """`max_batch` and `max_age_s` bound how much and how long is gathered."""
    calls: list[list[int]] = []
    batches = Batches(_collecting(calls), 3, 0.02)
    for item in range(4):
        batches.add(item)
    await batches.idle()
    batches.add(4)
    assert calls == [[0, 1, 2], [3]]
    async with asyncio.timeout(5):
        while len(calls) < 3:  # noqa: ASYNC110 - it is the timer that is waited for
            await asyncio.sleep(POLL_S)

    assert calls == [[0, 1, 2], [3], [4]]


async def test_a_call_that_raises_does_not_stop_the_next() -> None:
    """It is a fault of ours and logged as one; what was added meanwhile is performed."""
    seen: list[list[int]] = []

    async def call(items: list[int]) -> None:
        seen.append(items)
        await asyncio.sleep(0)
        if items == [1]:
            msg = "a bug"
            raise RuntimeError(msg)

    batches = Batches(call, 1, 0.0)
    batches.add(1)
    batches.add(2)
    await batches.idle()
    await asyncio.sleep(0)
    await batches.idle()

    assert seen == [[1], [2]]
