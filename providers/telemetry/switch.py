"""Turns telemetry on where the settings ask for it. Nothing of OpenTelemetry is imported before."""

from __future__ import annotations

from queue_runtime.providers.errors import ConfigurationError
from queue_runtime.providers.port import Provider

__all__ = ["MISSING", "instrumented"]

MISSING = "telemetry is on, and OpenTelemetry's API is not installed: pip install 'queue-runtime[otel]', or turn it off"


def instrumented(provider: Provider) -> Provider:
    """Return `provider` with spans, metrics and trace context around its calls; one that has them, as it is.

    Raises:
        ConfigurationError: OpenTelemetry's API is not installed. The operator's fault.
    """
    try:
        from queue_runtime.providers.telemetry.provider import instrument  # noqa: PLC0415 - the extra may not be there
    except ImportError as error:
        raise ConfigurationError(MISSING) from error
    return instrument(provider)
