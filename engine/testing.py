"""For tests of bots: a clock that stands still, and a run of handlers that tells everything that happened."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from queue_runtime.engine.engine import Engine
from queue_runtime.engine.outbox import as_message
from queue_runtime.engine.packing import unpack
from queue_runtime.engine.settings import EngineSettings
from queue_runtime.journal.events import AttemptFailed, Completed, DeadLettered, Event, Received, StepRecorded
from queue_runtime.journal.memory import MemoryJournal
from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.errors import QueueError
from queue_runtime.providers.memory import MemoryBroker, MemoryProvider, QueueSettings
from queue_runtime.providers.message import Message, QueueName

__all__ = ["Captured", "DeadLetter", "FailedAttempt", "FakeClock", "SentMessage", "capture"]

_START = datetime(2026, 1, 1, tzinfo=UTC)
_TURNS = 30  # more than the steps that an engine takes from one wait to the next
_QUEUE = QueueName("captured")


class FakeClock:
    """Time stands still until `advance`. A `Clock` for engines, brokers and clients; it may be used from any thread.

    What asyncio itself measures, such as the time-out of a handler, goes by the machine's clock all the same.

    Args:
        start: an aware instant; 2026-01-01 UTC unless given.
    """

    def __init__(self, start: datetime = _START) -> None:
        self._now = Timestamp.from_datetime(start)
        self._sleepers: list[tuple[int, int, asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._lock = threading.Lock()

    def now(self) -> Timestamp:
        """Return the instant at which time stands."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Wait until `advance` has passed `seconds`; for zero or less, let others run once."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()
        with self._lock:
            due = self._now + round(seconds * 1_000_000)
            heapq.heappush(self._sleepers, (due, next(self._order), loop, woken))
        await woken

    async def advance(self, seconds: float) -> None:
        """Pass `seconds`, 0 or more: everybody gets to where they wait, and each sleeper is woken at its own instant.

        Returns when those who were woken on this loop have come to wait again, unless they wait for a disk or a thread.
        """
        await _let_others_run()
        until = self._now + round(seconds * 1_000_000)
        while self._wake_next(until):
            await _let_others_run()
        self._now = Timestamp(until)
        await _let_others_run()

    def _wake_next(self, until: int) -> bool:
        with self._lock:
            if not self._sleepers or self._sleepers[0][0] > until:
                return False
            due, _, loop, woken = heapq.heappop(self._sleepers)
            self._now = Timestamp(max(due, self._now))
        with suppress(RuntimeError):  # its loop has ended
            loop.call_soon_threadsafe(_wake, woken)
        return True


def _wake(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)


async def _let_others_run() -> None:
    for _ in range(_TURNS):
        await asyncio.sleep(0)


@dataclass(frozen=True, slots=True)
class SentMessage:
    """What a completed handler sent, and where to."""

    queue: str
    message: Message


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """One attempt that failed: of which message, with what error, and whether another one was to follow."""

    message_id: str
    attempt: int
    error_kind: str
    error_text: str
    is_retried: bool


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that was given up, and why."""

    message_id: str
    reason: str
    error_kind: str | None
    description: str


@dataclass(frozen=True, slots=True)
class Captured:
    """What `capture` saw, in the order in which it happened.

    Attributes:
        completed: ids of the messages whose handler returned.
        failed: attempts that did not end well.
        dead_letters: messages that were given up.
        sent: what completed handlers sent with `ctx.send`.
        steps: by message id, the results of `ctx.step` by name.
        events: the whole journal.
    """

    completed: tuple[str, ...]
    failed: tuple[FailedAttempt, ...]
    dead_letters: tuple[DeadLetter, ...]
    sent: tuple[SentMessage, ...]
    steps: dict[str, dict[str, object]]
    events: tuple[Event, ...]


async def capture(
    plugins: Sequence[object],
    messages: Sequence[Message],
    *,
    max_attempts: int = 1,
    timeout_s: float = 10.0,
) -> Captured:
    """Run a bot on `messages` as an engine would, and return what happened when all of them are done.

    Broker and journal live in memory, and retries follow at once. Every queue that a handler sends to exists; what is
    sent there is collected and not processed.

    Args:
        plugins: as for `Engine`.
        messages: in this order.
        max_attempts: charged attempts before a message is dead-lettered; a route's own number wins.
        timeout_s: real seconds for all of it.

    Raises:
        PluginError: a plugin cannot be used as it is written.
        TimeoutError: a handler hangs, or retries without end.
        QueueError: a message cannot be sent: it is too large, for example.
    """
    broker = MemoryBroker({_QUEUE: QueueSettings(lock_s=3_600.0, max_deliveries=None)}, auto_create=QueueSettings())
    journal = MemoryJournal()
    settings = EngineSettings(
        queues=(_QUEUE,),
        plugins=(),
        max_attempts=max_attempts,
        retry_initial_s=0.001,
        retry_max_s=0.001,
        breaker_failures=1_000_000,
    )
    committed = asyncio.Event()
    journal.on_commit(lambda _durable, _error: committed.set())
    provider = MemoryProvider(broker)
    async with asyncio.timeout(timeout_s), Engine(settings, provider, journal, plugins) as engine:
        for answer in await provider.send(_QUEUE, messages):
            if isinstance(answer, QueueError):
                raise answer
        running = asyncio.create_task(engine.run(handle_signals=False))
        while _is_busy(broker):
            committed.clear()
            await committed.wait()
        await engine.drain()
        await running
    return _captured(journal.events)


def _is_busy(broker: MemoryBroker) -> bool:
    counts = broker.counts(_QUEUE)
    return counts.active + counts.in_flight > 0


def _captured(events: tuple[Event, ...]) -> Captured:
    ids = {event.key: event.message_id for event in events if isinstance(event, Received)}
    steps: dict[str, dict[str, object]] = {}
    for event in events:
        if isinstance(event, StepRecorded):
            steps.setdefault(ids[event.key], {})[event.name] = unpack(event.result)
    completed = [event for event in events if isinstance(event, Completed)]
    return Captured(
        completed=tuple(ids[event.key] for event in completed),
        failed=tuple(_failed(ids[event.key], event) for event in events if isinstance(event, AttemptFailed)),
        dead_letters=tuple(_dead_letter(ids[event.key], event) for event in events if isinstance(event, DeadLettered)),
        sent=tuple(
            SentMessage(outgoing.queue, as_message(outgoing)) for event in completed for outgoing in event.outgoing
        ),
        steps=steps,
        events=events,
    )


def _failed(message_id: str, event: AttemptFailed) -> FailedAttempt:
    return FailedAttempt(message_id, event.attempt, event.error_kind, event.error_text, event.retry_at is not None)


def _dead_letter(message_id: str, event: DeadLettered) -> DeadLetter:
    return DeadLetter(message_id, event.reason, event.error_kind, event.description)
