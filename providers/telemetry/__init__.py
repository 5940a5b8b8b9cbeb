"""Spans, metrics and trace context at the broker's edge, with OpenTelemetry's API: the extra `otel`."""

from queue_runtime.providers.telemetry.switch import instrumented

__all__ = ["instrumented"]
