"""A stand-in for SQS that costs next to nothing: prepared answers over HTTP/1.1, in a process of its own.

It hands out prepared messages, each once, and takes every deletion, renewal and send for good. It checks nothing, so
that what is measured beside it is the client. Commands come on standard input, a JSON object a line, and each is
answered by a line on standard output; at the end of the input it stops, and so with whoever started it.
"""

import asyncio
import json
import random
import re
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias, cast

ACCOUNT = "000000000000"
MAX_BATCH = 10
_VISIBLE_S = 300
_HANDLE_DIGITS = 8
_HANDLE_PADDING = "x" * 400  # the service's handles are that long
_RECEIPT = re.compile(rb'"ReceiptHandle": ?"(\d{8})')
_MOST = re.compile(rb'"MaxNumberOfMessages": ?(\d+)')
_WAIT = re.compile(rb'"WaitTimeSeconds": ?(\d+)')
_NAME = re.compile(rb'"QueueName": ?"([^"]+)"')
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_TARGET = re.compile(rb"(?i)\r\nx-amz-target: *AmazonSQS\.(\w+)")
_ATTRIBUTES = {
    "FifoQueue": "false",
    "VisibilityTimeout": str(_VISIBLE_S),
    "MaximumMessageSize": "1048576",
    "RedrivePolicy": json.dumps(
        {"deadLetterTargetArn": f"arn:aws:sqs:eu-central-1:{ACCOUNT}:dead", "maxReceiveCount": "100"}
    ),
}
_DIGEST = "d41d8cd98f00b204e9800998ecf8427e"  # of a body: what the SDK asks for it reads, and does not compare

Answer: TypeAlias = "bytes | None"
"""The answer to a call; None if it comes later."""


def message(number: int, entry: dict[str, object], sent_at_ms: int) -> bytes:
    """Return what a receive says about one message, as JSON."""
    said = {
        "MessageId": f"{number:08d}-0000-4000-8000-000000000000",
        "ReceiptHandle": f"{number:0{_HANDLE_DIGITS}d}{_HANDLE_PADDING}",
        "MD5OfBody": _DIGEST,
        "Body": entry["MessageBody"],
        "Attributes": {
            "ApproximateReceiveCount": "1",
            "ApproximateFirstReceiveTimestamp": str(sent_at_ms),
            "SentTimestamp": str(sent_at_ms),
        },
    }
    if "MessageAttributes" in entry:
        said |= {"MessageAttributes": entry["MessageAttributes"], "MD5OfMessageAttributes": _DIGEST}
    return json.dumps(said).encode()


def answered(body: bytes, status: bytes = b"200 OK") -> bytes:
    """Return an answer as it goes over the wire."""
    return b"".join(
        (
            b"HTTP/1.1 ",
            status,
            b"\r\nx-amzn-RequestId: 00000000-0000-4000-8000-000000000000\r\nContent-Type: application/x-amz-json-1.0",
            b"\r\nContent-Length: %d\r\n\r\n" % len(body),
            body,
        )
    )


def _all_done(count: int, more: dict[str, str]) -> bytes:
    done = [{"Id": str(number), **more} for number in range(count)]
    return answered(json.dumps({"Successful": done, "Failed": []}).encode())


