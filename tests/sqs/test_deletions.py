"""Deletions that many tasks ask for at the same time go together, and each task hears of its own."""

import asyncio

import pytest

from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.errors import ConnectionFailed, ProviderError, QueueError
from queue_runtime.providers.message import Delivery, Message, QueueName, Receipt
from queue_runtime.providers.port import Address, SettleKind, Settlement
from queue_runtime.providers.sqs import SqsProvider, SqsSettings
from tests.sqs.servers import REGION
from tests.sqs.strict import Fault, StrictServer
from tests.sqs.test_answers import answering
from tests.sqs.test_wire import Rig, rig


async def some(desk: Rig, count: int) -> list[Delivery]:
    """Send and receive."""
    await desk.provider.send(desk.queue, [Message(str(number).encode()) for number in range(count)])
    taken: list[Delivery] = []
    while len(taken) < count:
        taken += await desk.provider.receive(desk.source, count, 1)
    return taken


async def complete(desk: Rig, delivery: Delivery) -> QueueError | None:
    (answer,) = await desk.provider.settle(desk.source, [Settlement(SettleKind.COMPLETE, delivery.receipt)])
    return answer


async def test_deletions_of_the_same_moment_go_in_calls_of_ten(strict: StrictServer) -> None:
    """Twelve tasks that complete a delivery each cost two calls; a task that comes later has a call of its own."""
    desk = await rig(strict)
    *many, last = await some(desk, 13)

    answers = await asyncio.gather(*(complete(desk, delivery) for delivery in many))
    answers.append(await complete(desk, last))

    assert answers == [None] * 13
    assert [len(call["Entries"]) for call in strict.calls("DeleteMessageBatch")] == [10, 2, 1]
    assert await desk.provider.receive(desk.source, 10, 0) == []
    await desk.provider.close()


async def test_a_deletion_that_is_refused_is_heard_of_by_its_own_task(strict: StrictServer) -> None:
    """One that fails costs those that went with it nothing; a call that fails is heard of by all."""
    desk = await rig(strict)
    first, second, *_ = taken = await some(desk, 2)
    strict.fail("DeleteMessageBatch", Fault(items=frozenset({0})), Fault(is_lost=True))

    refused, done = await asyncio.gather(complete(desk, first), complete(desk, second))
    lost = await asyncio.gather(*(complete(desk, delivery) for delivery in taken[:1]))

    assert isinstance(refused, ProviderError)
    assert done is None
    assert [type(answer) for answer in lost] == [ConnectionFailed]
    await desk.provider.close()


async def test_a_task_that_is_cancelled_holds_up_nobody(strict: StrictServer) -> None:
    """Of deletions that go together those of the others are answered when a task gives up on its own."""
    desk = await rig(strict)
    first, second = await some(desk, 2)
    tasks = [asyncio.create_task(complete(desk, delivery)) for delivery in (first, second)]
    loop = asyncio.get_running_loop()
    loop.call_soon(loop.call_soon, tasks[0].cancel)  # when both have asked and before anything is answered

    answers = await asyncio.gather(*tasks, return_exceptions=True)

    assert [type(answer) for answer in answers] == [asyncio.CancelledError, type(None)]
    assert [len(call["Entries"]) for call in strict.calls("DeleteMessageBatch")] == [2]
    await desk.provider.close()


async def test_a_fault_behind_an_answer_reaches_whoever_waits() -> None:
    """What nobody foresaw in an answer ends the wait of the task that asked."""
    body = b'{"QueueUrl": "http://127.0.0.1/0/orders", "Attributes": {}, "Successful": [{}]}'
    async with answering(body, []) as url:
        provider = SqsProvider(SqsSettings(region=REGION, endpoint_url=url))
        await provider.open()
        receipt = Receipt("handle", "m1", Timestamp(2**60), provider.name)

        with pytest.raises(KeyError):
            await provider.settle(Address(QueueName("orders")), [Settlement(SettleKind.COMPLETE, receipt)])

        await provider.close()
