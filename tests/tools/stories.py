"""Events to be played without a disk, and random lives of engines to take them from."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from hypothesis import strategies as st

from queue_runtime.engine.policy import Policy, SessionFailure
from queue_runtime.journal import EngineState, Entry, Event
from queue_runtime.tools.replay.recording import Moment, applied
from tests.stateful.broker import Broker
from tests.stateful.drive import Ending, Handler, drive
from tests.stateful.tiny import TinyEngine, World


@dataclass
class Told:
    """Events of one journal, from its beginning."""

    events: Sequence[Event]
    is_whole: bool = True
    states: dict[str, EngineState] = field(default_factory=lambda: {"journal": EngineState()})

    def moments(self) -> Iterator[Moment]:
        for position, event in enumerate(self.events, 1):
            key, session = getattr(event, "key", None), getattr(event, "session_id", None)
            entry = Entry(position, type(event).__name__, key, session, None, event.at, None, 0, event)
            yield applied(self.states["journal"], "journal", entry, event)


class _DiedError(Exception):
    """The process died here."""


_POLICIES = (
    Policy(max_attempts=3),
    Policy(max_attempts=3, hold_s=0.0),
    Policy(max_attempts=2, session_failure=SessionFailure.PARK),
    Policy(max_attempts=1, session_failure=SessionFailure.BLOCK),
)
_SENT = st.lists(st.tuples(st.integers(1, 4), st.sampled_from(["s", None])), min_size=1, max_size=5)
_ENDS = st.lists(st.sampled_from(["returns", "sends", "Oops", "Invalid"]), max_size=12)


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Draw what the real core journaled in some lives, each ended by a crash but the last; cut anywhere."""
    world = World(Broker(draw(st.booleans())), draw(st.sampled_from(_POLICIES)))
    sessions: dict[int, str | None] = {}
    for number, session in draw(_SENT):
        world.broker.send(f"pulls:m{number}", sessions.setdefault(number, session))
    ends = iter(draw(_ENDS))

    def handler(key: str, attempt: int) -> Ending:
        del key, attempt
        match next(ends, "returns"):
            case "returns":
                return Ending()
            case "sends":
                return Ending(outgoing=2)
            case error:
                return Ending(error, transient=error == "Oops")

    for steps in draw(st.lists(st.integers(0, 60), max_size=4)):
        _live(world, handler, steps)
    _live(world, handler, None)
    return world.journal[: draw(st.integers(1, len(world.journal)))]


def _live(world: World, handler: Handler, steps: int | None) -> None:
    left = steps

    def point() -> None:
        nonlocal left
        if left is not None:
            left -= 1
            if left < 0:
                raise _DiedError

    with suppress(_DiedError):
        drive(TinyEngine(world, point=point), handler)