class Queue:
    """What there is to receive, who waits for it, and what was seen."""

    def __init__(self) -> None:
        self.prepared: list[bytes] = []
        self.ready: deque[int] = deque()
        self.waiting: deque[tuple[asyncio.Transport, int, asyncio.TimerHandle]] = deque()
        self.calls: Counter[str] = Counter()
        self.sent_at: dict[int, float] = {}
        self.deleted_at: dict[int, float] = {}
        self.sent = 0
        self.is_over = False
        self.enough = 0
        self.is_enough: asyncio.Future[None] | None = None

    def look(self) -> None:
        """See whether as many are deleted as somebody waits for."""
        if self.is_enough is not None and not self.is_enough.done() and len(self.deleted_at) >= self.enough:
            self.is_enough.set_result(None)

    def arrived(self, number: int) -> None:
        """One more message: whoever waits longest gets it at once."""
        self.sent_at[number] = time.perf_counter()
        self.ready.append(number)
        while self.waiting:
            transport, most, timer = self.waiting.popleft()
            timer.cancel()
            if not transport.is_closing():
                transport.write(self.taken(most))
                return

    def taken(self, most: int) -> bytes:
        """Hand out up to `most` messages."""
        some = [self.prepared[self.ready.popleft()] for _ in range(min(most, len(self.ready)))]
        return answered(b'{"Messages": [' + b", ".join(some) + b"]}") if some else answered(b"{}")

    def forget(self) -> None:
        """Have nothing, and have seen nothing; what is prepared stays."""
        self.let_go()
        self.ready.clear()
        self.calls.clear()
        self.sent_at.clear()
        self.deleted_at.clear()
        self.sent = 0
        self.is_over = False

    def let_go(self) -> None:
        """Answer every poll that waits, and those to come."""
        self.is_over = True
        while self.waiting:
            transport, _, timer = self.waiting.popleft()
            timer.cancel()
            transport.write(answered(b"{}"))


class Connection(asyncio.Protocol):
    """One connection, one call at a time."""

    def __init__(self, queue: Queue, actions: dict[bytes, Callable[[asyncio.Transport, bytes], Answer]]) -> None:
        self._queue = queue
        self._actions = actions
        self._come = bytearray()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note where answers go."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer a call that is whole."""
        self._come += data
        end = self._come.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._come[:end])
        length = _LENGTH.search(head)
        whole = end + 4 + (int(length[1]) if length else 0)
        if len(self._come) < whole:
            return
        body = bytes(self._come[end + 4 : whole])
        del self._come[:whole]
        target = _TARGET.search(head)
        name = target[1] if target else b""
        self._queue.calls[name.decode()] += 1
        answer = self._actions.get(name, _unknown)(self._transport, body)
        if answer is not None:
            self._transport.write(answer)


def _unknown(transport: asyncio.Transport, body: bytes) -> bytes:
    del transport, body
    return answered(b'{"__type": "com.amazonaws.sqs#UnsupportedOperation"}', b"400 Bad Request")


