"""A world whose time passes only when nothing else happens, and lives in it that can end between any two steps.

What survives a life is the broker, what is durable of the journal, and the time. A step is one callback of the event
loop - everything between two awaits - or a point that is named: before a journal append, after a commit, before and
after a call of the provider, at a handler's begin and end. From the step at which a life dies on, nothing that it does
reaches the world, so that no `finally` or `except` can tidy up what a dead process would have left.
"""

import asyncio
import contextvars
import selectors
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import TypeVar

from queue_runtime.engine.lease_thread import LeaseThread
from queue_runtime.journal import MemoryJournal
from queue_runtime.journal.events import Event
from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.errors import QueueError
from queue_runtime.providers.memory import MemoryBroker, MemoryProvider, QueueSettings
from queue_runtime.providers.memory.calls import Calls
from queue_runtime.providers.memory.held import Grip, MemorySession
from queue_runtime.providers.memory.polling import Polls
from queue_runtime.providers.message import Delivery, Message, QueueName, Receipt, SessionId
from queue_runtime.providers.port import Address, HeldSession, Sent, Settlement

__all__ = ["LeaseTask", "Life", "World", "WorldJournal", "WorldProvider"]

T = TypeVar("T")

_BEGIN_US = 1_767_225_600_000_000
_COMMIT_S = 0.02


class World:
    """What outlives a process.

    Attributes:
        elapsed_s: the time, which is the clock of the broker and of every engine.
        calls: how many calls of the provider have changed the broker, or might have.
        runs: every run of a handler, as (key, attempt).
    """

    def __init__(self, queues: Mapping[str, QueueSettings]) -> None:
        self.elapsed_s = 0.0
        self.broker = MemoryBroker(queues, clock=self)
        self.events: tuple[Event, ...] = ()
        self.packed: bytes | None = None
        self.calls = 0
        self.runs: list[tuple[str, int]] = []

    def now(self) -> Timestamp:
        return Timestamp(_BEGIN_US + round(self.elapsed_s * 1_000_000))

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Life:
    """One process: it counts its steps, and dies at the step `dies_at`, counted from 0.

    Attributes:
        names: the named steps it has passed.
        worlds: for each step, how much had happened to the world: durable events, and calls that changed the broker.
    """

    def __init__(self, world: World, dies_at: int | None) -> None:
        self.world = world
        self.dies_at = dies_at
        self.is_dead = False
        self.is_buried = False
        self.names: set[str] = set()
        self.worlds: list[tuple[int, int]] = []
        self.journal: WorldJournal | None = None

    def step(self, name: str | None = None) -> None:
        """Pass one step, or die at it."""
        if self.is_dead:
            return
        if name is not None:
            self.names.add(name)
        if len(self.worlds) == self.dies_at:
            self._die()
            return
        self.worlds.append((len(self._durable), self.world.calls))

    @property
    def _durable(self) -> tuple[Event, ...]:
        return self.world.events if self.journal is None else self.journal.events

    def _die(self) -> None:
        self.is_dead = True
        self.keep()
        asyncio.get_running_loop().stop()

    def keep(self) -> None:
        """What is durable is the world's from now on, and nothing is added to it."""
        if self.journal is not None:
            self.world.events, self.world.packed = self.journal.events, self.journal.packed
            self.journal.hold()

    async def pass_point(self, name: str) -> None:
        """Pass a named step; who is dead waits there for ever."""
        if not self.is_buried:
            self.step(name)
        if self.is_dead or self.is_buried:
            raise asyncio.CancelledError

    async def call(self, name: str, call: Callable[[], Coroutine[object, object, T]]) -> T:
        """Make a call to the broker, between two named steps."""
        await self.pass_point(f"{name}: asked")
        answer = await call()
        if answer:
            self.world.calls += 1
        await self.pass_point(f"{name}: answered")
        return answer

    def run(self, body: Callable[[], Coroutine[object, object, None]]) -> None:
        """Run `body` until it returns or the life ends; then bury it: nothing of it is left, not even a task."""
        loop = _Loop(self)
        asyncio.set_event_loop(loop)
        try:
            main = loop.create_task(body())
            main.add_done_callback(lambda _: None if self.is_buried else loop.stop())
            loop.run_forever()
            if not self.is_dead:
                self.keep()
                main.result()
            self.is_buried = True
            died_at_s = self.world.elapsed_s
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            self.world.elapsed_s = died_at_s
        finally:
            asyncio.set_event_loop(None)
            loop.close()


