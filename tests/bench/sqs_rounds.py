"""One round of each way to work an SQS queue: the SDK alone, our client, our engine, and a framework.

The SDK alone is the best plain loop there is: ten tasks that receive, delete and send in batches of ten, with the
settings of our own clients.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol, cast

from queue_runtime.providers import QueueClient
from queue_runtime.providers.errors import QueueError
from queue_runtime.providers.message import Message
from queue_runtime.providers.port import Address, Sent, Settlement
from queue_runtime.providers.sqs import SqsProvider, SqsSettings
from queue_runtime.providers.sqs.clients import Use, client_config, new_session
from queue_runtime.providers.sqs.receiving import SYSTEM_ATTRIBUTES
from queue_runtime.providers.sqs.settings import MAX_BATCH
from tests.bench.bodies import QUEUE
from tests.bench.engines import Shape, running_engine
from tests.bench.figures import Round, measured
from tests.bench.sqs_server import REGION, StubServer

TASKS = 10
WAIT_S = 5
_LONGEST_POLL_S = 20


class _Sdk(Protocol):
    """What is used of the SDK, which has no types."""

    async def receive_message(self, **parameters: object) -> Mapping[str, object]: ...
    async def delete_message_batch(self, **parameters: object) -> Mapping[str, object]: ...
    async def send_message_batch(self, **parameters: object) -> Mapping[str, object]: ...
    async def get_queue_url(self, **parameters: object) -> Mapping[str, object]: ...


class CountedSqsProvider(SqsProvider):
    """Knows when `expected` settlements have been confirmed."""

    def __init__(self, settings: SqsSettings, expected: int) -> None:
        super().__init__(settings)
        self._left = expected
        self.all_settled = asyncio.Event()

    async def settle(self, source: Address, settlements: Sequence[Settlement]) -> list[QueueError | None]:
        """As the port says."""
        answers = await super().settle(source, settlements)
        self._left -= answers.count(None)
        if self._left <= 0:
            self.all_settled.set()
        return answers


def settings(server: StubServer) -> SqsSettings:
    """Return how our provider reaches the stand-in."""
    return SqsSettings(region=REGION, endpoint_url=server.url, longest_poll_s=_LONGEST_POLL_S)


@asynccontextmanager
async def _sdk(server: StubServer, use: Use) -> AsyncGenerator[tuple[_Sdk, str]]:
    session = new_session()
    config = client_config(session, use, _LONGEST_POLL_S)
    create = cast("Callable[..., AbstractAsyncContextManager[object]]", session.create_client)
    async with create("sqs", region_name=REGION, endpoint_url=server.url, config=config) as client:
        sdk = cast("_Sdk", client)
        yield sdk, str((await sdk.get_queue_url(QueueName=str(QUEUE)))["QueueUrl"])


async def plain_receiving(server: StubServer, count: int, folder: Path) -> Round:
    """Receive and delete `count` messages with the SDK alone."""
    del folder
    result = Round(count)
    await server.load(count)
    async with _sdk(server, Use.POLL) as (polls, url), _sdk(server, Use.CALL) as (calls, _):

        async def work() -> None:
            while messages := await _plain_receive(polls, url):
                entries = [
                    {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
                    for number, message in enumerate(messages)
                ]
                await calls.delete_message_batch(QueueUrl=url, Entries=entries)

        with measured(result):
            await asyncio.gather(*(work() for _ in range(TASKS)))
    await _check(server, count)
    return result


async def _plain_receive(sdk: _Sdk, url: str) -> Sequence[Mapping[str, object]]:
    answer = await sdk.receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=MAX_BATCH,
        WaitTimeSeconds=0,  # the backlog is over when it is empty
        MessageSystemAttributeNames=SYSTEM_ATTRIBUTES,
        MessageAttributeNames=["All"],
    )
    return cast("Sequence[Mapping[str, object]]", answer.get("Messages") or [])


async def client_receiving(server: StubServer, count: int, folder: Path) -> Round:
    """Receive and complete `count` messages with our client, those of a batch at the same time."""
    del folder
    result = Round(count)
    await server.load(count)
    async with QueueClient(SqsProvider(settings(server))) as client:

        async def work() -> None:
            while deliveries := await client.receive_batch(QUEUE, MAX_BATCH, timeout_s=0):
                await asyncio.gather(*map(client.complete, deliveries))

        with measured(result):
            await asyncio.gather(*(work() for _ in range(TASKS)))
    await _check(server, count)
    return result


async def engine_receiving(server: StubServer, count: int, shape: Shape, folder: Path) -> Round:
    """Take `count` messages through the engine and its journal, until the last deletion is confirmed."""
    result = Round(count)
    await server.load(count)
    provider = CountedSqsProvider(settings(server), count)
    await provider.open()
    async with running_engine(shape, provider, folder):
        with measured(result):
            await provider.all_settled.wait()
        await _check(server, count)
        await server.let_go()
    return result


async def plain_sending(server: StubServer, work: Sequence[Message], folder: Path) -> Round:
    """Send `work` with the SDK alone: text bodies and their attributes."""
    del folder
    result = Round(len(work))
    await server.load(0)
    left = iter(work)
    async with _sdk(server, Use.SEND) as (sdk, url):

        async def send() -> None:
            for batch in _batches(left):
                entries = [_entry(number, message) for number, message in enumerate(batch)]
                await sdk.send_message_batch(QueueUrl=url, Entries=entries)

        with measured(result):
            await asyncio.gather(*(send() for _ in range(TASKS)))
    assert (await server.seen()).sent == len(work)
    return result


def _batches(left: Iterator[Message]) -> Iterator[list[Message]]:
    while batch := list(islice(left, MAX_BATCH)):
        yield batch


def _entry(number: int, message: Message) -> dict[str, object]:
    attributes = {name: {"DataType": "String", "StringValue": text} for name, text in message.attributes.items()}
    return {"Id": str(number), "MessageBody": message.body.decode(), "MessageAttributes": attributes}


async def client_sending(server: StubServer, work: Sequence[Message], folder: Path) -> Round:
    """Send `work` with our client, as many batches at a time as the plain loop."""
    del folder
    result = Round(len(work))
    await server.load(0)
    left = iter(work)
    async with QueueClient(SqsProvider(settings(server))) as client:

        async def send() -> None:
            for batch in _batches(left):
                answers = await client.send_batch(QUEUE, batch)
                assert all(isinstance(answer, Sent) for answer in answers)

        with measured(result):
            await asyncio.gather(*(send() for _ in range(TASKS)))
    assert (await server.seen()).sent == len(work)
    return result


@dataclass(frozen=True, slots=True)
class Steady:
    """An engine at an offered rate. `took_ms`: from the message's arrival at the queue to its deletion."""

    took_ms: list[float]
    cpu_us: float
    calls_per_message: float