class Stub:
    """Answers calls and commands."""

    def __init__(self) -> None:
        self._queue = Queue()
        self._url = ""
        self._arriving: asyncio.Task[None] | None = None
        self._deleted = [_all_done(count, {}) for count in range(MAX_BATCH + 1)]
        sent = {"MessageId": "00000000-0000-4000-8000-000000000000", "MD5OfMessageBody": _DIGEST}
        self._sent = [_all_done(count, sent) for count in range(MAX_BATCH + 1)]
        self._attributes = answered(json.dumps({"Attributes": _ATTRIBUTES}).encode())
        self._actions: dict[bytes, Callable[[asyncio.Transport, bytes], Answer]] = {
            b"ReceiveMessage": self._receive,
            b"DeleteMessageBatch": self._delete,
            b"DeleteMessage": self._delete_one,
            b"ChangeMessageVisibilityBatch": self._change,
            b"SendMessageBatch": self._send,
            b"GetQueueUrl": self._get_url,
            b"GetQueueAttributes": lambda _, __: self._attributes,
        }
        self._commands: dict[str, Callable[..., object]] = {
            "load": self._load,
            "arrive": self._arrive,
            "let_go": self._let_go,
            "until_deleted": self._until_deleted,
            "seen": self._seen,
        }

    async def run(self) -> None:
        """Serve on a free port until the standard input ends."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Connection(self._queue, self._actions), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        self._url = f"http://127.0.0.1:{port}"
        _say({"url": self._url})
        reader = asyncio.StreamReader(limit=2**20)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            command = cast("dict[str, object]", json.loads(line))
            answer = self._commands[str(command.pop("do"))](**command)
            _say(await cast("asyncio.Future[None]", answer) if isinstance(answer, asyncio.Future) else answer)

    # --- commands ---

    def _load(self, path: str, count: int) -> object:
        """Have `count` messages: those that a file holds, an entry of a send a line, over and over."""
        self._forget()
        if path:
            entries = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
            now = round(time.time() * 1e3)
            self._queue.prepared = [message(number, entry, now) for number, entry in enumerate(entries)]
        self._queue.ready.extend(range(count))
        return count

    def _arrive(self, count: int, rate: float) -> object:
        """Have `count` messages come at `rate` a second, at random, whether or not anybody takes them."""
        self._forget()
        self._arriving = asyncio.get_running_loop().create_task(self._come(count, rate))
        return count

    async def _come(self, count: int, rate: float) -> None:
        chance, due, number = random.Random(20_260_101), time.perf_counter(), 0
        while number < count:
            while number < count and due <= time.perf_counter():
                self._queue.arrived(number)
                due += chance.expovariate(rate)
                number += 1
            await asyncio.sleep(max(due - time.perf_counter(), 0))

    def _forget(self) -> None:
        if self._arriving is not None:
            self._arriving.cancel()
        self._queue.forget()

    def _let_go(self) -> object:
        self._queue.let_go()
        return None

    def _until_deleted(self, count: int) -> object:
        """Answer when `count` messages have been deleted."""
        self._queue.is_enough = asyncio.get_running_loop().create_future()
        self._queue.enough = count
        self._queue.look()
        return self._queue.is_enough

    def _seen(self) -> object:
        """Say what was called how often, what was sent, and how long each message took from its arrival, in ms."""
        queue = self._queue
        late = [(queue.deleted_at[one] - at) * 1e3 for one, at in queue.sent_at.items() if one in queue.deleted_at]
        return {"calls": queue.calls, "sent": queue.sent, "deleted": len(queue.deleted_at), "took_ms": late}

    # --- calls ---

    def _receive(self, transport: asyncio.Transport, body: bytes) -> Answer:
        most, wait = _MOST.search(body), _WAIT.search(body)
        count, wait_s = int(most[1]) if most else 1, int(wait[1]) if wait else 0
        if self._queue.ready or not wait_s or self._queue.is_over:
            return self._queue.taken(count)
        timer = asyncio.get_running_loop().call_later(wait_s, self._waited, transport)
        self._queue.waiting.append((transport, count, timer))
        return None

    def _waited(self, transport: asyncio.Transport) -> None:
        left = [one for one in self._queue.waiting if one[0] is not transport]
        self._queue.waiting = deque(left)
        transport.write(answered(b"{}"))

    def _delete(self, transport: asyncio.Transport, body: bytes) -> Answer:
        del transport
        now = time.perf_counter()
        numbers = _RECEIPT.findall(body)
        self._queue.deleted_at.update((int(number), now) for number in numbers)
        self._queue.look()
        return self._deleted[len(numbers)]

    def _delete_one(self, transport: asyncio.Transport, body: bytes) -> Answer:
        self._delete(transport, body)
        return answered(b"{}")

    def _change(self, transport: asyncio.Transport, body: bytes) -> Answer:
        del transport
        return self._deleted[body.count(b'"ReceiptHandle"')]

    def _send(self, transport: asyncio.Transport, body: bytes) -> Answer:
        del transport
        count = body.count(b'"MessageBody"')
        self._queue.sent += count
        return self._sent[count]

    def _get_url(self, transport: asyncio.Transport, body: bytes) -> Answer:
        del transport
        name = _NAME.search(body)
        text = name[1].decode() if name else ""
        return answered(json.dumps({"QueueUrl": f"{self._url}/{ACCOUNT}/{text}"}).encode())


def _say(answer: object) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(Stub().run())
