"""Who handles a message: hooks, the router, and what a handler is given and may raise."""

from queue_runtime.plugins.context import Context
from queue_runtime.plugins.errors import (
    AuthenticationFailure,
    AuthorizationFailure,
    ErrorVerdict,
    InvalidMessage,
    NetworkTimeout,
    PermanentError,
    PermanentServiceError,
    PluginError,
    ProviderThrottling,
    RateLimitExceeded,
    StepError,
    TemporaryServiceUnavailable,
    TransientDatabaseError,
    TransientError,
    ValidationFailure,
    default_verdict,
)
from queue_runtime.plugins.github import GitHub, github_message
from queue_runtime.plugins.github_sessions import GitHubStrategy
from queue_runtime.plugins.handlers import Handler, RouteOptions, SessionFailure
from queue_runtime.plugins.hookspecs import hookimpl
from queue_runtime.plugins.infos import (
    AttemptFailedInfo,
    AttemptStartedInfo,
    CompletedInfo,
    DeadLetteredInfo,
    DeliveryInfo,
    DuplicateInfo,
    EngineStartedInfo,
    EngineStoppedInfo,
    ErrorInfo,
    LockLostInfo,
    MessageInfo,
    ReceivedInfo,
)
from queue_runtime.plugins.loading import load, load_entry_points
from queue_runtime.plugins.manager import Observation, Plugins
from queue_runtime.plugins.router import Router

__all__ = [
    "AttemptFailedInfo",
    "AttemptStartedInfo",
    "AuthenticationFailure",
    "AuthorizationFailure",
    "CompletedInfo",
    "Context",
    "DeadLetteredInfo",
    "DeliveryInfo",
    "DuplicateInfo",
    "EngineStartedInfo",
    "EngineStoppedInfo",
    "ErrorInfo",
    "ErrorVerdict",
    "GitHub",
    "GitHubStrategy",
    "Handler",
    "InvalidMessage",
    "LockLostInfo",
    "MessageInfo",
    "NetworkTimeout",
    "Observation",
    "PermanentError",
    "PermanentServiceError",
    "PluginError",
    "Plugins",
    "ProviderThrottling",
    "RateLimitExceeded",
    "ReceivedInfo",
    "RouteOptions",
    "Router",
    "SessionFailure",
    "StepError",
    "TemporaryServiceUnavailable",
    "TransientDatabaseError",
    "TransientError",
    "ValidationFailure",
    "default_verdict",
    "github_message",
    "hookimpl",
    "load",
    "load_entry_points",
]
