"""What the core asks of the parts around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from queue_runtime.engine.effects import Effect
from queue_runtime.engine.inputs import Input, SessionInput
from queue_runtime.engine.lanes import LaneKey, Lanes
from queue_runtime.engine.policy import Policy
from queue_runtime.journal.events import Event
from queue_runtime.journal.state import EngineState, MessageState

__all__ = ["Follower", "Limits", "Live", "Routes", "Watcher"]


class Routes(Protocol):
    """What the core has to know of handlers: the route of a message, and how patient to be with it."""

    def route(self, message: MessageState) -> str:
        """Name the handler of a message."""
        ...

    def policy(self, route: str) -> Policy:
        """The policy of a route; the engine's own for the empty name."""
        ...

    def hands_back(self, route: str) -> bool:
        """True if messages of this route go back to the broker untried."""
        ...


class Watcher(Protocol):
    """Is told of every event of a message, as soon as it is decided."""

    def happened(self, event: Event, message: MessageState | None, position: int) -> None:
        """Take it over; must not raise. `message` is what it is about, before it went if it went."""
        ...


class Follower(Protocol):
    """Is told when what we hold of a message changes: it came, was handed over again, lapsed, or went."""

    def changed(self, before: MessageState | None, after: MessageState | None) -> None:
        """Take the change over; must not raise."""
        ...


class Live(Protocol):
    """The core, as the parts that it is made of see it."""

    @property
    def state(self) -> EngineState:
        """What the journal says."""
        ...

    @property
    def lanes(self) -> Lanes:
        """Who may start next."""
        ...

    def now(self) -> int:
        """The present instant."""
        ...

    def submit(self, key: str, given: Input) -> int | None:
        """Decide what was seen of a message."""
        ...

    def submit_session(self, lane: LaneKey, given: SessionInput) -> int | None:
        """Decide what was seen of a session."""
        ...

    def commit(self, events: Sequence[Event]) -> int | None:
        """Journal what was decided."""
        ...

    def perform(self, key: str) -> None:
        """Have what is owed for a message performed."""
        ...

    def done(self, effect: Effect) -> None:
        """An effect has been performed."""
        ...

    def pump(self) -> None:
        """Start what may start."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """How much the core starts, how long what it hands back untried stays hidden, and what is early waits."""

    concurrency: int
    release_delay_us: int
    reorder_wait_us: int
