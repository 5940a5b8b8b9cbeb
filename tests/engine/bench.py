"""An engine on the in-memory broker and journal, for tests of the shell."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager

from queue_runtime.engine import Engine, EngineSettings
from queue_runtime.journal import MemoryJournal
from queue_runtime.journal.events import Event
from queue_runtime.journal.invariants import violations
from queue_runtime.providers.bodies import BodyCipher
from queue_runtime.providers.clock import Clock
from queue_runtime.providers.memory import MemoryBroker, MemoryProvider, QueueKind, QueueSettings
from queue_runtime.providers.message import Message, QueueName

POLL_S = 0.005  # how often a condition is looked at; no test relies on how long something takes
QUEUE, OUT = QueueName("q"), QueueName("out")


class Bench:
    """One broker and one journal, over which engines come and go."""

    def __init__(self, kind: QueueKind = QueueKind.STANDARD, *, lock_s: float = 1.0, max_deliveries: int = 100) -> None:
        rules = QueueSettings(kind=kind, lock_s=lock_s, session_lock_s=lock_s, max_deliveries=max_deliveries)
        self.broker = MemoryBroker({QUEUE: rules, OUT: QueueSettings(max_deliveries=100)})
        self.journal = MemoryJournal()
        self.provider: type[MemoryProvider] = MemoryProvider
        self.clock: Clock | None = None  # the engine's own, if it is not to be the system's
        self.cipher: Callable[[], BodyCipher] | None = None  # makes one for each engine, which closes it

    async def send(self, *messages: Message) -> None:
        await self.send_to(QUEUE, *messages)

    async def send_to(self, queue: QueueName, *messages: Message) -> None:
        provider = MemoryProvider(self.broker)
        await provider.open()
        for answer in await provider.send(queue, messages):
            assert not isinstance(answer, Exception), answer
        await provider.close()

    @asynccontextmanager
    async def engine(self, *plugins: object, **settings: object) -> AsyncGenerator[Engine]:
        """A running engine; what it leaves in the journal breaks no rule, and folds to its live state."""
        quick = {"retry_initial_s": 0.02, "retry_max_s": 0.05, "receive_wait_s": 0.1, "session_idle_s": 0.1}
        chosen = EngineSettings.model_validate({"queues": (QUEUE,), "debug_fold": True, **quick, **settings})
        provider = self.provider(self.broker)
        async with Engine(chosen, provider, self.journal, plugins, self.clock, self._cipher()) as engine:
            running = asyncio.create_task(engine.run(handle_signals=False))
            yield engine
            await engine.drain(0.2)
            await running
        assert self.violations() == []

    @asynccontextmanager
    async def crashing_engine(self, *plugins: object, **settings: object) -> AsyncGenerator[Engine]:
        """A running engine that is gone at once at the end of the block; the journal keeps what was durable."""
        quick = {"retry_initial_s": 0.02, "retry_max_s": 0.05, "receive_wait_s": 0.1, "session_idle_s": 0.1}
        chosen = EngineSettings.model_validate({"queues": (QUEUE,), **quick, **settings})
        provider = self.provider(self.broker)
        async with Engine(chosen, provider, self.journal, plugins, None, self._cipher()) as engine:
            running = asyncio.create_task(engine.run(handle_signals=False))
            yield engine
            durable = self.journal.events
            await engine.stop()
            await running
        self.journal = MemoryJournal(events=durable, keys=self.journal.keys)

    def _cipher(self) -> BodyCipher | None:
        return None if self.cipher is None else self.cipher()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that an engine does; a test that waits in vain fails."""
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110 - any state of any part may be waited for
                await asyncio.sleep(POLL_S)

    async def until_empty(self) -> None:
        """Wait until the broker has nothing left."""
        await self.until(lambda: self.left == 0)

    @property
    def left(self) -> int:
        counts = self.broker.counts(QUEUE)
        return counts.active + counts.in_flight + counts.scheduled

    @property
    def dead_letters(self) -> int:
        return self.broker.counts(QUEUE).dead_letters

    def count(self, event: type[Event]) -> int:
        return Counter(type(one) for one in self.journal.events)[event]

    def of(self, *kinds: type[Event]) -> Sequence[Event]:
        return [event for event in self.journal.events if isinstance(event, kinds)]

    def violations(self) -> object:
        return violations(list(enumerate(self.journal.events, 1)))

    def crash(self) -> None:
        """What an engine leaves that is gone at once: the durable events, and nothing else."""
        self.journal = MemoryJournal(events=self.journal.events, keys=self.journal.keys)