class _Loop(asyncio.SelectorEventLoop):
    """Time passes when nothing is ready, and each callback is a step."""

    def __init__(self, life: Life) -> None:
        self._life = life
        super().__init__(_Selector(life.world))

    def time(self) -> float:
        return self._life.world.elapsed_s

    def call_soon(
        self, callback: Callable[..., object], *args: object, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        return super().call_soon(self._step, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: object, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        return super().call_at(when, self._step, callback, *args, context=context)

    def _step(self, callback: Callable[..., object], *args: object) -> None:
        if not self._life.is_buried:
            self._life.step()
            if self._life.is_dead:  # nothing but the burial goes on with it
                super().call_soon(self._step, callback, *args, context=contextvars.copy_context())
                return
        callback(*args)


class _Selector(selectors.SelectSelector):
    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "nothing will ever happen again in this world"
            self._world.elapsed_s += timeout
        return ready


class WorldJournal(MemoryJournal):
    """The journal of one life. A commit takes time, as on a disk: more than a settlement waits for its batch."""

    def __init__(self, life: Life) -> None:
        super().__init__(events=life.world.events, packed=life.world.packed, auto_commit=False)
        self._life = life
        self._is_committing = False
        life.journal = self
        self.on_commit(self._after_commit)

    def append(self, events: Sequence[Event]) -> int:
        self._life.names.update(f"append {type(event).__name__}" for event in events)
        self._life.step("append")
        position = super().append(events)
        if not self._is_committing and not self._life.is_dead:
            self._is_committing = True
            asyncio.get_running_loop().call_later(_COMMIT_S, self.release)
        return position

    def _after_commit(self, durable: int, error: BaseException | None) -> None:
        del durable, error
        self.hold()
        self._is_committing = False
        self._life.step("committed")


class WorldProvider(MemoryProvider):
    """The connection of one life to the broker."""

    def __init__(self, life: Life) -> None:
        super().__init__(life.world.broker)
        self._life = life

    def sibling(self) -> "WorldProvider":
        return WorldProvider(self._life)

    async def send(
        self, queue: QueueName, messages: Sequence[Message], *, at: Timestamp | None = None
    ) -> list[Sent | QueueError]:
        return await self._life.call("send", partial(super().send, queue, messages, at=at))

    async def receive(self, source: Address, max_messages: int, wait_s: float) -> list[Delivery]:
        return await self._life.call("receive", partial(super().receive, source, max_messages, wait_s))

    async def settle(self, source: Address, settlements: Sequence[Settlement]) -> list[QueueError | None]:
        self._life.names.update(settlement.kind.value for settlement in settlements)
        return await self._life.call("settle", partial(super().settle, source, settlements))

    async def renew(
        self, source: Address, receipts: Sequence[Receipt], for_s: float | None = None
    ) -> list[Timestamp | QueueError]:
        return await self._life.call("renew", partial(super().renew, source, receipts, for_s))

    async def accept_session(
        self, queue: QueueName, session_id: SessionId | None, wait_s: float
    ) -> MemorySession | None:
        accept = partial(super().accept_session, queue, session_id, wait_s)
        held = await self._life.call("accept session", accept)
        if held is None:
            return None
        session = WorldSession(self._calls, self._polls, Address(queue), held)
        session.life = self._life
        return session

    async def renew_sessions(self, queue: QueueName, sessions: Sequence[HeldSession]) -> list[Timestamp | QueueError]:
        return await self._life.call("renew session", partial(super().renew_sessions, queue, sessions))


class WorldSession(MemorySession):
    """One life's hold on a session."""

    life: Life

    def __init__(self, calls: Calls, polls: Polls, source: Address, held: MemorySession) -> None:
        super().__init__(calls, polls, source, Grip(SessionId(held.session_id), held.token, held.locked_until))

    async def receive(self, max_messages: int, wait_s: float) -> list[Delivery]:
        return await self.life.call("session receive", partial(super().receive, max_messages, wait_s))

    async def close(self) -> None:
        async def close() -> bool:
            await super(WorldSession, self).close()
            return True

        await self.life.call("session close", close)


class LeaseTask(LeaseThread):
    """The passes of the lease thread as a task of the engine's loop: a thread would have steps of its own."""

    _task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._work())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
