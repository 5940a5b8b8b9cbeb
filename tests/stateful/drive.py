"""Runs a tiny engine until nothing is left to do, and says what has to be true then."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from queue_runtime.engine.effects import owed
from queue_runtime.journal.events import Completed, DeadLettered
from queue_runtime.journal.invariants import violations
from queue_runtime.journal.state import fold
from tests.stateful.tiny import TinyEngine, World
from tests.unit.builders import S

MANY_ROUNDS = 2_000


@dataclass(frozen=True)
class Ending:
    """How a handler ends."""

    error: str | None = None
    transient: bool = True
    outgoing: int = 0


Handler = Callable[[str, int], Ending]
"""Called with the key and the attempt; it may raise, which kills the engine."""


def succeed(key: str, attempt: int) -> Ending:
    """Return at once, whatever the message."""
    del key, attempt
    return Ending()


def drive(engine: TinyEngine, handler: Handler) -> None:
    """Take every step that can be taken; when there is none, let a little time pass, until all is at rest."""
    for _ in range(MANY_ROUNDS):
        engine.hear()
        engine.commit()
        if not _step(engine, handler) and not engine.answers:
            if _is_at_rest(engine):
                return
            _pass_time(engine)
    msg = f"still not at rest: {engine.state.messages}"
    raise AssertionError(msg)


def _step(engine: TinyEngine, handler: Handler) -> bool:
    if due := engine.due():
        engine.perform(due[0])
    elif startable := engine.startable():
        engine.start(startable[0])
    elif running := engine.running():
        run = running[0]
        ending = handler(run.key, run.attempt)
        engine.end(run, ending.error, transient=ending.transient, outgoing=ending.outgoing)
    else:
        before = engine.state.position
        engine.receive(3)
        return engine.state.position > before
    return True


def _is_at_rest(engine: TinyEngine) -> bool:
    state = engine.state
    return not engine.world.broker.stored and not any(owed(message) for message in state.messages.values())


def _pass_time(engine: TinyEngine) -> None:
    """Long enough for a back-off; a session that is parked waits for longer."""
    parked = [session for session in engine.state.sessions.values() if session.parked_key is not None]
    engine.world.now += 3_600 * S if parked else 5 * S
    engine.renew()
    engine.look_at_the_clock()


def assert_kept(world: World, sent: list[str]) -> None:
    """Every promise that can be checked from outside, once all is at rest.

    Args:
        world: what is left.
        sent: the key of every broker message there was; a key may be there twice.
    """
    broker, journal = world.broker, world.journal
    assert violations(enumerate(journal, 1)) == []
    assert broker.stored == {}
    assert all(owed(message) == () for message in fold(journal).messages.values())
    completed = Counter(event.key for event in journal if isinstance(event, Completed))
    dead = Counter(event.key for event in journal if isinstance(event, DeadLettered))
    for key, copies in Counter(sent).items():
        assert completed[key] <= 1
        if copies == 1 and key not in broker.stolen:
            assert completed[key] + dead[key] == 1, f"{key}: {completed[key]} completed, {dead[key]} dead-lettered"
            assert (broker.completed.count(key), broker.dead.count(key)) == (completed[key], dead[key])
