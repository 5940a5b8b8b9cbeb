"""What one call to a broker leaves in telemetry: a span, its duration, and the messages that it carried."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Final, TypeVar

from opentelemetry import metrics, trace
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, StatusCode
from opentelemetry.util.types import AttributeValue

from queue_runtime.providers.errors import QueueError
from queue_runtime.providers.telemetry import names
from queue_runtime.providers.telemetry.context import records_metrics, records_spans

__all__ = ["Call", "Calls", "error_type", "meter", "tracer"]

T = TypeVar("T")

MAX_LINKS: Final = 128
"""What the SDK keeps of a span's links unless it is told otherwise."""


def tracer() -> trace.Tracer:
    """Our tracer, of the process's provider."""
    return trace.get_tracer(names.SCOPE, schema_url=names.SCHEMA_URL)


def meter() -> metrics.Meter:
    """Our meter, of the process's provider."""
    return metrics.get_meter(names.SCOPE, schema_url=names.SCHEMA_URL)


@dataclass(frozen=True, slots=True)
class _Instruments:
    duration: metrics.Histogram
    sent: metrics.Counter
    consumed: metrics.Counter


@cache
def _instruments() -> _Instruments:
    made_by = meter()
    return _Instruments(
        made_by.create_histogram(
            names.OPERATION_DURATION,
            "s",
            "How long a call to the broker took, waiting for messages included.",
            explicit_bucket_boundaries_advisory=names.OPERATION_SECONDS,
        ),
        made_by.create_counter(names.SENT, "{message}", "Messages that were to be sent."),
        made_by.create_counter(names.CONSUMED, "{message}", "Messages that the broker handed over."),
    )


@dataclass(slots=True)
class Call:
    """One call under way.

    Args:
        operation: what it is. kind: which of the conventions' types that is.
        queue: where it goes.
        began_ns: since the epoch, for the span. began: on the clock of `perf_counter`, for the duration.
    """

    operation: str
    kind: str
    queue: str
    began_ns: int = field(default_factory=time.time_ns)
    began: float = field(default_factory=time.perf_counter)


class Calls:
    """Records the calls to one broker. Costs next to nothing where the process records neither spans nor metrics."""

    def __init__(self, provider_name: str) -> None:
        self._system = names.SYSTEMS.get(provider_name, provider_name)
        self.spans = records_spans()
        self.metrics = records_metrics()
        self.tracer = tracer()

    @property
    def are_recorded(self) -> bool:
        """True if anybody records anything."""
        return self.spans or self.metrics

    def attributes(self, call: Call) -> dict[str, AttributeValue]:
        """What spans and metrics of a call share."""
        return {
            names.SYSTEM: self._system,
            names.DESTINATION: call.queue,
            names.OPERATION: call.operation,
            names.OPERATION_TYPE: call.kind,
        }

    def begin_span(
        self, call: Call, kind: SpanKind, linked: Sequence[SpanContext], more: Mapping[str, AttributeValue]
    ) -> Span:
        """Begin the span of a call, at the instant at which it began."""
        return self.tracer.start_span(
            f"{call.operation} {call.queue}",
            kind=kind,
            attributes={**self.attributes(call), **more},
            links=[Link(context) for context in linked[:MAX_LINKS]],
            start_time=call.began_ns,
        )

    def end(self, call: Call, error: str | None, span: Span | None = None) -> None:
        """Count a call and its duration, and end its span."""
        if span is not None:
            if error is not None:
                span.set_attribute(names.ERROR_TYPE, error)
                span.set_status(StatusCode.ERROR, error)
            span.end()
        if self.metrics:
            attributes = self.attributes(call)
            if error is not None:
                attributes[names.ERROR_TYPE] = error
            _instruments().duration.record(time.perf_counter() - call.began, attributes)

    async def watched(self, call: Call, work: Awaitable[T], span: Span | None, failure: Callable[[T], str | None]) -> T:
        """Await a call, and end its span with what became of it."""
        error: str | None = "cancelled"
        try:
            answer = await work
            error = failure(answer)
        except Exception as raised:
            error = type(raised).__name__
            raise
        else:
            return answer
        finally:
            self.end(call, error, span)

    def count_sent(self, call: Call, answers: Sequence[object]) -> None:
        """Count the messages of a send, each with what became of it."""
        if self.metrics:
            for error, count in _by_error(answers).items():
                _instruments().sent.add(count, self._with(call, error))

    def count_consumed(self, call: Call, count: int) -> None:
        """Count the messages of a receive."""
        if self.metrics and count:
            _instruments().consumed.add(count, self._with(call, None))

    def _with(self, call: Call, error: str | None) -> dict[str, AttributeValue]:
        attributes = self.attributes(call)
        del attributes[names.OPERATION_TYPE]
        if error is not None:
            attributes[names.ERROR_TYPE] = error
        return attributes


def error_type(answers: Sequence[object]) -> str | None:
    """The kind of error of a batch: of its first failure, if anything of it failed."""
    return next((type(answer).__name__ for answer in answers if isinstance(answer, QueueError)), None)


def _by_error(answers: Sequence[object]) -> dict[str | None, int]:
    found: dict[str | None, int] = {}
    for answer in answers:
        error = type(answer).__name__ if isinstance(answer, QueueError) else None
        found[error] = found.get(error, 0) + 1
    return found
