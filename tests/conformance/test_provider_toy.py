"""A provider made by the steps of the page on writing one, and by nothing else: it passes the public suite."""

import asyncio
import itertools
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from queue_runtime.engine import Engine, EngineSettings
from queue_runtime.engine.testing import FakeClock
from queue_runtime.journal import MemoryJournal
from queue_runtime.plugins import Router
from queue_runtime.providers import (
    Address,
    Capabilities,
    Clock,
    DeadLetter,
    Delivery,
    ErrorContext,
    HeldSession,
    InvalidReceipt,
    Message,
    MessageTooLarge,
    ProviderClosed,
    ProviderSettings,
    QueueClient,
    QueueError,
    QueueName,
    QueueNotFound,
    Receipt,
    Sent,
    SessionId,
    SessionLockLost,
    SettleKind,
    Settlement,
    SystemClock,
    Timestamp,
    UnsupportedOperation,
)
from queue_runtime.providers.conformance import Harness, ProviderConformance, QueueRules
from tests.docs.pages import ROOT, blocks

PAGE = ROOT / "docs" / "writing-a-provider.md"
LOCK_S = 30.0
MAX_BYTES = 65_536
NEVER = Timestamp(0)


# --8<-- [start:broker]
@dataclass(eq=False)
class Entry:
    """A message in a list, and who has it until when."""

    message: Message
    sequence: int
    sent_at: Timestamp
    handle: str = ""
    locked_until: Timestamp = NEVER
    count: int = 0
    first_at: Timestamp | None = None
    dead_letter: DeadLetter | None = None

    @property
    def expires_at(self) -> Timestamp | None:
        ttl = self.message.time_to_live
        return None if ttl is None else Timestamp(self.sent_at + round(ttl.total_seconds() * 1_000_000))


