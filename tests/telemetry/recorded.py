"""What the process records, by the SDK's own exporters in memory, and an engine that has telemetry on."""

import asyncio
import inspect
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import cache
from itertools import count
from typing import cast

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from queue_runtime.engine import Context, Engine, EngineSettings
from queue_runtime.journal import MemoryJournal
from queue_runtime.journal.events import Event
from queue_runtime.plugins import DeliveryInfo, Handler, hookimpl
from queue_runtime.providers import QueueClient
from queue_runtime.providers.memory import MemoryBroker, MemoryProvider, QueueKind, QueueSettings
from queue_runtime.providers.message import QueueName
from queue_runtime.providers.telemetry import instrumented

POLL_S = 0.005  # how often a condition is looked at; no test relies on how long something takes
_numbers = count(1)


class Recorded:
    """The process's one SDK: it is set up once, as an application does."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.reader = InMemoryMetricReader()
        traces = TracerProvider()
        traces.add_span_processor(SimpleSpanProcessor(self.exporter))
        trace.set_tracer_provider(traces)
        metrics.set_meter_provider(MeterProvider([self.reader]))

    def spans(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.exporter.get_finished_spans() if span.name == name]

    def span(self, name: str) -> ReadableSpan:
        (span,) = self.spans(name)
        return span

    def points(self) -> Mapping[str, list[NumberDataPoint | HistogramDataPoint]]:
        """Every data point by its metric's name; counts are of the whole process, so queues keep tests apart."""
        data = self.reader.get_metrics_data()
        found: dict[str, list[NumberDataPoint | HistogramDataPoint]] = {}
        for resource in data.resource_metrics if data is not None else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    found.setdefault(metric.name, []).extend(
                        cast("list[NumberDataPoint | HistogramDataPoint]", metric.data.data_points)
                    )
        return found

    def value(self, name: str, **attributes: object) -> float:
        """The sum of a counter or gauge, or how many values a histogram has, over the points with these attributes."""
        points = self._points_of(name, attributes)
        return sum(one.count if isinstance(one, HistogramDataPoint) else one.value for one in points)

    def has(self, name: str, **attributes: object) -> bool:
        """True if there is a point with these attributes."""
        return bool(self._points_of(name, attributes))

    def _points_of(self, name: str, attributes: Mapping[str, object]) -> list[NumberDataPoint | HistogramDataPoint]:
        wanted = {key.replace("__", "."): value for key, value in attributes.items()}
        return [one for one in self.points().get(name, ()) if wanted.items() <= dict(one.attributes or {}).items()]


@cache
def recorded() -> Recorded:
    """The SDK of this process."""
    return Recorded()


class ByQueue:
    """Handlers by queue, each a route by its function's name."""

    def __init__(self, handlers: Mapping[str, Callable[[Context], object]]) -> None:
        self._handlers = handlers

    @hookimpl
    def queue_runtime_handler(self, info: DeliveryInfo) -> Handler | None:
        call = self._handlers.get(info.delivery.queue)
        return None if call is None else Handler(call.__name__, call, inspect.iscoroutinefunction(call))


class Site:
    """A broker, a journal, and two queues of this test's own."""

    def __init__(self, kind: QueueKind = QueueKind.STANDARD) -> None:
        number = next(_numbers)
        self.queue, self.other = QueueName(f"pulls-{number}"), QueueName(f"labels-{number}")
        rules = QueueSettings(kind=kind, lock_s=5.0, session_lock_s=5.0, max_deliveries=100)
        self.broker = MemoryBroker({self.queue: rules, self.other: QueueSettings(max_deliveries=100)})
        self.journal = MemoryJournal()

    @asynccontextmanager
    async def engine(
        self, *handlers: Callable[[Context], object], is_killed: bool = False, **settings: object
    ) -> AsyncGenerator[Engine]:
        """A running engine, a handler for each queue; `is_killed`: the journal keeps what was durable, and no more."""
        quick = {"retry_initial_s": 0.01, "retry_max_s": 0.02, "receive_wait_s": 0.1, "session_idle_s": 0.1}
        given = {"queues": (self.queue, self.other), "telemetry": True, **quick, **settings}
        chosen = EngineSettings.model_validate(given)
        plugin = ByQueue(dict(zip((self.queue, self.other), handlers, strict=False)))
        async with Engine(chosen, MemoryProvider(self.broker), self.journal, [plugin]) as engine:
            running = asyncio.create_task(engine.run(handle_signals=False))
            yield engine
            if is_killed:
                durable = self.journal.events
                await engine.stop()
                self.journal = MemoryJournal(events=durable, keys=self.journal.keys)
            else:
                await engine.drain(5)
            await running

    def client(self) -> QueueClient:
        return QueueClient(instrumented(MemoryProvider(self.broker)))

    def of(self, kind: type[Event]) -> list[tuple[int, Event]]:
        return [item for item in enumerate(self.journal.events, 1) if isinstance(item[1], kind)]

    def is_empty(self) -> bool:
        counts = [self.broker.counts(queue) for queue in (self.queue, self.other)]
        return not any(one.active + one.in_flight + one.scheduled for one in counts)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that an engine does; a test that waits in vain fails."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - any state of any part may be waited for
            await asyncio.sleep(POLL_S)
