"""What goes over the wire: other consumers read it where they can, and what is not ours is delivered as it came."""

import json
from datetime import timedelta

import pytest

from queue_runtime.providers.conformance import QueueRules
from queue_runtime.providers.errors import MessageTooLarge, OutOfRange
from queue_runtime.providers.message import Message, QueueName
from queue_runtime.providers.port import Address, Sent, SettleKind, Settlement
from queue_runtime.providers.sqs import SqsProvider
from tests.sqs.servers import SqsHarness
from tests.sqs.strict import Json, StrictServer

CARRIED = {
    "text": Message(b'{"a": 1}', attributes={"kind": "push"}),
    "white space, and the ends of what is text": Message("\t\n\r \x7f\ufffd\U0010ffff".encode()),
    "all that ten attributes hold": Message(
        "grüße\n".encode(),
        message_id="m 1",
        session_id="a b",
        correlation_id="c",
        content_type="text/plain",
        attributes={"trace.id": "t", "AWSTraceHeader": "Root=1-5e-1"},
        time_to_live=timedelta(hours=1),
    ),
}
PACKED = {
    "bytes that are no text": Message(b"\xff"),
    "an empty body": Message(b""),
    "a character that the service does not take": Message(b"a\x00"),
    "the last of them that is a control": Message(b"a\x1f"),
    "what is no character": Message("a\ufffe".encode()),
    "what is none either": Message("a\uffff".encode()),
    "an empty attribute": Message(b"x", attributes={"a": ""}),
    "an attribute's name that is no name": Message(b"x", attributes={"naïve": "a"}),
    "an attribute of the service's own": Message(b"x", attributes={"AWS.x": "a"}),
    "an attribute of ours": Message(b"x", attributes={"queue-runtime-id": "another"}),
    "more than ten attributes": Message(b"x", attributes={f"a{n}": "x" for n in range(10)}),
}


class Rig:
    """A provider, a queue, and what the service was sent."""

    def __init__(self, strict: StrictServer, harness: SqsHarness, provider: SqsProvider, queue: QueueName) -> None:
        self.strict = strict
        self.harness = harness
        self.provider = provider
        self.queue = queue
        self.source = Address(queue)
        self.dead_letters = Address(queue, dead_letters=True)

    def sent(self) -> list[Json]:
        return [entry for call in self.strict.calls("SendMessageBatch") for entry in call["Entries"]]

    async def put(self, **entry: object) -> None:
        """Have somebody else send."""
        url = f"{self.strict.url}/000000000000/{self.queue}"
        await self.harness.call("SendMessageBatch", QueueUrl=url, Entries=[{"Id": "0", **entry}])

    async def one(self, source: Address | None = None) -> Message:
        (delivery,) = await self.provider.receive(source or self.source, 1, 1)
        return delivery.message


async def rig(strict: StrictServer, *, is_fifo: bool = False) -> Rig:
    harness = SqsHarness(strict, is_fifo=is_fifo)
    provider = await harness.open()
    return Rig(strict, harness, provider, await harness.make_queue(QueueRules()))


@pytest.mark.parametrize("message", CARRIED.values(), ids=CARRIED.keys())
async def test_A32_text_goes_as_it_is(strict: StrictServer, message: Message) -> None:
    """A body of text and string attributes are readable for everybody, and come back whole."""
    desk = await rig(strict)
    await desk.provider.send(desk.queue, [message])

    (entry,) = desk.sent()

    assert entry["MessageBody"] == message.body.decode()
    plain = {name: value["StringValue"] for name, value in entry["MessageAttributes"].items()}
    assert message.attributes.items() - {("AWSTraceHeader", "Root=1-5e-1")} <= plain.items()
    assert await desk.one() == message
    await desk.provider.close()


@pytest.mark.parametrize("message", PACKED.values(), ids=PACKED.keys())
async def test_A32_what_the_service_cannot_carry_goes_in_an_envelope(strict: StrictServer, message: Message) -> None:
    """Bytes, and attributes beyond the service's rules, are packed, marked, and come back whole."""
    desk = await rig(strict)
    await desk.provider.send(desk.queue, [message])

    (entry,) = desk.sent()

    assert list(entry["MessageAttributes"]) == ["queue-runtime-envelope"]
    assert await desk.one() == message
    await desk.provider.close()


