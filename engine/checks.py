"""What the engine needs of a queue, against what the broker declares: said at start-up, and all of it at once."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from queue_runtime.engine.settings import EngineSettings
from queue_runtime.providers.errors import ConfigurationError
from queue_runtime.providers.port import Capabilities

__all__ = ["check"]

logger = logging.getLogger("queue_runtime.engine")

_WIDE_MARGIN = 2
"""How many times our attempts a broker's own maximum should be: hand-backs and lost locks raise its count, not ours."""


def check(settings: EngineSettings, capabilities: Mapping[str, Capabilities]) -> None:
    """Refuse what cannot work, and warn of what is narrow.

    Raises:
        ConfigurationError: names each queue and value that cannot work, and what to change.
    """
    problems: list[str] = []
    for queue, able in capabilities.items():
        most = able.max_deliveries
        if most is not None and most < settings.max_attempts:
            problems.append(
                f"queue {queue} dead-letters after {most} deliveries, before {settings.max_attempts} attempts: "
                f"raise the queue's maximum to {_WIDE_MARGIN * settings.max_attempts} or lower max_attempts"
            )
        elif most is not None and most < _WIDE_MARGIN * settings.max_attempts:
            logger.warning(
                "queue %s dead-letters after %d deliveries, a narrow margin for %d attempts: each lost lock and each "
                "hand-back counts there; %d is a safe maximum",
                queue,
                most,
                settings.max_attempts,
                _WIDE_MARGIN * settings.max_attempts,
            )
        if able.max_lock_s < settings.handler_timeout_s:
            problems.append(
                f"queue {queue} keeps a lock for {able.max_lock_s:g} s at most, and a handler may take "
                f"{settings.handler_timeout_s:g} s: lower handler_timeout_s"
            )
    if problems:
        raise ConfigurationError("; ".join(problems))
