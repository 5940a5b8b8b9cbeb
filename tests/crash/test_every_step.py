"""The real engine, stopped between any two of its steps, and again while it recovers from that."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import pytest

from queue_runtime.engine import Context, Engine, EngineSettings, leases
from queue_runtime.engine.effects import owed
from queue_runtime.journal.events import (
    AttemptCrashed,
    AttemptFailed,
    AttemptStarted,
    Completed,
    DeadLettered,
    LeaseLapsed,
    OutgoingSent,
    Received,
    Redelivered,
    RunStarted,
    RunStopped,
    Settled,
    StepRecorded,
)
from queue_runtime.journal.invariants import violations
from queue_runtime.journal.state import fold
from queue_runtime.plugins import PermanentError, Router
from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.memory import MemoryProvider, QueueKind, QueueSettings
from queue_runtime.providers.message import Message, QueueName
from queue_runtime.providers.port import Sent
from tests.crash.virtual import LeaseTask, Life, World, WorldJournal, WorldProvider

QUEUE, OUT = QueueName("q"), QueueName("out")
LOCK_S = 2.0
RETRY_S = 0.05
LATE_S = 1.5 * LOCK_S  # when a copy comes of what was settled long ago
MOST_S = 100.0
SHORT_S, LONG_S = 0.1, 2 * LOCK_S  # between two lives: locks are still held, or all of them have ended
SESSION = ("one", "two", "three")
SINGLE = ("works", "refused", "twice", "twice", "handed back")
KEYS = {f"{QUEUE}/{name}" for name in (*SINGLE, *SESSION)}
DEAD = {f"{QUEUE}/refused"}
Note = Callable[[str, object], None]

RECEIVES = {
    QueueKind.STANDARD: ("receive", "renew"),
    QueueKind.FIFO: ("receive", "renew"),
    QueueKind.SESSIONS: ("accept session", "session receive", "renew session", "session close"),
}
CALLS = {kind: (*receives, "settle", "send") for kind, receives in RECEIVES.items()}
EVENTS = (
    AttemptCrashed,
    AttemptFailed,
    AttemptStarted,
    Completed,
    DeadLettered,
    LeaseLapsed,
    OutgoingSent,
    Received,
    Redelivered,
    RunStarted,
    RunStopped,
    Settled,
    StepRecorded,
)

SETTINGS = EngineSettings(
    queues=(QUEUE,),
    concurrency=3,
    retry_initial_s=RETRY_S,
    retry_max_s=4 * RETRY_S,
    retry_hold_s=1.5 * RETRY_S,  # less than the second delay: then the message is handed back
    retry_jitter=0.0,
    receive_wait_s=0.5,
    session_idle_s=0.1,
    lock_margin_s=0.2,
    session_receivers=4,
    debug_fold=True,
)


def _world(kind: QueueKind) -> World:
    rules = QueueSettings(kind=kind, lock_s=LOCK_S, session_lock_s=LOCK_S, max_deliveries=1_000)
    world = World({QUEUE: rules, OUT: QueueSettings(duplicate_window_s=3_600.0)})
    is_free = kind is QueueKind.STANDARD  # elsewhere everything has to have a session
    single = [Message(b"", message_id=name, session_id=None if is_free else name) for name in SINGLE]
    in_session = [Message(b"", message_id=name, session_id="s") for name in SESSION]

    async def send() -> None:
        provider = MemoryProvider(world.broker)
        await provider.open()
        late = Timestamp(world.now() + round(LATE_S * 1_000_000))
        answers = await provider.send(QUEUE, [*single, *in_session])
        answers += await provider.send(QUEUE, [message for message in single if message.message_id == "twice"], at=late)
        assert all(isinstance(answer, Sent) for answer in answers), answers

    Life(world, None).run(send)
    return world


def _bot(life: Life) -> Router:
    router = Router()

    @router.on("*")
    async def handle(ctx: Context) -> None:
        await life.pass_point("handler: begins")
        life.world.runs.append((ctx.idempotency_key, ctx.attempt))
        name = ctx.delivery.message.message_id
        if name == "refused":
            raise PermanentError
        if (name == "two" and ctx.attempt == 1) or (name == "handed back" and ctx.attempt <= 2):
            raise ConnectionError
        if name == "works":
            await ctx.step("once", lambda: ctx.attempt)
            await asyncio.sleep(LOCK_S)  # its lock is renewed meanwhile
            await ctx.send(OUT, b"first")
            await ctx.send(OUT, b"second")
        await life.pass_point("handler: ends")

    return router


def _live(world: World, dies_at: int | None = None) -> Life:
    life = Life(world, dies_at)

    async def body() -> None:
        journal = WorldJournal(life)
        async with Engine(SETTINGS, WorldProvider(life), journal, [_bot(life)], clock=world) as engine:
            running = asyncio.create_task(engine.run(handle_signals=False))
            async with asyncio.timeout(MOST_S):
                while _has_work(world):  # noqa: ASYNC110 - it costs no time
                    await asyncio.sleep(0.1)
            await engine.drain()
            await running

    life.run(body)
    return life


def _has_work(world: World) -> bool:
    counts = world.broker.counts(QUEUE)
    return counts.active + counts.in_flight + counts.scheduled > 0


def _sent(world: World) -> list[str]:
    return [str(message.message_id) for message in world.broker.messages(OUT)]


def _assert_kept(world: World, kind: QueueKind, sent: list[str]) -> None:
    events = world.events
    assert violations(enumerate(events, 1)) == []
    counts = world.broker.counts(QUEUE)
    assert (counts.active, counts.in_flight, counts.dead_letters) == (0, 0, len(DEAD))
    assert Counter(e.key for e in events if isinstance(e, Completed)) == dict.fromkeys(KEYS - DEAD, 1)
    assert {e.key for e in events if isinstance(e, DeadLettered)} == DEAD
    assert _sent(world) == sent
    assert sum(isinstance(e, StepRecorded) for e in events) == 1
    started = {(e.key, e.attempt) for e in events if isinstance(e, AttemptStarted)}
    assert len(world.runs) == len(set(world.runs))
    assert set(world.runs) <= started
    assert all(owed(message) == () for message in fold(events).messages.values())
    if kind is not QueueKind.STANDARD:  # which promises no order once a lock has ended
        in_order = [f"{QUEUE}/{name}" for name in SESSION]
        ran = [key for key, _ in world.runs if key in in_order]
        assert ran == sorted(ran, key=in_order.index)


@pytest.fixture(autouse=True)
def passes_are_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "LeaseThread", LeaseTask)


@pytest.fixture(params=[QueueKind.STANDARD, QueueKind.FIFO, QueueKind.SESSIONS])
def kind(request: pytest.FixtureRequest) -> QueueKind:
    return request.param


def _whole(kind: QueueKind) -> Life:
    """Live without a crash."""
    return _live(_world(kind))


def _changes(worlds: Sequence[tuple[int, int]]) -> Iterator[int]:
    """Yield the steps before which the world has changed: who dies at one of the others leaves an equal world."""
    return (step for step, world in enumerate(worlds) if step == 0 or world != worlds[step - 1])


def _lives(kind: QueueKind, dies_at: Sequence[int], sent: list[str], pause_s: float) -> Life:
    """Die at one step after the other, a life each; then finish, keep every promise, and return the last life."""
    world = _world(kind)
    for step in dies_at:
        _live(world, step)
        world.elapsed_s += pause_s
    life = _live(world)
    try:
        _assert_kept(world, kind, sent)
    except AssertionError as error:
        error.add_note(f"{kind} queue, died at the steps {dies_at} of its lives, {pause_s:g} s between them")
        raise
    return life


pauses = pytest.mark.parametrize("pause_s", [SHORT_S, LONG_S], ids=["held", "lapsed"])


@pauses
def test_an_engine_that_stops_where_the_world_changes_recovers(
    kind: QueueKind, pause_s: float, record_property: Note
) -> None:
    """Whatever was the last that reached the journal or the broker, the next life finishes everything, once."""
    whole = _whole(kind)
    sent = _sent(whole.world)
    names, steps = whole.names, list(_changes(whole.worlds))

    for step in steps:
        names |= _lives(kind, [step], sent, pause_s).names

    assert len(steps) >= 25
    assert names >= {f"{call}: {side}" for call in CALLS[kind] for side in ("asked", "answered")}
    assert names >= {f"append {event.__name__}" for event in EVENTS}
    assert names >= {"complete", "abandon", "dead-letter", "committed", "handler: begins", "handler: ends"}
    record_property("steps at which an engine was stopped", len(steps))


@pytest.mark.crash
@pauses
def test_an_engine_that_stops_at_any_step_recovers(kind: QueueKind, pause_s: float, record_property: Note) -> None:
    """As above at every step there is, also where the world is as it was before; with sessions at every fifth."""
    whole = _whole(kind)
    steps = range(0, len(whole.worlds), 5 if kind is QueueKind.SESSIONS else 1)

    for step in steps:
        _lives(kind, [step], _sent(whole.world), pause_s)

    assert len(steps) >= 300
    record_property("steps at which an engine was stopped", len(steps))


@pytest.mark.crash
@pauses
def test_an_engine_that_stops_again_while_it_recovers_recovers(
    kind: QueueKind, pause_s: float, record_property: Note
) -> None:
    """After a crash at any step, a crash at any step of the recovery changes no promise."""
    stride = 6 if kind is QueueKind.SESSIONS else 1  # with sessions there are three times as many steps, of more time
    whole = _whole(kind)
    first, sent = list(_changes(whole.worlds))[::stride], _sent(whole.world)
    count = 0
    for step in first:
        second = list(_changes(_lives(kind, [step], sent, pause_s).worlds))
        for again in second:
            _lives(kind, [step, again], sent, pause_s)
        count += len(second)

    assert count >= 100
    record_property("steps at which an engine was stopped", count)
