"""SQS servers for tests, each with a clock that a test sets forward, and what makes queues on them."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, cast

from queue_runtime.providers.conformance import QueueRules
from queue_runtime.providers.message import QueueName
from queue_runtime.providers.sqs import SqsProvider, SqsSettings
from tests.sqs.shifted import ShiftedClock

REGION = "eu-central-1"
LOCK_S = 10
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}

numbers = itertools.count(1)


class Server(Protocol):
    """A place that answers like SQS."""

    url: str
    clock: ShiftedClock

    def advance(self, seconds: float) -> None:
        """Set its clock forward, and the one that providers under test read."""
        ...


class LocalServer:
    """A server of somebody else's, in a process of its own that ends with this one."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self._process = process
        self.url = process.stdout.readline().strip()
        self.clock = ShiftedClock()

    def advance(self, seconds: float) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()
        self._process.stdout.readline()
        self.clock.add(seconds)


@contextmanager
def local_server(name: str) -> Generator[LocalServer]:
    """Run `moto` or `ministack` until the block ends."""
    script = Path(__file__).with_name("local_server.py")
    command = [sys.executable, "-W", "ignore", str(script), name]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **CREDENTIALS},
    ) as process:
        try:
            yield LocalServer(process)
        finally:
            process.kill()


class SqsHarness:
    """A server under test. What it says of itself beside the port's harness: `make`, `settings`."""

    patience_s = 2.0

    def __init__(self, server: Server, *, is_fifo: bool) -> None:
        self.server = server
        self._suffix = ".fifo" if is_fifo else ""

    def settings(self, **changes: object) -> SqsSettings:
        """Return how the server is reached; polls are short, since closing waits for them."""
        given: dict[str, object] = {
            "region": REGION,
            "endpoint_url": self.server.url,
            "longest_poll_s": 1,
            "max_message_bytes": 65_536,
        }
        return SqsSettings(**{**given, **changes})  # pyright: ignore[reportArgumentType] - named by the caller

    async def open(self) -> SqsProvider:
        provider = SqsProvider(self.settings(), self.server.clock)
        await provider.open()
        return provider

    async def make_queue(self, rules: QueueRules) -> QueueName:
        return await self.make(max_deliveries=rules.max_deliveries)

    async def make(self, *, max_deliveries: int | None = 10, **attributes: str) -> QueueName:
        """Make a queue, with one for its dead letters unless `max_deliveries` is None."""
        name = f"queue-{os.getpid()}-{next(numbers)}"
        redrive: dict[str, str] = {}
        if max_deliveries is not None:
            url = await self._create(f"{name}-dlq{self._suffix}", {})
            arn = f"arn:aws:sqs:{REGION}:{url.split('/')[-2]}:{name}-dlq{self._suffix}"
            policy = {"deadLetterTargetArn": arn, "maxReceiveCount": str(max_deliveries)}
            redrive = {"RedrivePolicy": json.dumps(policy)}
        await self._create(f"{name}{self._suffix}", {**redrive, **attributes})
        return QueueName(f"{name}{self._suffix}")

    async def _create(self, name: str, attributes: Mapping[str, str]) -> str:
        kind = {"FifoQueue": "true"} if self._suffix else {}
        whole = {"VisibilityTimeout": str(LOCK_S), "MaximumMessageSize": "262144", **kind, **attributes}
        answer = await self.call("CreateQueue", QueueName=name, Attributes=whole)
        return str(answer["QueueUrl"])

    async def call(self, action: str, **parameters: object) -> Mapping[str, object]:
        """Make a call of the service's own, past everything under test."""
        return await asyncio.to_thread(_post, self.server.url, action, parameters)

    async def pass_time(self, seconds: float) -> None:
        await self.call("ListQueues")  # behind every call that is on its way already
        await asyncio.to_thread(self.server.advance, seconds)


def _post(url: str, action: str, parameters: Mapping[str, object]) -> Mapping[str, object]:
    scope = f"test/20260101/{REGION}/sqs/aws4_request"
    headers = {
        "Content-Type": "application/x-amz-json-1.0",
        "X-Amz-Target": f"AmazonSQS.{action}",
        "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0",
    }
    request = urllib.request.Request(url, json.dumps(parameters).encode(), headers)  # noqa: S310 - the server's own
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return cast("Mapping[str, object]", json.loads(answer.read() or b"{}"))