async def engine_at(server: StubServer, count: int, rate: float, shape: Shape, folder: Path) -> Steady:
    """Have `count` messages come at `rate` a second, at random, and see how long each took."""
    await server.load(0)
    provider = CountedSqsProvider(settings(server), count)
    await provider.open()
    async with running_engine(shape, provider, folder):
        cpu = time.process_time()
        await server.arrive(count, rate)
        await provider.all_settled.wait()
        cpu = time.process_time() - cpu
        seen = await server.seen()
        await server.let_go()
    return Steady(seen.took_ms, cpu / count * 1e6, sum(seen.calls.values()) / count)


async def idle_cpu(server: StubServer, for_s: float, shape: Shape, folder: Path) -> float:
    """Return the share of a core that an engine takes which waits for messages."""
    await server.load(0)
    provider = CountedSqsProvider(settings(server), 1)
    await provider.open()
    async with running_engine(shape, provider, folder):
        began, cpu = time.monotonic(), time.process_time()
        await asyncio.sleep(for_s)
        share = (time.process_time() - cpu) / (time.monotonic() - began)
        await server.let_go()
    return share


async def _check(server: StubServer, count: int) -> None:
    seen = await server.seen()
    assert seen.deleted == count, f"{seen.deleted} of {count} messages were deleted"
