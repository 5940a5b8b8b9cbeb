"""The rules about what is no message's own: key files, parked sessions, breakers and runs. See `invariants.py`."""

from __future__ import annotations

from queue_runtime.journal.events import (
    BreakerClosed,
    BreakerHalfOpened,
    BreakerOpened,
    KeysSealed,
    KeysSealing,
    OperatorActed,
    RunStarted,
    RunStopped,
    SessionParked,
    SessionResumed,
)
from queue_runtime.journal.rules import Findings, Rule
from queue_runtime.journal.state import BreakerPhase

__all__ = [
    "breaker_closed",
    "breaker_half_opened",
    "breaker_opened",
    "keys_sealed",
    "keys_sealing",
    "parked",
    "resumed",
    "run_started",
    "run_stopped",
]


def keys_sealing(audit: Findings, _: KeysSealing) -> None:
    """Remember what is set aside for a key file."""
    if audit.tracks.sealing is None:  # else they wait for the batch before them
        audit.tracks.sealing = audit.position


def keys_sealed(audit: Findings, event: KeysSealed) -> None:
    """A key file holds what was set aside last, and nothing else."""
    due = audit.tracks.sealing
    audit.require(event.until == due, Rule.KEYS_SEALED, f"keys up to {event.until} are sealed, set aside were: {due}")
    audit.tracks.sealing = None


def parked(audit: Findings, event: SessionParked) -> None:
    """Nothing of the session starts from now on."""
    audit.tracks.parked.add((event.queue, event.session_id))


def resumed(audit: Findings, event: SessionResumed) -> None:
    """The session goes on."""
    audit.tracks.parked.discard((event.queue, event.session_id))
    head = audit.tracks.messages.get(event.key)
    if head is not None:
        head.suspect_until = 0


def breaker_opened(audit: Findings, event: BreakerOpened) -> None:
    """It was not open."""
    phase, _ = audit.tracks.breaker(event.name)
    audit.require(phase is not BreakerPhase.OPEN, Rule.BREAKER_ORDER, f"breaker {event.name} opens while it is open")
    audit.tracks.breakers[event.name] = (BreakerPhase.OPEN, event.until)


def breaker_half_opened(audit: Findings, event: BreakerHalfOpened) -> None:
    """It was open, for long enough."""
    phase, until = audit.tracks.breaker(event.name)
    is_due = phase is BreakerPhase.OPEN and event.at >= until
    audit.require(is_due, Rule.BREAKER_ORDER, f"breaker {event.name} half opens while it is {phase}")
    audit.tracks.breakers[event.name] = (BreakerPhase.HALF_OPEN, 0)


def breaker_closed(audit: Findings, event: BreakerClosed) -> None:
    """It was half open, or an operator closed it."""
    phase, _ = audit.tracks.breaker(event.name)
    was_asked = isinstance(audit.before, OperatorActed) and audit.before.target == event.name
    is_due = phase is BreakerPhase.HALF_OPEN or was_asked
    audit.require(is_due, Rule.BREAKER_ORDER, f"breaker {event.name} closes by itself while it is {phase}")
    audit.tracks.breakers.pop(event.name, None)


def run_started(audit: Findings, event: RunStarted) -> None:
    """Attempts that start are of this run."""
    audit.tracks.run_id, audit.tracks.window_us = event.run_id, event.window_us


def run_stopped(audit: Findings, event: RunStopped) -> None:
    """It is the run that went on."""
    run_id = audit.tracks.run_id
    audit.require(event.run_id == run_id, Rule.ONE_RUN, f"run {event.run_id} stops, but {run_id} goes on")
    audit.tracks.run_id = None
