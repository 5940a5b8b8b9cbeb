"""A small SQS over HTTP that keeps the service's recorded rules, and fails on demand."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from tests.sqs.shifted import ShiftedClock
from tests.sqs.strict_rules import Held, Json, Refused, StrictQueue, refuse, size_of

MAX_BATCH_BYTES = 1_048_576
TICK_S = 0.005


@dataclass
class Fault:
    """What is to go wrong with a call. `code` fails it, or the entries of a batch at `items`; `is_lost`: no answer."""

    code: str = "InternalError"
    text: str = "planned"
    status: int = 400
    items: frozenset[int] | None = None
    sender_fault: bool = False
    is_lost: bool = False
    headers: dict[str, str] = field(default_factory=dict[str, str])


class StrictServer:
    """Answers like SQS. `asked`: every call, in the order in which they came; `keys`: who asked."""

    def __init__(self) -> None:
        self.clock = ShiftedClock()
        self.url = ""
        self.queues: dict[str, StrictQueue] = {}
        self.asked: list[tuple[str, Json]] = []
        self.keys: list[str] = []
        self._called: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._faults: defaultdict[str, list[Fault]] = defaultdict(list)
        self._actions: dict[str, Callable[[Json], Json]] = {
            "CreateQueue": self._create,
            "GetQueueUrl": lambda body: {"QueueUrl": f"{self.url}/000000000000/{self._named(body['QueueName']).name}"},
            "GetQueueAttributes": self._attributes,
            "ListQueues": lambda _: {},
            "SendMessageBatch": self._send,
            "DeleteMessageBatch": self._delete,
            "ChangeMessageVisibilityBatch": self._change,
        }

    def advance(self, seconds: float) -> None:
        self.clock.add(seconds)

    def fail(self, action: str, *faults: Fault) -> None:
        """Have the next calls of `action` fail, one after the other."""
        self._faults[action] += faults

    def calls(self, action: str) -> list[Json]:
        """Return what was asked of `action`."""
        return [body for name, body in self.asked if name == action]

    async def called(self, action: str) -> None:
        """Wait until `action` has been asked for."""
        await self._called[action].wait()

    # --- over HTTP ---

    async def handle(self, request: web.Request) -> web.StreamResponse:
        action = request.headers["X-Amz-Target"].partition(".")[2]
        body: Json = await request.json()
        self.asked.append((action, body))
        self.keys.append(request.headers["Authorization"].partition("Credential=")[2].partition("/")[0])
        self._called[action].set()
        fault = self._faults[action].pop(0) if self._faults[action] else None
        try:
            if fault is not None and fault.items is None and not fault.is_lost:
                return _refused(fault.code, fault.text, fault.status, fault.headers)
            if fault is not None and fault.items is not None:
                answer = self._partly(action, body, fault)
            elif action == "ReceiveMessage":
                answer = await self._receive(body)
            else:
                answer = self._actions[action](body)
        except Refused as refused:
            return _refused(refused.code, refused.text, 400, {})
        if fault is not None and fault.is_lost and request.transport is not None:
            request.transport.close()  # it was carried out, and nobody hears of it
        return web.Response(body=json.dumps(answer).encode(), content_type="application/x-amz-json-1.0")

    def _partly(self, action: str, body: Json, fault: Fault) -> Json:
        hit = [entry for number, entry in enumerate(body["Entries"]) if number in (fault.items or ())]
        rest = [entry for entry in body["Entries"] if entry not in hit]
        answer = self._actions[action]({**body, "Entries": rest}) if rest else {}
        failed = [
            {"Id": entry["Id"], "Code": fault.code, "Message": fault.text, "SenderFault": fault.sender_fault}
            for entry in hit
        ]
        return {**answer, "Failed": [*answer.get("Failed", []), *failed]}

    # --- queues ---

    def _named(self, name: str) -> StrictQueue:
        if name not in self.queues:
            refuse("AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist.")
        return self.queues[name]

    def _at(self, body: Json) -> StrictQueue:
        return self._named(str(body["QueueUrl"]).rpartition("/")[2])

    def _create(self, body: Json) -> Json:
        name, attributes = body["QueueName"], dict(body.get("Attributes", {}))
        queue = self.queues[name] = StrictQueue(name, attributes, self.clock)
        if "RedrivePolicy" in attributes:
            policy = json.loads(attributes["RedrivePolicy"])
            queue.dead_letters = self._named(policy["deadLetterTargetArn"].rpartition(":")[2])
            queue.attributes["MaxReceiveCount"] = policy["maxReceiveCount"]
        return {"QueueUrl": f"{self.url}/000000000000/{name}"}

    def _attributes(self, body: Json) -> Json:
        queue = self._at(body)
        there = [held for held in queue.held if held.visible_at <= queue.now]
        delayed = [held for held in queue.held if held.visible_at > queue.now and not held.count]
        counts = {
            "ApproximateNumberOfMessages": str(len(there)),
            "ApproximateNumberOfMessagesDelayed": str(len(delayed)),
            "ApproximateNumberOfMessagesNotVisible": str(len(queue.held) - len(there) - len(delayed)),
        }
        return {"Attributes": {**queue.attributes, **counts}}

    # --- messages ---

    def _send(self, body: Json) -> Json:
        if sum(map(size_of, body["Entries"])) > MAX_BATCH_BYTES:  # R
            refuse("AWS.SimpleQueueService.BatchRequestTooLong", "Batch requests cannot be longer than 1048576.")
        return self._each(body, self._at(body).send)

    def _delete(self, body: Json) -> Json:
        queue = self._at(body)
        return self._each(body, lambda entry: queue.delete(entry["ReceiptHandle"]) or {})

    def _change(self, body: Json) -> Json:
        queue = self._at(body)
        return self._each(body, lambda e: queue.change(e["ReceiptHandle"], int(e["VisibilityTimeout"])) or {})

    def _each(self, body: Json, act: Callable[[Json], Json]) -> Json:
        entries = body["Entries"]
        if not 1 <= len(entries) <= 10:
            refuse("AWS.SimpleQueueService.TooManyEntriesInBatchRequest", "Maximum is 10.")
        done: list[Json] = []
        failed: list[Json] = []
        for entry in entries:
            try:
                done.append({"Id": entry["Id"], **act(entry)})
            except Refused as refused:
                why = {"Code": refused.code, "Message": refused.text, "SenderFault": True}
                failed.append({"Id": entry["Id"], **why})
        return {"Successful": done, "Failed": failed}

    async def _receive(self, body: Json) -> Json:
        """Goes on when its caller has hung up: what comes then is in flight, and nobody has it."""
        wait_s = int(body["WaitTimeSeconds"])
        if not 0 <= wait_s <= 20:
            refuse("InvalidParameterValue", "Value for parameter WaitTimeSeconds is invalid.")
        queue = self._at(body)
        until = queue.now + wait_s
        while True:
            taken = queue.receive(int(body["MaxNumberOfMessages"]), int(body["VisibilityTimeout"]))
            if taken or queue.now >= until:
                return {"Messages": [_shown(held) for held in taken]} if taken else {}
            await asyncio.sleep(TICK_S)


def _shown(held: Held) -> Json:
    system = {
        **held.system,
        "ApproximateReceiveCount": str(held.count),
        "ApproximateFirstReceiveTimestamp": str(int((held.first_at or 0) * 1_000)),
    }
    return {
        "MessageId": held.message_id,
        "ReceiptHandle": held.handles[-1],
        "Body": held.body,
        "Attributes": system,
        "MessageAttributes": held.attributes,
    }


def _refused(code: str, text: str, status: int, headers: dict[str, str]) -> web.Response:
    said = {"__type": f"com.amazonaws.sqs#{code.rpartition('.')[2]}", "message": text}
    legacy = {"x-amzn-query-error": f"{code};Sender"}  # R: the code on the wire is the query protocol's
    return web.Response(
        body=json.dumps(said).encode(),
        status=status,
        content_type="application/x-amz-json-1.0",
        headers={**legacy, **headers},
    )


@asynccontextmanager
async def strict_server() -> AsyncGenerator[StrictServer]:
    """Serve on a free port of 127.0.0.1 until the block ends."""
    server = StrictServer()
    app = web.Application(client_max_size=4 * MAX_BATCH_BYTES)
    app.router.add_post("/{tail:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        server.url = f"http://{host}:{port}"
        yield server
    finally:
        await runner.cleanup()
