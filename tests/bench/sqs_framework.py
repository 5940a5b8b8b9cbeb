"""The fastest framework over SQS that we know, taskiq with taskiq-aio-sqs, where it is installed.

It is no dependency, not even for development: `pip install taskiq-aio-sqs` adds it to the comparison.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Coroutine, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, cast

from queue_runtime.providers.message import Message
from tests.bench.bodies import QUEUE
from tests.bench.figures import Round, measured
from tests.bench.sqs_server import REGION, StubServer

AT_A_TIME = 100
_TASK = "handle"


class _Broker(Protocol):
    """What is used of a broker of taskiq."""

    def register_task(self, func: Callable[[str], Coroutine[object, object, None]], task_name: str) -> object: ...
    async def startup(self) -> None: ...
    async def shutdown(self) -> None: ...


def is_installed() -> bool:
    """Say whether it can be measured."""
    return find_spec("taskiq_aio_sqs") is not None


def framework_entries(work: Sequence[Message]) -> list[dict[str, object]]:
    """Return what taskiq sends for a task with the body for its argument."""
    task: dict[str, object] = {"task_name": _TASK, "labels": {}, "labels_types": {}, "kwargs": {}}
    return [
        {"MessageBody": json.dumps({**task, "task_id": message.message_id, "args": [message.body.decode()]})}
        for message in work
    ]


async def framework_receiving(server: StubServer, count: int, folder: Path) -> Round:
    """Take `count` tasks that do nothing through a receiver, until the last one is deleted."""
    del folder
    logging.getLogger("taskiq").setLevel(logging.ERROR)
    result = Round(count)
    await server.load(count)
    make = cast("Callable[..., _Broker]", import_module("taskiq_aio_sqs").SQSBroker)
    run = cast("Callable[..., Coroutine[object, object, None]]", import_module("taskiq.api").run_receiver_task)
    broker = make(str(QUEUE), endpoint_url=server.url, region_name=REGION, max_number_of_messages=10)
    broker.register_task(_handle, _TASK)
    await broker.startup()
    receiver = asyncio.create_task(run(broker, max_async_tasks=AT_A_TIME, max_prefetch=AT_A_TIME))
    with measured(result):
        await server.until_deleted(count)
    receiver.cancel()
    await server.let_go()
    with contextlib.suppress(asyncio.CancelledError):
        await receiver
    await broker.shutdown()
    return result


async def _handle(body: str) -> None:
    """Do nothing, as our handler does."""
