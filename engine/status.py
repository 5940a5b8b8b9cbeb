"""What an engine says of itself, to operators and to whoever embeds it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from queue_runtime.engine.core import Core
from queue_runtime.journal.state import BreakerPhase

__all__ = ["EngineStatus", "status_of"]


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """One look at an engine. `phases` counts live messages by where they stand; `parked` and `breakers` name trouble.

    `shared` names queues whose sessions need an engine of their own for their order, and have not got it.
    `ready` is false while the journal cannot be written, before the recovery and while draining; `reason` says why.
    """

    run_id: str
    ready: bool
    reason: str
    position: int
    durable: int
    in_flight: int
    in_flight_bytes: int
    running: int
    phases: dict[str, int]
    parked: tuple[str, ...]
    breakers: dict[str, str]
    shared: tuple[str, ...]


def status_of(core: Core) -> EngineStatus:
    """Look at an engine's core; on its loop."""
    state, lanes = core.state, core.lanes
    reason = ""
    if core.outage.error is not None:
        reason = f"the journal cannot be written: {core.outage.error}"
    elif core.is_draining:
        reason = "starting, or draining"
    return EngineStatus(
        run_id=core.run_id,
        ready=not reason,
        reason=reason,
        position=state.position,
        durable=core.journal.durable,
        in_flight=lanes.in_flight,
        in_flight_bytes=lanes.in_flight_bytes,
        running=lanes.running,
        phases=dict(Counter(message.phase.value for message in state.messages.values())),
        parked=tuple(f"{s.queue}/{s.session_id}" for s in state.sessions.values() if s.parked_key is not None),
        breakers={b.name: b.phase.value for b in state.breakers.values() if b.phase is not BreakerPhase.CLOSED},
        shared=tuple(sorted(core.shared)),
    )
