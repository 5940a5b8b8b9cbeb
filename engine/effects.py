"""What is due, by the journal: `owed` lists the effects that the state of one message still asks for. Pure.

Normal running asks it for what an event touched, start-up for all that is open; there is no other path. An effect has a
stable `id`, and the shell keeps the ids it is performing, so asking again performs nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from queue_runtime.journal.events import Disposition, Outgoing, Received
from queue_runtime.journal.state import Copy, Lease, MessageState, Outcome, Phase

__all__ = ["Effect", "ReleaseLease", "RunHandler", "Send", "Settle", "WakeAt", "owed"]


class RunHandler(NamedTuple):
    """Run the handler for this attempt."""

    key: str
    attempt: int

    @property
    def id(self) -> tuple[str, str, int]:
        """Stable across calls of `owed`."""
        return ("run", self.key, self.attempt)


@dataclass(frozen=True, slots=True)
class Send:
    """Send the outgoing message at `index`."""

    key: str
    index: int
    message: Outgoing

    @property
    def id(self) -> tuple[str, str, int]:
        """Stable across calls of `owed`."""
        return ("send", self.key, self.index)


class Settle(NamedTuple):
    """Tell the broker the outcome, for one copy. A new receipt is a new effect."""

    key: str
    provider_id: str
    disposition: Disposition
    reason: str
    description: str
    receipt: str

    def __repr__(self) -> str:
        """Leave the receipt out: it is a secret."""
        return f"Settle(key={self.key!r}, provider_id={self.provider_id!r}, disposition={self.disposition!r})"

    @property
    def id(self) -> tuple[str, str, str]:
        """Stable across calls of `owed`."""
        return ("settle", self.provider_id, self.receipt)


@dataclass(frozen=True, slots=True)
class ReleaseLease:
    """Hand one copy back to the broker, to be hidden for `delay_us`."""

    key: str
    provider_id: str
    delay_us: int
    receipt: str = field(repr=False)

    @property
    def id(self) -> tuple[str, str, str]:
        """Stable across calls of `owed`."""
        return ("release", self.provider_id, self.receipt)


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Look at the message again at `at`."""

    key: str
    at: int

    @property
    def id(self) -> tuple[str, str, int]:
        """Stable across calls of `owed`."""
        return ("wake", self.key, self.at)


Effect: TypeAlias = RunHandler | Send | Settle | ReleaseLease | WakeAt


def owed(message: MessageState) -> tuple[Effect, ...]:
    """List what is due for one message. A lapsed one waits for its broker.

    An orphaned attempt is owed its run as any other: its lock may have been lost before the handler was started, and
    an attempt that is never run would never end. Whoever runs it may end it at once, by `HandlerReleased`.
    """
    list_due = _OWED.get(message.phase)
    due = () if list_due is None else list_due(message)
    return (*due, *_releases(message)) if message.is_releasing else due


def _run(message: MessageState) -> tuple[Effect, ...]:
    return (RunHandler(message.key, message.attempt),)


def _send(message: MessageState) -> tuple[Effect, ...]:
    return (Send(message.key, message.sent, message.outgoing[message.sent]),)


def _retry(message: MessageState) -> tuple[Effect, ...]:
    return () if message.retry_at is None else (WakeAt(message.key, message.retry_at),)


def _settlements(message: MessageState) -> tuple[Effect, ...]:
    """One a copy. Of several copies of a dead letter one goes to the dead letters; then the others are completed."""
    if message.outcome is Outcome.DEAD_LETTERED and all(copy.lease is not Lease.SETTLED for copy in message.copies):
        return (_dead_letter(message, message.to_settle[0]),)
    return tuple(_complete(message, copy) for copy in message.to_settle)


def _dead_letter(message: MessageState, copy: Copy) -> Settle:
    return Settle(
        message.key, copy.provider_id, Disposition.DEAD_LETTER, message.reason, message.description, copy.receipt
    )


def _complete(message: MessageState, copy: Copy) -> Settle:
    return Settle(message.key, copy.provider_id, Disposition.COMPLETE, "", "", copy.receipt)


def _releases(message: MessageState) -> tuple[Effect, ...]:
    return tuple(
        ReleaseLease(message.key, copy.provider_id, copy.release_delay_us, copy.receipt)
        for copy in message.copies
        if copy.lease is Lease.RELEASING
    )


def _expiry(message: MessageState) -> tuple[Effect, ...]:
    origin = message.origin
    if not isinstance(origin, Received) or origin.expires_at is None or message.attempt:
        return ()
    return (WakeAt(message.key, origin.expires_at),)


_OWED: dict[Phase, Callable[[MessageState], tuple[Effect, ...]]] = {
    Phase.WAITING: _expiry,
    Phase.RUNNING: _run,
    Phase.ORPHANED: _run,
    Phase.BACKING_OFF: _retry,
    Phase.SENDING: _send,
    Phase.SETTLING: _settlements,
}
