"""What is known of one message: the values that `evolve` folds its events into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from queue_runtime.journal.message_events import Duplicate, Outgoing, Received

__all__ = ["AttemptRecord", "Copy", "Lease", "MessageState", "Outcome", "Phase"]


class Phase(StrEnum):
    """Where a message stands. `LAPSED`, `UNSETTLED` and `FORGOTTEN` wait for the broker to hand it over again."""

    WAITING = "waiting"
    RUNNING = "running"
    ORPHANED = "orphaned"  # its handler runs on, its lease is gone
    BACKING_OFF = "backing off"
    LAPSED = "lapsed"
    SENDING = "sending"
    SETTLING = "settling"
    UNSETTLED = "unsettled"  # outcome known, the broker would not settle
    FORGOTTEN = "forgotten"  # only its attempts are remembered


class Lease(StrEnum):
    """What one broker copy of a message is to us."""

    HELD = "held"
    RELEASING = "releasing"  # lapsed by our own decision, and the broker is still to be told
    LAPSED = "lapsed"
    REFUSED = "refused"  # the broker would not settle it
    SETTLED = "settled"


class Outcome(StrEnum):
    """How a message ended."""

    COMPLETED = "completed"
    DEAD_LETTERED = "dead-lettered"
    DROPPED = "dropped"


class Copy(NamedTuple):
    """One broker message under the key, with its newest receipt."""

    provider_id: str
    receipt: str
    locked_until: int
    delivery_count: int
    lease: Lease = Lease.HELD
    release_delay_us: int = 0

    def __repr__(self) -> str:
        """Leave the receipt out: it is a secret."""
        shown = ", ".join(f"{name}={value!r}" for name, value in self._asdict().items() if name != "receipt")
        return f"Copy({shown})"


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One attempt that ended without success, for the dead-letter record."""

    attempt: int
    started_at: int
    ended_at: int
    how: str
    error_kind: str
    error_text: str


_NO_STEPS: Mapping[str, bytes] = {}


class MessageState(NamedTuple):
    """One message, by its idempotency key. A tuple, because every message is rebuilt several times in its life.

    `origin` is the event that brought it; `order` its place in its session; `failures` and `crashes` are the attempts
    that were charged; `sent` counts the outgoing messages that are done with; `trace_parent`: the last attempt's span.
    """

    origin: Received | Duplicate
    order: int
    phase: Phase
    copies: tuple[Copy, ...]
    suspect_until: int = 0
    attempt: int = 0
    started_at: int = 0
    route: str = ""
    alone: bool = False
    failures: int = 0
    crashes: int = 0
    retry_at: int | None = None
    history: tuple[AttemptRecord, ...] = ()
    steps: Mapping[str, bytes] = _NO_STEPS
    outcome: Outcome | None = None
    reason: str = ""
    description: str = ""
    outgoing: tuple[Outgoing, ...] = ()
    sent: int = 0
    since: int = 0
    trace_parent: str | None = None

    @property
    def key(self) -> str:
        """The idempotency key, with its queue."""
        return self.origin.key

    @property
    def lane(self) -> tuple[str, str] | None:
        """The queue and session whose order binds this message; None if none does."""
        session_id = self.origin.session_id
        return None if session_id is None else (self.origin.queue, session_id)

    @property
    def is_held(self) -> bool:
        """True if the journal says that the broker keeps it for us."""
        for copy in self.copies:  # noqa: SIM110 - a generator takes three times as long, several times a message
            if copy.lease is Lease.HELD:
                return True
        return False

    @property
    def is_running(self) -> bool:
        """True if a handler has not returned yet."""
        return self.phase is Phase.RUNNING or self.phase is Phase.ORPHANED

    @property
    def is_open(self) -> bool:
        """True if later messages of its session have to wait for it."""
        return self.phase in _OPEN

    @property
    def is_releasing(self) -> bool:
        """True if the broker has not been told yet that a copy is handed back."""
        for copy in self.copies:  # noqa: SIM110 - as of `is_held`
            if copy.lease is Lease.RELEASING:
                return True
        return False

    @property
    def may_have_run(self) -> bool:
        """True if an attempt may have got to its end unseen."""
        return any(record.how != "failed" for record in self.history)

    @property
    def to_settle(self) -> tuple[Copy, ...]:
        """The copies that the broker may be asked to settle, once there is an outcome.

        Completing is tried even after the lock was lost, because a broker may accept it; dead-lettering is not, because
        it could put a second copy beside one that another consumer completes.
        """
        tried = _HELD_OR_LAPSED if self.outcome is Outcome.COMPLETED else _HELD
        return tuple([copy for copy in self.copies if copy.lease in tried])

    def copy(self, provider_id: str) -> Copy | None:
        """Return the broker message `provider_id`, if this key holds it."""
        for copy in self.copies:
            if copy.provider_id == provider_id:
                return copy
        return None


_HELD = (Lease.HELD,)
_HELD_OR_LAPSED = (Lease.HELD, Lease.LAPSED)
_OPEN = frozenset({Phase.WAITING, Phase.RUNNING, Phase.ORPHANED, Phase.BACKING_OFF})
