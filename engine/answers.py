"""What a provider raises, as the engine takes it: an adapter with a bug must not end whoever called it."""

from __future__ import annotations

import logging

from queue_runtime.providers.errors import ProviderError, QueueError

__all__ = ["as_queue_error"]

logger = logging.getLogger("queue_runtime.engine")


def as_queue_error(provider: str, error: Exception) -> QueueError:
    """Return the error itself if the port allows it; report any other, and take it for one that may pass."""
    if isinstance(error, QueueError):
        return error
    logger.error("provider %s raised what the port does not allow; it is tried again", provider, exc_info=error)
    return ProviderError(provider, type(error).__name__, "a fault of its adapter", is_transient=True)
