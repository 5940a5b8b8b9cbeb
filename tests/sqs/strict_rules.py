"""The rules of SQS that no local server keeps, as a state machine. Each with its source.

R: recorded against AWS, and published in LocalStack's snapshot tests. D: the service model and the developer guide.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from tests.sqs.shifted import ShiftedClock

Json = dict[str, Any]

WINDOW_S = 300  # D: deduplication interval
LONGEST_S = 43_200  # D: in total, from the receive
BAD_TEXT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # D: SendMessage
BAD_TOKEN = re.compile(r"[^!-~]")  # D: MessageGroupId and MessageDeduplicationId, up to 128 characters
NAME = re.compile(r"[A-Za-z0-9_.-]{1,256}")  # D: message attributes


class Refused(Exception):  # noqa: N818 - the service refuses
    """An error of the service: a code as it is on the wire, and its text."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(code)
        self.code = code
        self.text = text


def refuse(code: str, text: str) -> NoReturn:
    """Answer with an error."""
    raise Refused(code, text)


@dataclass
class Held:
    """A message in a queue, and the receive that holds it or held it last."""

    message_id: str
    body: str
    attributes: Json
    system: dict[str, str]
    visible_at: float
    received_at: float = 0.0
    count: int = 0
    first_at: float | None = None
    handles: list[str] = field(default_factory=list)


