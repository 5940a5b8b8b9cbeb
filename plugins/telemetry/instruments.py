"""The engine's instruments, made once in a process, and the gauges that look at every engine in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import TypeAlias

from opentelemetry.metrics import CallbackOptions, Counter, Histogram, Observation

from queue_runtime.providers.telemetry import names
from queue_runtime.providers.telemetry.operations import meter

__all__ = ["LIVE", "Instruments", "Sample", "instruments"]

_Callback: TypeAlias = Callable[[CallbackOptions], Iterable[Observation]]


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at an engine, taken on its loop about once a second. Breakers: 0 closed, 1 half-open, 2 open."""

    in_flight: int = 0
    in_flight_bytes: int = 0
    running: int = 0
    oldest_unsettled_s: float = 0.0
    sessions: int = 0
    parked: int = 0
    events: int = 0
    unwritable: int = 0
    loop_lag_s: float = 0.0
    breakers: dict[str, int] = field(default_factory=dict[str, int])


LIVE: dict[object, tuple[str, Sample]] = {}
"""The newest sample of every engine of this process, with its queues. Replaced as a whole: exporters have threads."""


@dataclass(frozen=True, slots=True)
class Instruments:
    """What an engine records as things happen."""

    process: Histogram
    completed: Counter
    dead_lettered: Counter
    duplicates: Counter
    locks_lost: Counter
    retries: Counter
    retry_delay: Histogram
    commit_duration: Histogram
    commit_events: Histogram
    recovery: Histogram
    recovered: Counter


@cache
def instruments() -> Instruments:
    """Return the instruments of this process, of the meter provider that it has set up."""
    _make_gauges()
    made_by = meter()
    counter, histogram = made_by.create_counter, made_by.create_histogram
    return Instruments(
        process=histogram(
            names.PROCESS_DURATION,
            "s",
            "How long handlers took.",
            explicit_bucket_boundaries_advisory=names.PROCESS_SECONDS,
        ),
        completed=counter(names.COMPLETED, "{message}", "Messages whose handler returned, in the journal."),
        dead_lettered=counter(names.DEAD_LETTERED, "{message}", "Messages that were given up."),
        duplicates=counter(names.DUPLICATES, "{message}", "Messages settled without being run: their key was known."),
        locks_lost=counter(names.LOCKS_LOST, "{lock}", "Locks that were lost."),
        retries=counter(names.RETRIES, "{attempt}", "Attempts that failed and are followed by another."),
        retry_delay=histogram(
            names.RETRY_DELAY,
            "s",
            "How long until the next attempt.",
            explicit_bucket_boundaries_advisory=names.DELAY_SECONDS,
        ),
        commit_duration=histogram(
            names.COMMIT_DURATION,
            "s",
            "From the hand-over of the first event of a commit until all of it is durable.",
            explicit_bucket_boundaries_advisory=names.COMMIT_SECONDS,
        ),
        commit_events=histogram(
            names.COMMIT_EVENTS, "{event}", "Events a commit.", explicit_bucket_boundaries_advisory=names.EVENT_COUNTS
        ),
        recovery=histogram(
            names.RECOVERY_DURATION,
            "s",
            "How long a start took to recover the journal.",
            explicit_bucket_boundaries_advisory=names.PROCESS_SECONDS,
        ),
        recovered=counter(names.RECOVERED, "{message}", "Live messages that starts found in their journals."),
    )


def _make_gauges() -> None:
    made_by = meter()

    def gauge(name: str, callback: _Callback, unit: str, description: str) -> None:
        made_by.create_observable_gauge(name, [callback], unit, description)

    gauge(names.IN_FLIGHT, _all(lambda s: s.in_flight), "{message}", "Messages held.")
    gauge(names.IN_FLIGHT_BYTES, _all(lambda s: s.in_flight_bytes), "By", "Bytes of the bodies held.")
    gauge(names.RUNNING, _all(lambda s: s.running), "{attempt}", "Handlers that run.")
    gauge(names.OLDEST_UNSETTLED, _all(lambda s: s.oldest_unsettled_s), "s", "Age of the oldest message held.")
    gauge(names.SESSIONS, _all(lambda s: s.sessions), "{session}", "Sessions of the broker that are held.")
    gauge(names.PARKED, _all(lambda s: s.parked), "{session}", "Sessions that wait for an operator.")
    gauge(names.UNWRITABLE, _all(lambda s: s.unwritable), "1", "1 while the journal cannot be written.")
    gauge(names.LOOP_LAG, _all(lambda s: s.loop_lag_s), "s", "How late the event loop is.")
    gauge(names.BREAKER_STATE, _breakers, "1", "0 closed, 1 half-open, 2 open.")
    made_by.create_observable_counter(names.EVENTS, [_all(lambda s: s.events)], "{event}", "Events in the journal.")


def _all(look: Callable[[Sample], float]) -> _Callback:
    def observe(options: CallbackOptions) -> Iterable[Observation]:
        del options
        return [Observation(look(sample), {names.ENGINE: queues}) for queues, sample in tuple(LIVE.values())]

    return observe


def _breakers(options: CallbackOptions) -> Iterable[Observation]:
    del options
    return [
        Observation(state, {names.ENGINE: queues, names.BREAKER: name})
        for queues, sample in tuple(LIVE.values())
        for name, state in sample.breakers.items()
    ]
