"""Trace context in the attributes of messages, by the propagator that the process has chosen: W3C's by default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from opentelemetry import metrics, propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanContext

from queue_runtime.providers.message import Message

__all__ = ["made_in", "records_metrics", "records_spans", "sent_in", "stamped", "trace_parent_of"]


def records_spans() -> bool:
    """True if the process has set up something that keeps spans: OpenTelemetry's API alone does not."""
    return not type(trace.get_tracer_provider()).__module__.startswith("opentelemetry.trace")


def records_metrics() -> bool:
    """As `records_spans`, for metrics."""
    return not type(metrics.get_meter_provider()).__module__.startswith("opentelemetry.metrics")


def sent_in(attributes: Mapping[str, str]) -> Context | None:
    """The context in which a message was made; None if it names no span, or none that makes sense."""
    if not attributes:
        return None
    context = propagate.extract(attributes, Context())
    return context if trace.get_current_span(context).get_span_context().is_valid else None


def made_in(message: Message) -> SpanContext | None:
    """The span in which a message was made, as `sent_in`."""
    context = sent_in(message.attributes)
    return None if context is None else trace.get_current_span(context).get_span_context()


def stamped(message: Message, context: Context | None = None) -> Message:
    """Have a message carry a context, the present one unless given, instead of any that it has."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier, context)
    return replace(message, attributes={**message.attributes, **carrier}) if carrier else message


def trace_parent_of(span: SpanContext) -> str:
    """Write a span's context as W3C's `traceparent`, whatever propagator the process uses."""
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"
