"""Telemetry of an engine: spans of attempts and metrics by OpenTelemetry, the extra `otel`."""
