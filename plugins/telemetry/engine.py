"""The telemetry of one engine, put together: what the process records decides what is there."""

from __future__ import annotations

from queue_runtime.journal.port import Journal
from queue_runtime.plugins.telemetry.attempts import Attempts
from queue_runtime.plugins.telemetry.commits import MeasuredJournal
from queue_runtime.plugins.telemetry.counting import Counting
from queue_runtime.plugins.telemetry.instruments import LIVE, Sample, instruments
from queue_runtime.providers.port import Provider
from queue_runtime.providers.telemetry import names
from queue_runtime.providers.telemetry.context import records_metrics
from queue_runtime.providers.telemetry.provider import InstrumentedProvider, instrument

__all__ = ["Telemetry"]


class Telemetry:
    """Made before its engine starts, after the process has set up what records; used on the engine's loop.

    Attributes:
        provider: the engine's, with spans and metrics around its calls.
        plugins: what observes for the metrics; nothing where nothing records them.
        measures: whether anything records metrics.
    """

    def __init__(self, provider: Provider, queues: tuple[str, ...]) -> None:
        self.provider = instrument(provider)
        self.measures = records_metrics()
        system = names.SYSTEMS.get(provider.name, provider.name)
        self.plugins: tuple[object, ...] = (Counting(system),) if self.measures else ()
        self._queues = ",".join(sorted(queues))

    def attempts(self, run_id: str) -> Attempts:
        """The spans of a run's attempts."""
        if not isinstance(self.provider, InstrumentedProvider):
            msg = "`instrument` answers an instrumented provider"
            raise TypeError(msg)
        return Attempts(self.provider, run_id)

    def journal(self, journal: Journal) -> Journal:
        """The journal, with its commits measured if anything records that."""
        return MeasuredJournal(journal) if self.measures else journal

    def recovered(self, seconds: float, live: int) -> None:
        """A start has recovered its journal."""
        if self.measures:
            instruments().recovery.record(seconds, {names.ENGINE: self._queues})
            instruments().recovered.add(live, {names.ENGINE: self._queues})

    def sampled(self, sample: Sample) -> None:
        """Have the gauges show a new look at the engine."""
        LIVE[self] = (self._queues, sample)

    def stopped(self) -> None:
        """Take the engine out of the gauges."""
        LIVE.pop(self, None)