async def test_A08_a_session_with_spaces_is_a_group_without(strict: StrictServer) -> None:
    """A group id takes no space, so the session is encoded, and decoded again; one that gets too long is refused."""
    desk = await rig(strict, is_fifo=True)
    sessions = ["a b", "100%", "%20", "a/b"]

    sent = await desk.provider.send(desk.queue, [Message(b"x", session_id=session) for session in sessions])
    (refused,) = await desk.provider.send(desk.queue, [Message(b"x", session_id=" " * 43)])

    assert all(isinstance(answer, Sent) for answer in sent)
    assert isinstance(refused, OutOfRange)
    got = await desk.provider.receive(desk.source, 10, 1)
    assert [delivery.message.session_id for delivery in got] == sessions
    assert [entry["MessageGroupId"] for entry in desk.sent()] == ["a%20b", "100%25", "%2520", "a/b"]
    await desk.provider.close()


async def test_A32_a_foreign_message_is_delivered_as_it_came(strict: StrictServer) -> None:
    """A body without our marks comes as its bytes, under the service's id, with its attributes and its group."""
    desk = await rig(strict, is_fifo=True)
    attribute = {"DataType": "Number", "StringValue": "7"}
    await desk.put(
        MessageBody="hello", MessageGroupId="g%", MessageDeduplicationId="d", MessageAttributes={"n": attribute}
    )

    (delivery,) = await desk.provider.receive(desk.source, 1, 1)

    assert delivery.message.body == b"hello"
    assert delivery.message.message_id == delivery.receipt.provider_id
    assert (delivery.message.session_id, delivery.message.attributes) == ("g%", {"n": "7"})
    await desk.provider.close()


@pytest.mark.parametrize(
    "entry",
    [
        {"MessageBody": "bm8gZW52ZWxvcGU=", "MessageAttributes": {"queue-runtime-envelope": "1"}},
        {"MessageBody": "text", "MessageAttributes": {"queue-runtime-ttl-us": "soon"}},
    ],
)
async def test_E6_a_broken_envelope_is_dead_lettered_with_its_bytes(strict: StrictServer, entry: Json) -> None:
    """What is marked as ours and is not is never delivered, costs the next one nothing, and is kept byte for byte."""
    desk = await rig(strict)
    marks = {name: {"DataType": "String", "StringValue": value} for name, value in entry["MessageAttributes"].items()}
    await desk.put(MessageBody=entry["MessageBody"], MessageAttributes=marks)
    await desk.provider.send(desk.queue, [Message(b"next")])

    assert (await desk.one()).body == b"next"
    (buried,) = await desk.provider.receive(desk.dead_letters, 1, 1)
    assert buried.message.body == entry["MessageBody"].encode()
    assert buried.dead_letter is not None
    assert buried.dead_letter.reason == "undecodable"
    await desk.provider.close()


async def test_B16_sizes_are_those_of_what_is_sent(strict: StrictServer) -> None:
    """An envelope counts with its base64 and its marks, and what any body may have is declared so that it fits."""
    desk = await rig(strict)
    queue = await desk.harness.make(MaximumMessageSize="20000")
    limit = (await desk.provider.capabilities(queue)).max_message_bytes

    (fits,) = await desk.provider.send(queue, [Message(b"\xff" * limit)])
    (refused,) = await desk.provider.send(queue, [Message(b"\xff" * limit, correlation_id="c" * 9_000)])

    assert isinstance(fits, Sent)
    assert isinstance(refused, MessageTooLarge)
    assert refused.size > refused.max_size == 20_000
    await desk.provider.close()


async def test_E10_an_operator_reads_why_in_the_console(strict: StrictServer) -> None:
    """A dead letter carries its reason as JSON, beside a body that is what it was."""
    desk = await rig(strict)
    await desk.provider.send(desk.queue, [Message(b"bad")])
    (delivery,) = await desk.provider.receive(desk.source, 1, 1)
    why = Settlement(SettleKind.DEAD_LETTER, delivery.receipt, reason="no JSON", message=delivery.message)
    assert await desk.provider.settle(desk.source, [why]) == [None]

    (dead,) = desk.strict.queues[f"{desk.queue}-dlq"].held

    assert dead.body == "bad"
    record = json.loads(dead.attributes["queue-runtime-dead-letter"]["StringValue"])
    assert (record["reason"], record["delivery_count"]) == ("no JSON", 1)
    await desk.provider.close()
