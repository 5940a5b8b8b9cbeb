"""What goes to the service and comes back as bytes: how the SDK is made to write and to read it."""

import asyncio
import base64
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from queue_runtime.providers.errors import ProviderError
from queue_runtime.providers.message import QueueName
from queue_runtime.providers.sqs import SqsProvider, SqsSettings
from tests.sqs.servers import REGION
from tests.sqs.strict import StrictServer
from tests.sqs.test_wire import rig


@asynccontextmanager
async def answering(body: bytes, heads: list[str]) -> AsyncGenerator[str]:
    """Answer every call with `body` and 200, and note the heads of the calls."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("body", [b"<html>sign in</html>", b"[]"])
async def test_an_answer_that_is_none_of_the_service_is_an_error(body: bytes) -> None:
    """A page that something on the way puts in place of an answer is not taken for an empty queue."""
    async with answering(body, []) as url:
        provider = SqsProvider(SqsSettings(region=REGION, endpoint_url=url))
        await provider.open()

        with pytest.raises(ProviderError, match="the SDK failed") as caught:
            await provider.capabilities(QueueName("orders"))

        await provider.close()
    assert caught.value.transient
    assert "sign in" not in str(caught.value)


async def test_a_call_names_the_sdk_and_its_versions() -> None:
    """The user agent, which is put together once, says what the SDK says of itself, each part once."""
    heads: list[str] = []
    async with answering(b'{"QueueUrl": "http://127.0.0.1/0/orders", "Attributes": {}}', heads) as url:
        provider = SqsProvider(SqsSettings(region=REGION, endpoint_url=url))
        await provider.open()
        await provider.capabilities(QueueName("orders"))
        await provider.close()

    (agent,) = {line for head in heads for line in head.split("\r\n") if line.lower().startswith("user-agent:")}
    names = [part.partition("/")[0] for part in agent.split()]
    assert {name: names.count(name) for name in ("aiobotocore", "botocore", "Python")} == {
        "aiobotocore": 1,
        "botocore": 1,
        "Python": 1,
    }


async def test_A32_a_binary_attribute_of_others_comes_in_base64(strict: StrictServer) -> None:
    """Attributes are text: what others sent as bytes is what the service writes for them."""
    desk = await rig(strict)
    text = base64.b64encode(b"\xff\x00").decode()
    await desk.put(MessageBody="x", MessageAttributes={"seal": {"DataType": "Binary", "BinaryValue": text}})

    message = await desk.one()

    assert message.attributes == {"seal": text}
    await desk.provider.close()
