"""Keeps locks alive, on a thread of its own, so that a handler that blocks the event loop costs nobody a lock.

Every lock is renewed at half of what is left of it, in batches; a renewal that comes late asks for twice the time. One
that fails is tried again until the lock has really ended; then the engine is told, which tells the handler and settles
nothing. The engine's loop changes the table, the thread reads it: single dictionary operations, which the interpreter
keeps whole.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Coroutine
from dataclasses import dataclass
from typing import TypeAlias

from queue_runtime.engine.answers import as_queue_error
from queue_runtime.engine.lease_thread import EngineLoopEnded, LeaseThread
from queue_runtime.journal.state import Copy, EngineState, Lease, MessageState
from queue_runtime.providers.clock import Clock, Timestamp
from queue_runtime.providers.errors import OperationTimeout, QueueError
from queue_runtime.providers.message import QueueName, Receipt
from queue_runtime.providers.port import Address, HeldSession, Provider

__all__ = ["LeaseReport", "Leases"]

logger = logging.getLogger("queue_runtime.engine")

_LONGEST_TICK_S = 0.2
_SHORTEST_TICK_S = 0.01
_LONGEST_RETRY_US = 1_000_000
_SHORTEST_CALL_S = 0.1
_LONGEST_CALL_S = 5.0
_LATE = 0.1  # of a lock's span: a renewal that comes later than this asks for more
_OVER_EXTENSION = 2.0


@dataclass(slots=True)
class _Held:
    key: str
    copy: Copy
    expires_at: Timestamp
    span_us: int
    renew_at: int

    def receipt(self, provider: str) -> Receipt:
        return Receipt(self.copy.receipt, self.copy.provider_id, self.expires_at, provider)


@dataclass(slots=True)
class _HeldSession:
    queue: str
    session: HeldSession
    locked_until: int
    renew_at: int


@dataclass(frozen=True, slots=True)
class LeaseReport:
    """What one pass found: `(key, provider_id, locked_until)` renewed, `(key, provider_id)` lost, sessions lost."""

    renewed: tuple[tuple[str, str, int], ...]
    lost: tuple[tuple[str, str], ...]
    lost_sessions: tuple[tuple[str, str], ...]


_Name: TypeAlias = tuple[str, str]


class Leases:
    """The table of held locks, and the thread that renews them.

    Args:
        provider: a sibling of the engine's, not opened yet: it belongs to the thread's loop.
        clock: says when a lock ends.
        provider_name: as in receipts.
        report: is called on the engine's loop after every pass that changed something.
    """

    def __init__(
        self, provider: Provider, clock: Clock, provider_name: str, report: Callable[[LeaseReport], None]
    ) -> None:
        self._provider = provider
        self._clock = clock
        self._provider_name = provider_name
        self._report = report
        self._held: dict[_Name, _Held] = {}
        self._sessions: dict[_Name, _HeldSession] = {}
        self._session_queues: set[str] = set()
        self._thread = LeaseThread(provider, provider_name, self.renew_due)
        self._engine_loop: asyncio.AbstractEventLoop | None = None

    # --- on the engine's loop ---

    def changed(self, before: MessageState | None, after: MessageState | None) -> None:
        """Follow a message: its held copies are renewed, others are not."""
        message = after if after is not None else before
        if message is None or message.origin.queue in self._session_queues:
            return
        queue = message.origin.queue
        if before is not None:
            for copy in before.copies:
                if after is None or after.copy(copy.provider_id) is None:
                    self._held.pop((queue, copy.provider_id), None)
        if after is not None:
            self._follow(queue, after)

    def _follow(self, queue: str, message: MessageState) -> None:
        for copy in message.copies:
            name = (queue, copy.provider_id)
            if copy.lease is not Lease.HELD:
                self._held.pop(name, None)
                continue
            known = self._held.get(name)
            if known is None or known.copy.receipt != copy.receipt:
                span_us = max(copy.locked_until - (now := self._clock.now()), 0)
                until = Timestamp(copy.locked_until)
                self._held[name] = _Held(message.key, copy, until, span_us, now + span_us // 2)

    def follow_all(self, state: EngineState, session_queues: Collection[str]) -> None:
        """Follow what a journal says is held, and nothing else: at start-up, and after the state was folded anew.

        In `session_queues` the lock of a session covers its messages, which have none of their own.
        """
        self._session_queues.update(session_queues)
        live = [m for m in state.messages.values() if m.origin.queue not in self._session_queues]
        names = {(message.origin.queue, copy.provider_id) for message in live for copy in message.copies}
        for name in self._held.keys() - names:
            self._held.pop(name, None)
        for message in live:  # what is known keeps its lock's end, of which the journal may not have heard
            self._follow(message.origin.queue, message)

    def follow_session(self, queue: str, session: HeldSession) -> None:
        """Renew a session's lock, which covers its messages."""
        until = session.locked_until
        self._sessions[queue, session.session_id] = _HeldSession(
            queue, session, until, _half_way(self._clock.now(), until)
        )

    def drop_session(self, queue: str, session_id: str) -> None:
        """Renew it no more."""
        self._sessions.pop((queue, session_id), None)

    def ended(self, message: MessageState, now: int) -> list[str]:
        """Return the copies that the journal calls held although the time of their lock is up: nobody told us yet.

        The thread's newest word counts: the engine's loop may be behind it, or may have been stopped altogether.
        """
        queue = message.origin.queue
        if queue in self._session_queues:
            session = self._sessions.get((queue, message.origin.session_id or ""))
            is_over = session is None or session.locked_until <= now  # None: the thread has found it lost
            return [copy.provider_id for copy in message.copies if is_over and copy.lease is Lease.HELD]
        return [
            copy.provider_id
            for copy in message.copies
            if copy.lease is Lease.HELD and _until(self._held.get((queue, copy.provider_id)), copy) <= now
        ]

    def start(self) -> None:
        """Start the thread."""
        self._engine_loop = asyncio.get_running_loop()
        self._thread.start()

    async def stop(self) -> None:
        """End the thread; locks run out from now on."""
        await self._thread.stop()

    # --- on the thread's loop ---

    async def renew_due(self) -> float:
        """Make one pass: renew what is due, tell what is lost; returns the seconds until the next pass is worth it."""
        renewed: list[tuple[str, str, int]] = []
        lost: list[tuple[str, str]] = []
        now = self._clock.now()
        held = self._held.copy()  # one operation: the engine's loop goes on changing the table
        due: defaultdict[tuple[str, bool], list[_Held]] = defaultdict(list)
        for (queue, _), lease in held.items():
            if lease.renew_at <= now:
                is_late = now - lease.renew_at > lease.span_us * _LATE and lease.span_us > 0
                due[queue, is_late].append(lease)
        calls: list[Coroutine[object, object, None]] = []
        for (queue, is_late), leases in due.items():
            longest_s = max(lease.span_us for lease in leases) / 1_000_000
            # Late means that this machine is slow just now, and may be again.
            for_s = _OVER_EXTENSION * longest_s if is_late else None
            calls.append(self._renew(queue, leases, for_s, renewed, lost))
        lost_sessions: list[tuple[str, str]] = []
        calls += [
            self._renew_session(name, lease, lost_sessions)
            for name, lease in self._sessions.copy().items()
            if lease.renew_at <= now
        ]
        await asyncio.gather(*calls)
        if renewed or lost or lost_sessions:
            self._tell(LeaseReport(tuple(renewed), tuple(lost), tuple(lost_sessions)))
        return self._next_pass_s()

    def _tell(self, report: LeaseReport) -> None:
        if self._engine_loop is None:
            return
        try:
            self._engine_loop.call_soon_threadsafe(self._report, report)
        except RuntimeError as error:
            raise EngineLoopEnded from error

    async def _renew(
        self,
        queue: str,
        leases: list[_Held],
        for_s: float | None,
        renewed: list[tuple[str, str, int]],
        lost: list[tuple[str, str]],
    ) -> None:
        receipts = [lease.receipt(self._provider_name) for lease in leases]
        try:
            async with asyncio.timeout(_patience_s(min(lease.expires_at for lease in leases) - self._clock.now())):
                answers = await self._provider.renew(Address(QueueName(queue)), receipts, for_s)
        except Exception as error:  # noqa: BLE001 - it costs no other queue its locks
            answers = [self._failure("renewing locks", error)] * len(leases)
        now = self._clock.now()
        for lease, answer in zip(leases, answers, strict=True):
            provider_id = lease.copy.provider_id
            name = (queue, provider_id)
            if self._held.get(name) is not lease:
                continue  # settled, released or delivered anew meanwhile
            if not isinstance(answer, QueueError):
                lease.expires_at = answer
                lease.renew_at = _half_way(now, answer)
                renewed.append((lease.key, provider_id, int(answer)))
            elif answer.transient and now < lease.expires_at:
                left_us = lease.expires_at - now
                lease.renew_at = now + min(_LONGEST_RETRY_US, left_us // 4)
            else:
                logger.warning("the lock of %s is lost: %s", lease.key, answer)
                self._held.pop(name, None)
                lost.append((lease.key, provider_id))

    async def _renew_session(self, name: _Name, lease: _HeldSession, lost: list[tuple[str, str]]) -> None:
        answer: Timestamp | QueueError
        try:
            async with asyncio.timeout(_patience_s(lease.locked_until - self._clock.now())):
                (answer,) = await self._provider.renew_sessions(QueueName(lease.queue), [lease.session])
        except Exception as error:  # noqa: BLE001 - it costs no other session its lock
            answer = self._failure("renewing a session", error)
        if not isinstance(answer, QueueError):
            lease.locked_until, lease.renew_at = answer, _half_way(self._clock.now(), answer)
        elif answer.transient and self._clock.now() < lease.locked_until:
            left_us = lease.locked_until - self._clock.now()
            lease.renew_at = self._clock.now() + min(_LONGEST_RETRY_US, left_us // 4)
        elif self._sessions.pop(name, None) is not None:
            logger.warning("the lock of session %s of %s is lost: %s", name[1], name[0], answer)
            lost.append(name)

    def _failure(self, operation: str, error: Exception) -> QueueError:
        if isinstance(error, TimeoutError):
            return OperationTimeout(operation, 0.0)
        return as_queue_error(self._provider_name, error)

    def _next_pass_s(self) -> float:
        now = self._clock.now()
        instants = [lease.renew_at for lease in self._held.copy().values()]
        instants += [lease.renew_at for lease in self._sessions.copy().values()]
        earliest = min(instants, default=now + 1_000_000)
        return min(max((earliest - now) / 1_000_000, _SHORTEST_TICK_S), _LONGEST_TICK_S)


def _until(known: _Held | None, copy: Copy) -> int:
    return copy.locked_until if known is None else known.expires_at


def _half_way(now: int, until: int) -> int:
    return now + max(until - now, 0) // 2


def _patience_s(left_us: int) -> float:
    """How long a renewal may take, so that there is time left for another, and for those of other queues."""
    return min(max(left_us / 2_000_000, _SHORTEST_CALL_S), _LONGEST_CALL_S)