class StrictQueue:
    """One queue, standard or FIFO."""

    _numbers = itertools.count(1)

    def __init__(self, name: str, attributes: Mapping[str, str], clock: ShiftedClock) -> None:
        self.name = name
        self.attributes = {"VisibilityTimeout": "30", "MaximumMessageSize": "1048576", **attributes}
        self.is_fifo = name.endswith(".fifo")
        self.held: list[Held] = []
        self.gone: set[str] = set()
        self.dead_letters: StrictQueue | None = None
        self.shuffle: random.Random | None = None  # D: a standard queue keeps no order; this one is at its worst
        self.taken_elsewhere = 0  # how often somebody else takes what is sent, and gives it back, before anybody can
        self._clock = clock
        self._seen: dict[str, tuple[float, str, str]] = {}

    @property
    def now(self) -> float:
        return self._clock.now() / 1_000_000

    # --- send ---

    def send(self, entry: Json) -> Json:
        """Take a message in."""
        self._check(entry)
        number = next(self._numbers)
        sequence = str(18_849_496_460_467_696_128 + 256 * number)  # R: 20 digits, above 2**64
        message_id = f"00000000-0000-4000-8000-{number:012}"
        system = {"SentTimestamp": str(int(self.now * 1_000)), "SenderId": "AIDATEST"}
        if "MessageGroupId" in entry:
            system["MessageGroupId"] = entry["MessageGroupId"]  # R: on standard queues too, without locking
        if "AWSTraceHeader" in entry.get("MessageSystemAttributes", {}):
            system["AWSTraceHeader"] = entry["MessageSystemAttributes"]["AWSTraceHeader"]["StringValue"]
        if self.is_fifo:
            known = self._duplicate(entry, message_id, sequence)
            if known is not None:
                return known
            system |= {"SequenceNumber": sequence, "MessageDeduplicationId": entry["MessageDeduplicationId"]}
        visible_at = self.now + int(entry.get("DelaySeconds", 0))
        held = Held(message_id, entry["MessageBody"], entry.get("MessageAttributes", {}), system, visible_at)
        held.count = self.taken_elsewhere
        self.held.append(held)
        return {"MessageId": message_id, **({"SequenceNumber": sequence} if self.is_fifo else {})}

    def _duplicate(self, entry: Json, message_id: str, sequence: str) -> Json | None:
        """R: five minutes from the first send, queue-wide, whatever became of it; duplicates do not extend it."""
        key = entry["MessageDeduplicationId"]
        if self.attributes.get("DeduplicationScope") == "messageGroup":
            key = f"{entry['MessageGroupId']} {key}"
        until, known_id, known_sequence = self._seen.get(key, (0.0, "", ""))
        if until > self.now:
            return {"MessageId": known_id, "SequenceNumber": known_sequence}
        self._seen[key] = (self.now + WINDOW_S, message_id, sequence)
        return None

    def _check(self, entry: Json) -> None:
        body = entry["MessageBody"]
        if not body:
            refuse("MissingParameter", "The request must contain the parameter MessageBody.")
        if BAD_TEXT.search(body):
            refuse("InvalidMessageContents", "Invalid characters found.")
        _check_attributes(entry.get("MessageAttributes", {}))
        most = int(self.attributes["MaximumMessageSize"])
        if size_of(entry) > most:  # R: a failed entry, not a failed call
            text = f"One or more parameters are invalid. Reason: Message must be shorter than {most} bytes."
            refuse("InvalidParameterValue", text)
        if int(entry.get("DelaySeconds", 0)) > 900:  # D
            refuse("InvalidParameterValue", "Value for parameter DelaySeconds is invalid. Reason: 0 to 900.")
        if not self.is_fifo:
            return
        if "DelaySeconds" in entry:
            refuse("InvalidParameterValue", "Value 1 for parameter DelaySeconds is invalid. Reason: FIFO.")
        for name in ("MessageGroupId", "MessageDeduplicationId"):
            value = entry.get(name)
            if not value:
                refuse("MissingParameter", f"The request must contain the parameter {name}.")
            if BAD_TOKEN.search(value) or len(value) > 128:
                refuse("InvalidParameterValue", f"Value for parameter {name} is invalid.")

    # --- receive ---

    def receive(self, count: int, visibility_s: int) -> list[Held]:
        """Hand over up to `count` messages."""
        self._bury()
        taken: list[Held] = []
        free = list(self._free())
        if self.shuffle is not None and not self.is_fifo:
            self.shuffle.shuffle(free)
        for held in free:
            if len(taken) == count:
                break
            held.count += 1
            held.first_at = held.first_at or self.now
            held.received_at = self.now
            held.visible_at = self.now + visibility_s
            held.handles.append(f"{held.message_id}#{held.count}")
            taken.append(held)
        return taken

    def _free(self) -> Iterator[Held]:
        """R (19 November 2025): a message in flight blocks those behind it in its group, and none before it."""
        blocked: set[str] = set()
        for held in self.held:
            group = held.system.get("MessageGroupId", "") if self.is_fifo else None
            if held.visible_at > self.now:
                if group is not None:
                    blocked.add(group)
            elif group not in blocked:
                yield held

    def _bury(self) -> None:
        """R: the receive that would exceed the maximum moves a message, with its id and its count."""
        most = int(self.attributes.get("MaxReceiveCount", "0"))
        if self.dead_letters is None or not most:
            return
        for held in [held for held in self._free() if held.count >= most]:
            self.held.remove(held)
            held.system["DeadLetterQueueSourceArn"] = f"arn:aws:sqs:eu-central-1:000000000000:{self.name}"
            held.handles.clear()
            self.dead_letters.held.append(held)

    # --- settle ---

    def delete(self, handle: str) -> None:
        """R: twice is fine. A standard queue takes late receipts, D: the newest deletes. FIFO ones do not."""
        held = self._of(handle)
        if held is None:
            return
        is_newest = held.handles[-1] == handle
        if self.is_fifo and (not is_newest or held.visible_at <= self.now):
            text = "Value x for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired."
            refuse("InvalidParameterValue", text)
        if is_newest:
            self.held.remove(held)
            self.gone.add(held.message_id)

    def change(self, handle: str, visibility_s: int) -> None:
        """R: a standard queue takes a late receipt, and refuses one whose message is gone."""
        if visibility_s > LONGEST_S:
            refuse("InvalidParameterValue", "Value for parameter VisibilityTimeout is invalid.")
        held = self._of(handle)
        if held is None:
            text = "Message does not exist or is not available for visibility timeout change."
            refuse("InvalidParameterValue", f"Value {handle} for parameter ReceiptHandle is invalid. Reason: {text}")
        if self.is_fifo and (held.handles[-1] != handle or held.visible_at <= self.now):
            refuse("InvalidParameterValue", "Reason: The receipt handle has expired.")
        if self.now + visibility_s > held.received_at + LONGEST_S:  # D
            text = "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]"
            refuse("InvalidParameterValue", text)
        held.visible_at = self.now + visibility_s

    def _of(self, handle: str) -> Held | None:
        for held in self.held:
            if handle in held.handles:
                return held
        if handle.partition("#")[0] in self.gone:
            return None
        refuse("ReceiptHandleIsInvalid", f'The input receipt handle "{handle}" is not a valid receipt handle.')


def size_of(entry: Json) -> int:
    """D: body, and name, type and value of every attribute, in bytes."""
    size = len(entry["MessageBody"].encode())
    for name, value in entry.get("MessageAttributes", {}).items():
        text = value.get("StringValue") or value["BinaryValue"]
        size += len(name.encode()) + len(value["DataType"]) + len(text.encode())
    return size


def _check_attributes(attributes: Json) -> None:
    if len(attributes) > 10:  # D
        refuse("InvalidParameterValue", "Number of message attributes [11] exceeds the allowed maximum [10].")
    for name, value in attributes.items():
        text = value.get("StringValue") or value["BinaryValue"]
        if NAME.fullmatch(name) is None or name.lower().startswith(("aws.", "amazon.")) or ".." in name:
            refuse("InvalidParameterValue", "Invalid message attribute name.")
        if not text or BAD_TEXT.search(text):
            refuse("InvalidParameterValue", f"Message attribute '{name}' must contain a non-empty value.")
