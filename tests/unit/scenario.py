"""Given what the journal says, when this is seen, then these events follow and this is owed.

given(received(), started()).when(returned()).then(completed(), owes=[settle()])
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from queue_runtime.engine.decide import decide
from queue_runtime.engine.effects import Effect, owed
from queue_runtime.engine.inputs import Input
from queue_runtime.engine.policy import Policy
from queue_runtime.journal.events import Event
from queue_runtime.journal.state import EngineState, MessageState, fold
from tests.unit.builders import KEY


@dataclass(frozen=True)
class Scenario:
    """A past, and what the last input decided upon it."""

    past: tuple[Event, ...]
    policy: Policy = field(default_factory=Policy)
    new: tuple[Event, ...] = ()

    def under(self, policy: Policy) -> "Scenario":
        """Decide by another policy than the default."""
        return Scenario(self.past, policy)

    def when(self, happened: Input) -> "Scenario":
        """Decide; what was decided before is past."""
        past = self.past + self.new
        return Scenario(past, self.policy, decide(fold(past).messages.get(KEY), happened, self.policy))

    def then(self, *expected: Event, owes: Sequence[Effect] | None = None) -> "Scenario":
        """Assert what was decided, and what is owed once that is journaled."""
        assert self.new == expected
        if owes is not None:
            assert self.owed == tuple(owes)
        return self

    @property
    def state(self) -> EngineState:
        """The fold of everything so far."""
        return fold(self.past + self.new)

    @property
    def message(self) -> MessageState:
        """The message, which is known."""
        return self.state.messages[KEY]

    @property
    def owed(self) -> tuple[Effect, ...]:
        """What is owed for the message; nothing if nothing is known of it."""
        message = self.state.messages.get(KEY)
        return () if message is None else owed(message)


def given(*past: Event) -> Scenario:
    """Begin with a journal."""
    return Scenario(past)
