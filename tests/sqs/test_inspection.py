"""How a queue is set up, and what is allowed on it, is seen before an engine works."""

import json

import pytest

from queue_runtime.providers.message import QueueName
from tests.sqs.servers import LocalServer, SqsHarness
from tests.sqs.strict import Fault, StrictServer

PROBED = {
    "sqs:ReceiveMessage": "ReceiveMessage",
    "sqs:SendMessage": "SendMessageBatch",
    "sqs:DeleteMessage": "DeleteMessageBatch",
    "sqs:ChangeMessageVisibility": "ChangeMessageVisibilityBatch",
}


async def test_a_queue_with_its_redrive_policy_has_a_place_for_dead_letters(strict: StrictServer) -> None:
    """It is named, and the time that messages are kept is the queue's."""
    harness = SqsHarness(strict, is_fifo=True)
    provider, queue = await harness.open(), await harness.make(MessageRetentionPeriod="600")

    setup = await provider.inspector.setup(queue)

    assert setup.takes_dead_letters is True
    assert setup.dead_letters == f"queue '{queue.removesuffix('.fifo')}-dlq.fifo'"
    assert setup.retention_s == 600
    await provider.close()


async def test_dead_letters_without_a_place_are_told_with_the_next_step(strict: StrictServer) -> None:
    """None is named, the named one is not there, it is of the other kind, or it may not be looked at: unknown then."""
    harness = SqsHarness(strict, is_fifo=False)
    provider = await harness.open()
    bare, orphan = await harness.make(max_deliveries=None), await harness.make()
    del strict.queues[f"{orphan}-dlq"]
    hidden = await harness.make()
    mixed = await harness.make()
    strict.queues[f"{mixed}-dlq"].attributes["FifoQueue"] = "true"

    assert "QUEUE_SQS_DEAD_LETTER_QUEUE" in (await provider.inspector.setup(bare)).dead_letters
    assert "does not exist: create it" in (await provider.inspector.setup(orphan)).dead_letters
    assert "is a FIFO queue and has to be a standard queue" in (await provider.inspector.setup(mixed)).dead_letters
    for queue in (bare, orphan, mixed):
        assert (await provider.inspector.setup(queue)).takes_dead_letters is False
    await provider.capabilities(hidden)
    strict.fail("GetQueueUrl", Fault("AccessDenied", status=403))
    assert (await provider.inspector.setup(hidden)).takes_dead_letters is None
    await provider.close()


@pytest.mark.parametrize("missing", PROBED)
async def test_a_missing_permission_is_seen_without_touching_a_message(strict: StrictServer, missing: str) -> None:
    """The operation that is refused as forbidden is told; of the others no more is said than that they are not."""
    harness = SqsHarness(strict, is_fifo=False)
    provider, queue = await harness.open(), await harness.make()
    strict.fail(PROBED[missing], Fault("AccessDenied", status=403))

    told = await provider.inspector.permissions(queue)

    assert told == {**dict.fromkeys(PROBED, None), f"sqs:SendMessage on {queue}-dlq": None, missing: False}
    assert [held for each in strict.queues.values() for held in each.held] == []
    await provider.close()


async def test_probes_do_nothing_to_the_messages_of_other_servers(moto: LocalServer) -> None:
    """Whatever a server makes of them the queue is as full as before, and no delivery is counted."""
    harness = SqsHarness(moto, is_fifo=False)
    provider, queue = await harness.open(), await harness.make()
    url = str((await harness.call("GetQueueUrl", QueueName=str(queue)))["QueueUrl"])
    await harness.call("SendMessage", QueueUrl=url, MessageBody="here to stay")

    told = await provider.inspector.permissions(QueueName(queue))

    assert set(told.values()) == {None}
    counts = await provider.counts(queue)
    assert (counts.active, counts.in_flight) == (1, 0)
    taken = await harness.call(
        "ReceiveMessage", QueueUrl=url, AttributeNames=["ApproximateReceiveCount"], MaxNumberOfMessages=1
    )
    assert '"ApproximateReceiveCount": "1"' in json.dumps(taken)
    await provider.close()
