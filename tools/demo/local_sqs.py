"""An SQS server on this machine: MiniStack, in a process of its own that ends with this one."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import tempfile
import urllib.request
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import cast

from queue_runtime.providers.errors import ConfigurationError
from queue_runtime.providers.message import QueueName

__all__ = ["make_fifo_queue", "server", "settings"]

REGION = "eu-central-1"
_HOST = "127.0.0.1"
_VISIBLE_S = 5  # what a killed engine was given and did not journal comes back after that
_MAX_BYTES = 262_144  # the most that this server lets a queue take
_START_S = 120.0
_TICK_S = 0.05
# The SDK has its credentials from the environment. These open nothing, and keep it from looking for real ones.
_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "demo",
    "AWS_SECRET_ACCESS_KEY": "demo",
    "AWS_EC2_METADATA_DISABLED": "true",
    "NO_PROXY": _HOST,
    "no_proxy": _HOST,
}
_REAL_ONES = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN")


def settings(url: str) -> Mapping[str, object]:
    """Return what a provider's settings have to be for this server, whatever the environment says of a real one."""
    return {
        "provider": "sqs",
        "sqs_region": REGION,
        "sqs_endpoint_url": url,
        "sqs_queue_urls": (),
        "sqs_owner_account": None,
        "sqs_dead_letter_queue": None,
        "sqs_visibility_timeout_s": None,
        "sqs_max_message_bytes": _MAX_BYTES,
        "sqs_longest_poll_s": 1,
    }


@asynccontextmanager
async def server(log: Path) -> AsyncGenerator[str]:
    """Run a server until the block ends, and yield its URL; this process and its children have its credentials.

    Raises:
        ConfigurationError: it is not installed, or does not start.
    """
    if find_spec("ministack") is None:
        msg = (
            "the demo on SQS runs a local server, MiniStack, which is not there: pip install 'queue-runtime[demo-sqs]'"
        )
        raise ConfigurationError(msg)
    port = _free_port()
    command = (sys.executable, "-W", "ignore", "-m", "queue_runtime.tools.demo.ministack")
    with _credentials(), tempfile.TemporaryDirectory(prefix="qr-sqs-") as folder, log.open("ab") as output:
        here = {
            "BIND_HOST": _HOST,
            "GATEWAY_PORT": str(port),
            "SERVICES": "sqs",
            "SFTP_ENABLED": "0",
            "IOT_MTLS_ENABLED": "0",
            "LOG_LEVEL": "ERROR",
            "TMPDIR": folder,
        }
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, stdout=output, stderr=output, env={**os.environ, **here}
        )
        try:
            await _until_it_listens(process, port, log)
            yield f"http://{_HOST}:{port}"
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


@contextmanager
def _credentials() -> Generator[None]:
    before = {name: os.environ.get(name) for name in (*_CREDENTIALS, *_REAL_ONES)}
    for name in _REAL_ONES:
        os.environ.pop(name, None)
    os.environ.update(_CREDENTIALS)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _free_port() -> int:
    with socket.socket() as free:
        free.bind((_HOST, 0))
        return cast("int", free.getsockname()[1])


async def _until_it_listens(process: asyncio.subprocess.Process, port: int, log: Path) -> None:
    deadline = asyncio.get_running_loop().time() + _START_S
    while process.returncode is None and asyncio.get_running_loop().time() < deadline:
        try:
            _, writer = await asyncio.open_connection(_HOST, port)
        except OSError:
            await asyncio.sleep(_TICK_S)
        else:
            writer.close()
            return
    msg = f"the local SQS server does not start: see the end of {log}"
    raise ConfigurationError(msg)


async def make_fifo_queue(url: str, queue: QueueName, *, max_deliveries: int) -> None:
    """Make a FIFO queue, and one for its dead letters."""
    name = f"{str(queue).removesuffix('.fifo')}-dlq.fifo"
    buried = await _create(url, name, {})
    arn = f"arn:aws:sqs:{REGION}:{buried.split('/')[-2]}:{name}"
    policy = {"deadLetterTargetArn": arn, "maxReceiveCount": str(max_deliveries)}
    await _create(url, str(queue), {"RedrivePolicy": json.dumps(policy), "VisibilityTimeout": str(_VISIBLE_S)})


async def _create(url: str, name: str, attributes: Mapping[str, str]) -> str:
    every = {"FifoQueue": "true", "MaximumMessageSize": str(_MAX_BYTES)}
    answer = await asyncio.to_thread(_post, url, {"QueueName": name, "Attributes": {**every, **attributes}})
    return str(answer["QueueUrl"])


def _post(url: str, parameters: Mapping[str, object]) -> Mapping[str, object]:
    """Create a queue past the SDK, which belongs to the provider: the server checks no signature."""
    scope = f"demo/20260101/{REGION}/sqs/aws4_request"
    headers = {
        "Content-Type": "application/x-amz-json-1.0",
        "X-Amz-Target": "AmazonSQS.CreateQueue",
        "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0",
    }
    request = urllib.request.Request(url, json.dumps(parameters).encode(), headers)  # noqa: S310 - this process's own
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - as above
        return cast("Mapping[str, object]", json.loads(answer.read()))