class ToyBroker:
    """Lists, a clock, and who waits for news: what a service does on the other side of its SDK."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.max_deliveries: dict[QueueName, int] = {}
        self.lists: dict[Address, list[Entry]] = {}
        self.waiting: set[asyncio.Event] = set()
        self.numbers = itertools.count(1)

    def add_queue(self, name: str, max_deliveries: int = 10) -> QueueName:
        queue = QueueName(name)
        self.max_deliveries[queue] = max_deliveries
        self.lists[Address(queue)], self.lists[Address(queue, dead_letters=True)] = [], []
        return queue

    def entries(self, source: Address) -> list[Entry]:
        if source not in self.lists:
            raise QueueNotFound(source.queue)
        return self.lists[source]

    def put(self, source: Address, entry: Entry) -> None:
        self.entries(source).append(entry)
        self.tell()

    def tell(self) -> None:
        for event in self.waiting:
            event.set()

    def bury(self, source: Address, entry: Entry, why: DeadLetter) -> None:
        self.entries(source).remove(entry)
        entry.dead_letter, entry.handle, entry.locked_until = why, "", NEVER
        self.put(Address(source.queue, dead_letters=True), entry)

    def take(self, source: Address, max_messages: int) -> list[Entry]:
        """Lock what is free, in order; expired messages are dropped and worn out ones buried on the way."""
        now, taken = self.clock.now(), list[Entry]()
        for entry in tuple(self.entries(source)):
            if len(taken) == max_messages:
                break
            if entry.locked_until > now:
                continue
            if entry.dead_letter is None and entry.expires_at is not None and entry.expires_at <= now:
                self.entries(source).remove(entry)
            elif entry.dead_letter is None and entry.count >= self.max_deliveries[source.queue]:
                self.bury(source, entry, DeadLetter("delivered too often", "", now, entry.count))
            else:
                entry.handle, entry.locked_until = f"toy-{next(self.numbers)}", self.lock_end()
                entry.count, entry.first_at = entry.count + 1, entry.first_at or now
                taken.append(entry)
        return taken

    def lock_end(self) -> Timestamp:
        return Timestamp(self.clock.now() + round(LOCK_S * 1_000_000))

    def next_end_s(self, source: Address) -> float:
        ends = [entry.locked_until for entry in self.entries(source) if entry.locked_until > self.clock.now()]
        return (min(ends, default=self.lock_end()) - self.clock.now()) / 1_000_000


# --8<-- [end:broker]


# --8<-- [start:capabilities]
CAPABILITIES = Capabilities(
    native_sessions=False,
    emulated_sessions=False,
    ordered_groups=False,
    ordered=True,
    deduplicates=False,
    scheduled_send=False,
    max_delay_s=None,
    cancel_scheduled=False,
    abandon_delay=False,
    uncounted_release=False,
    native_dead_letter=True,
    sender_order=False,
    drops_expired=True,
    peek=False,
    defer=False,
    session_state=False,
    late_complete=False,
    receipts_survive_restart=False,
    max_batch=100,
    max_message_bytes=MAX_BYTES,
    variable_lock=False,
    max_lock_s=86_400.0,
    max_deliveries=10,
    lock_s=LOCK_S,
)
# --8<-- [end:capabilities]


# --8<-- [start:provider]
class ToyProvider:
    """The port over a `ToyBroker`. Receipts are known to the provider that made them, and to its siblings."""

    name = "toy"

    def __init__(self, broker: ToyBroker, receipts: dict[str, Entry | SettleKind] | None = None) -> None:
        self._broker = broker
        self._receipts = {} if receipts is None else receipts  # handle -> what it holds, or did
        self._is_open = False

    async def open(self) -> None:
        self._is_open = True

    async def close(self) -> None:
        self._is_open = False
        self._broker.tell()

    def sibling(self) -> "ToyProvider":
        return ToyProvider(self._broker, self._receipts)

    async def capabilities(self, queue: QueueName) -> Capabilities:
        self._entries(Address(queue))
        return CAPABILITIES

    async def send(
        self, queue: QueueName, messages: Sequence[Message], *, at: Timestamp | None = None
    ) -> list[Sent | QueueError]:
        self._entries(Address(queue))
        return [self._send(queue, message, at) for message in messages]

    def _send(self, queue: QueueName, message: Message, at: Timestamp | None) -> Sent | QueueError:
        if at is not None:
            return self._unsupported(queue, "scheduled send")
        if message.size_bytes > MAX_BYTES:
            context = ErrorContext(queue, message.message_id, message.session_id, "send")
            return MessageTooLarge(message.size_bytes, MAX_BYTES, context=context)
        number = next(self._broker.numbers)
        self._broker.put(Address(queue), Entry(message, number, self._broker.clock.now()))
        return Sent(message.message_id, str(number))

    async def cancel_scheduled(self, queue: QueueName, provider_ids: Sequence[str]) -> list[QueueError | None]:
        return [self._unsupported(queue, "cancel") for _ in provider_ids]

    async def receive(self, source: Address, max_messages: int, wait_s: float) -> list[Delivery]:
        until = self._broker.clock.now() + round(wait_s * 1_000_000)
        news = asyncio.Event()
        self._broker.waiting.add(news)
        try:
            while True:
                self._entries(source)
                taken = self._broker.take(source, max_messages)
                left_s = (until - self._broker.clock.now()) / 1_000_000
                if taken or left_s <= 0 or max_messages <= 0:
                    return [self._delivery(source, entry) for entry in taken]
                await self._wait(news, min(left_s, self._broker.next_end_s(source)))
        finally:
            self._broker.waiting.discard(news)

    async def _wait(self, news: asyncio.Event, seconds: float) -> None:
        ways = {asyncio.ensure_future(news.wait()), asyncio.ensure_future(self._broker.clock.sleep(seconds))}
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
        news.clear()

    def _delivery(self, source: Address, entry: Entry) -> Delivery:
        self._receipts[entry.handle] = entry
        receipt = Receipt(entry.handle, str(entry.sequence), entry.locked_until, self.name)
        now = self._broker.clock.now()
        times = (entry.sent_at, entry.expires_at, entry.first_at or now, now)
        return Delivery(
            source.queue, entry.message, receipt, entry.count, entry.sequence, *times, dead_letter=entry.dead_letter
        )

    async def settle(self, source: Address, settlements: Sequence[Settlement]) -> list[QueueError | None]:
        self._entries(source)
        return [self._settle(source, settlement) for settlement in settlements]

    def _settle(self, source: Address, settlement: Settlement) -> QueueError | None:
        kind, receipt = settlement.kind, settlement.receipt
        if self._receipts.get(receipt.handle) is kind:
            return None  # a repetition of what took effect
        entry = self._held(receipt)
        if entry is None:
            return self._stale(source, receipt, kind)
        if kind is SettleKind.DEFER:
            return self._unsupported(source.queue, kind)
        self._receipts[receipt.handle] = kind
        if kind is SettleKind.COMPLETE:
            self._broker.entries(source).remove(entry)
        elif kind is SettleKind.ABANDON:
            entry.handle, entry.locked_until = "", NEVER
            self._broker.tell()
        else:
            now = self._broker.clock.now()
            why = DeadLetter(settlement.reason, settlement.description, now, entry.count, settlement.properties)
            self._broker.bury(source, entry, why)
        return None

    async def renew(
        self, source: Address, receipts: Sequence[Receipt], for_s: float | None = None
    ) -> list[Timestamp | QueueError]:
        del for_s  # locks are of one length, as declared
        return [self._renew(source, receipt) for receipt in receipts]

    def _renew(self, source: Address, receipt: Receipt) -> Timestamp | QueueError:
        entry = self._held(receipt)
        if entry is None:
            return self._stale(source, receipt, "renew")
        entry.locked_until = self._broker.lock_end()
        return entry.locked_until

    async def peek(self, source: Address, max_messages: int, after_sequence: int = 0) -> list[Delivery]:
        del max_messages, after_sequence
        raise self._unsupported(source.queue, "peek")

    async def accept_session(self, queue: QueueName, session_id: SessionId | None, wait_s: float) -> None:
        del session_id, wait_s
        raise self._unsupported(queue, "accept session")

    async def renew_sessions(self, queue: QueueName, sessions: Sequence[HeldSession]) -> list[Timestamp | QueueError]:
        return [SessionLockLost(session.session_id, queue=queue) for session in sessions]

    def _entries(self, source: Address) -> list[Entry]:
        if not self._is_open:
            raise ProviderClosed(self.name)
        return self._broker.entries(source)

    def _held(self, receipt: Receipt) -> Entry | None:
        entry = self._receipts.get(receipt.handle)
        if not isinstance(entry, Entry) or entry.handle != receipt.handle:
            return None
        return entry if entry.locked_until > self._broker.clock.now() else None

    def _stale(self, source: Address, receipt: Receipt, operation: str) -> QueueError:
        context = ErrorContext(queue=source.queue, operation=operation)
        return InvalidReceipt(receipt.provider_id, receipt.digest, context=context)

    def _unsupported(self, queue: str, operation: str) -> UnsupportedOperation:
        context = ErrorContext(queue=queue, operation=operation)
        return UnsupportedOperation(operation, "the toy does without; see its capabilities", context=context)


# --8<-- [end:provider]


# --8<-- [start:factory]
def from_settings(settings: ProviderSettings) -> ToyProvider:
    broker = ToyBroker(SystemClock())
    if settings.queue_name is not None:
        broker.add_queue(settings.queue_name)
    return ToyProvider(broker)


# --8<-- [end:factory]


# --8<-- [start:suite]
class ToyHarness:
    patience_s = 0.0  # what was sent is there at once

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.broker = ToyBroker(self.clock)

    async def open(self) -> ToyProvider:
        provider = ToyProvider(self.broker)
        await provider.open()
        return provider

    async def make_queue(self, rules: QueueRules) -> QueueName:
        return self.broker.add_queue(f"queue-{next(self.broker.numbers)}", rules.max_deliveries)

    async def pass_time(self, seconds: float) -> None:
        await self.clock.advance(seconds)


class TestToy(ProviderConformance):
    """a list in memory."""

    @pytest.fixture
    def harness(self) -> Harness:
        return ToyHarness()


# --8<-- [end:suite]
async def test_a_registered_provider_is_used_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the entry point of the page, and nothing else, a client and an engine work with it."""
    (registration,) = blocks(PAGE, "toml")
    about = tmp_path / "toy_provider-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-provider\nVersion: 1\n")
    (about / "entry_points.txt").write_text(
        registration.replace("project.entry-points.", "").replace('"', "")  # as a build writes it
    )
    shutil.copy(__file__, tmp_path / "toy_provider.py")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    async with QueueClient.from_settings(provider="toy", queue_name="pulls") as client:
        await client.send("pulls", Message(b"by its name"))
        delivery = await client.receive("pulls")
        assert delivery is not None
        assert (delivery.message.body, delivery.receipt.provider) == (b"by its name", "toy")


