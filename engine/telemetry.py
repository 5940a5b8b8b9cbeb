"""Where the engine meets its telemetry, if the settings ask for any: `plugins/telemetry` does the rest."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from queue_runtime.engine.core import Core
from queue_runtime.engine.settings import EngineSettings
from queue_runtime.journal.state import BreakerPhase
from queue_runtime.providers.errors import ConfigurationError
from queue_runtime.providers.port import Provider
from queue_runtime.providers.telemetry.switch import MISSING

if TYPE_CHECKING:
    from queue_runtime.plugins.telemetry.engine import Telemetry
    from queue_runtime.plugins.telemetry.instruments import Sample

__all__ = ["sampling", "telemetry_of"]

SAMPLE_S = 1.0
_BREAKERS = {BreakerPhase.CLOSED: 0, BreakerPhase.HALF_OPEN: 1, BreakerPhase.OPEN: 2}


def telemetry_of(settings: EngineSettings, provider: Provider) -> Telemetry | None:
    """The telemetry of an engine, if its settings ask for it.

    Raises:
        ConfigurationError: OpenTelemetry's API is not installed. The operator's fault.
    """
    if not settings.telemetry:
        return None
    try:
        from queue_runtime.plugins.telemetry.engine import Telemetry  # noqa: PLC0415 - the extra may not be there
    except ImportError as error:
        raise ConfigurationError(MISSING) from error
    return Telemetry(provider, settings.queues)


async def sampling(core: Core, telemetry: Telemetry) -> None:
    """Look at the engine once a second, for its gauges, until it is cancelled; and see how late the loop is."""
    try:
        late_s = 0.0
        while True:
            telemetry.sampled(_sample(core, late_s))
            began = time.perf_counter()
            await asyncio.sleep(SAMPLE_S)
            late_s = max(0.0, time.perf_counter() - began - SAMPLE_S)
    finally:
        telemetry.stopped()


def _sample(core: Core, late_s: float) -> Sample:
    from queue_runtime.plugins.telemetry.instruments import Sample  # noqa: PLC0415 - as above

    state, lanes, now = core.state, core.lanes, core.now()
    oldest = min((message.origin.at for message in state.messages.values() if message.is_held), default=now)
    return Sample(
        in_flight=lanes.in_flight,
        in_flight_bytes=lanes.in_flight_bytes,
        running=lanes.running,
        oldest_unsettled_s=max(0, now - oldest) / 1_000_000,
        sessions=sum(session.locked_until is not None for session in state.sessions.values()),
        parked=sum(session.parked_key is not None for session in state.sessions.values()),
        events=state.position,
        unwritable=int(core.outage.error is not None),
        loop_lag_s=late_s,
        breakers={breaker.name: _BREAKERS[breaker.phase] for breaker in state.breakers.values()},
    )
