"""The engine that a bot embeds: it receives, runs handlers, retries, settles, and recovers from its journal."""

from queue_runtime.engine.engine import Engine
from queue_runtime.engine.policy import Backoff, BackoffKind, BreakerPolicy, PoisonPolicy, Policy, SessionFailure
from queue_runtime.engine.settings import EngineSettings
from queue_runtime.engine.status import EngineStatus
from queue_runtime.plugins import Context

__all__ = [
    "Backoff",
    "BackoffKind",
    "BreakerPolicy",
    "Context",
    "Engine",
    "EngineSettings",
    "EngineStatus",
    "PoisonPolicy",
    "Policy",
    "SessionFailure",
]