async def test_an_engine_runs_on_it() -> None:
    """What the engine needs is the port: a message that fails is tried again, and one that cannot succeed is buried."""
    broker, router, seen = ToyBroker(SystemClock()), Router(), list[bytes]()
    queue = broker.add_queue("pulls")

    @router.on("*")
    async def handle(event: bytes) -> None:
        seen.append(event)
        if event == b"bad":
            raise ValueError(event)
        if seen.count(event) == 1:
            raise ConnectionError

    provider = ToyProvider(broker)
    settings = EngineSettings(queues=(queue,), retry_initial_s=0.01, max_attempts=2, receive_wait_s=0.05)
    async with Engine(settings, provider, MemoryJournal(), [router]) as engine:
        await provider.send(queue, [Message(b"good", session_id="s"), Message(b"bad", session_id="s")])
        running = asyncio.create_task(engine.run(handle_signals=False))
        async with asyncio.timeout(20):
            while broker.lists[Address(queue)]:  # noqa: ASYNC110 - a list that the engine empties
                await asyncio.sleep(0)
        await engine.drain(1.0)
        await running

    assert seen == [b"good", b"good", b"bad", b"bad"]
    (buried,) = broker.lists[Address(queue, dead_letters=True)]
    assert buried.message.body == b"bad"
