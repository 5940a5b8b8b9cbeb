"""Keeps locks alive, on a thread of its own, so that a handler that blocks the event loop costs nobody a lock.

Every lock is renewed at half of what is left of it, in batches; a renewal that comes late asks for twice the time. One
that fails is tried again until the lock has really ended; then the engine is told, which tells the handler and settles
nothing. The engine's loop changes the table, the thread reads it: single dictionary operations, which the interpreter
keeps whole.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import TypeAlias

from queue_runtime.journal.state import EngineState, Lease, MessageState
from queue_runtime.providers.clock import Clock, Timestamp
from queue_runtime.providers.errors import QueueError
from queue_runtime.providers.message import QueueName, Receipt
from queue_runtime.providers.port import Address, HeldSession, Provider

__all__ = ["LeaseReport", "Leases"]

logger = logging.getLogger("queue_runtime.engine")

_LONGEST_TICK_S = 0.2
_SHORTEST_TICK_S = 0.01
_LONGEST_RETRY_US = 1_000_000
_LATE = 0.1  # of a lock's span: a renewal that comes later than this asks for more
_OVER_EXTENSION = 2.0


@dataclass(slots=True)
class _Held:
    key: str
    queue: str
    receipt: Receipt
    span_us: int
    renew_at: int


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
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
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
            if known is None or known.receipt.handle != copy.receipt:
                now, until = self._clock.now(), Timestamp(copy.locked_until)
                receipt = Receipt(copy.receipt, copy.provider_id, until, self._provider_name)
                self._held[name] = _Held(message.key, queue, receipt, max(until - now, 0), _half_way(now, until))

    def follow_all(self, state: EngineState, session_queues: Collection[str]) -> None:
        """Follow what a journal says is held, and nothing else: at start-up, and after the state was folded anew.

        In `session_queues` the lock of a session covers its messages, which have none of their own.
        """
        self._session_queues.update(session_queues)
        self._held.clear()
        for message in state.messages.values():
            if message.origin.queue not in self._session_queues:
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

    def start(self) -> None:
        """Start the thread."""
        self._engine_loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="queue-runtime leases", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """End the thread; locks run out from now on."""
        self._stopping.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    # --- on the thread's loop ---

    def _run(self) -> None:
        asyncio.run(self._renew_until_stopped())

    async def _renew_until_stopped(self) -> None:
        is_open = False
        while not self._stopping.is_set():
            try:
                if not is_open:
                    await self._provider.open()
                    is_open = True
                wait_s = await self.renew_due()
            except QueueError as error:
                logger.warning("locks cannot be renewed for now, and are tried again: %s", error)
                wait_s = _LONGEST_TICK_S
            except Exception:
                logger.exception("renewing locks failed, which is a fault of this library or of its provider")
                wait_s = _LONGEST_TICK_S
            await asyncio.sleep(wait_s)
        await self._provider.close()

    async def renew_due(self) -> float:
        """Make one pass: renew what is due, tell what is lost; returns the seconds until the next pass is worth it."""
        renewed: list[tuple[str, str, int]] = []
        lost: list[tuple[str, str]] = []
        now = self._clock.now()
        held = self._held.copy()  # one operation: the engine's loop goes on changing the table
        due: defaultdict[str, list[_Held]] = defaultdict(list)
        for lease in held.values():
            if lease.renew_at <= now:
                due[lease.queue].append(lease)
        for queue, leases in due.items():
            late = [lease for lease in leases if now - lease.renew_at > lease.span_us * _LATE]
            on_time = [lease for lease in leases if now - lease.renew_at <= lease.span_us * _LATE]
            if on_time:
                await self._renew(queue, on_time, None, renewed, lost)
            if late:  # this machine is slow just now, and may be again
                longest_s = max(lease.span_us for lease in late) / 1_000_000
                await self._renew(queue, late, _OVER_EXTENSION * longest_s, renewed, lost)
        lost_sessions = await self._renew_sessions(now)
        if (renewed or lost or lost_sessions) and self._engine_loop is not None:
            report = LeaseReport(tuple(renewed), tuple(lost), tuple(lost_sessions))
            self._engine_loop.call_soon_threadsafe(self._report, report)
        return self._next_pass_s()

    async def _renew(
        self,
        queue: str,
        leases: list[_Held],
        for_s: float | None,
        renewed: list[tuple[str, str, int]],
        lost: list[tuple[str, str]],
    ) -> None:
        try:
            receipts = [lease.receipt for lease in leases]
            answers = await self._provider.renew(Address(QueueName(queue)), receipts, for_s)
        except QueueError as error:
            answers = [error] * len(leases)
        now = self._clock.now()
        for lease, answer in zip(leases, answers, strict=True):
            provider_id = lease.receipt.provider_id
            name = (queue, provider_id)
            if self._held.get(name) is not lease:
                continue  # settled, released or delivered anew meanwhile
            if not isinstance(answer, QueueError):
                lease.receipt = replace(lease.receipt, expires_at=answer)
                lease.renew_at = _half_way(now, answer)
                renewed.append((lease.key, provider_id, int(answer)))
            elif answer.transient and now < lease.receipt.expires_at:
                left_us = lease.receipt.expires_at - now
                lease.renew_at = now + min(_LONGEST_RETRY_US, left_us // 4)
            else:
                logger.warning("the lock of %s is lost: %s", lease.key, answer)
                self._held.pop(name, None)
                lost.append((lease.key, provider_id))

    async def _renew_sessions(self, now: int) -> list[tuple[str, str]]:
        lost: list[tuple[str, str]] = []
        for name, lease in self._sessions.copy().items():
            if lease.renew_at > now:
                continue
            try:
                (answer,) = await self._provider.renew_sessions(QueueName(lease.queue), [lease.session])
            except QueueError as error:
                answer = error
            if not isinstance(answer, QueueError):
                lease.locked_until, lease.renew_at = answer, _half_way(self._clock.now(), answer)
            elif answer.transient and self._clock.now() < lease.locked_until:
                lease.renew_at = self._clock.now() + _LONGEST_RETRY_US
            elif self._sessions.pop(name, None) is not None:
                logger.warning("the lock of session %s of %s is lost: %s", name[1], name[0], answer)
                lost.append(name)
        return lost

    def _next_pass_s(self) -> float:
        now = self._clock.now()
        earliest = min((lease.renew_at for lease in self._held.copy().values()), default=now + 1_000_000)
        return min(max((earliest - now) / 1_000_000, _SHORTEST_TICK_S), _LONGEST_TICK_S)


def _half_way(now: int, until: int) -> int:
    return now + max(until - now, 0) // 2
