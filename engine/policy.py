"""How patient the engine is, as data: retry, circuit breaker, poison, session failure. Pure.

Durations are in seconds where people set them and in microseconds where the core computes with them. Jitter is drawn by
the caller, so that a decision can be repeated exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Backoff", "BackoffKind", "BreakerPolicy", "DeadLetterReason", "PoisonPolicy", "Policy", "SessionFailure"]

_US = 1_000_000
_LARGEST_EXPONENT = (
    64  # 2 ** 64 s is past every ceiling, and a float still holds what a multiplier of 1,000 makes of it
)


class BackoffKind(StrEnum):
    """How the delay grows from one retry to the next."""

    EXPONENTIAL = "exponential"
    LINEAR = "linear"
    FIXED = "fixed"


class SessionFailure(StrEnum):
    """What becomes of a session whose head failed for good."""

    SKIP = "skip"  # dead-letter it and go on
    BLOCK = "block"  # retry it without end; later messages wait
    PARK = "park"  # hold the session until an operator resumes it or its time is up; other sessions go on


class DeadLetterReason(StrEnum):
    """Why no further attempt is made."""

    PERMANENT_ERROR = "PermanentError"
    ATTEMPTS_EXHAUSTED = "MaxAttemptsExceeded"
    POISON = "PoisonMessage"
    EXPIRED = "TTLExpired"
    PARK_EXPIRED = "ParkExpired"
    OPERATOR = "OperatorRequest"


@dataclass(frozen=True, slots=True)
class Backoff:
    """The delay before a retry. `jitter` is the largest share of the delay added or taken away, 0 to 1."""

    kind: BackoffKind = BackoffKind.EXPONENTIAL
    initial_s: float = 1.0
    max_s: float = 30.0
    multiplier: float = 2.0
    increment_s: float = 1.0
    jitter: float = 0.2
    max_retry_after_s: float = 300.0

    def delay_us(self, failures: int, draw: float, retry_after_s: float | None = None) -> int:
        """Return the delay after the `failures`-th failure (from 1), in microseconds.

        Args:
            failures: how often it has failed by now.
            draw: the jitter drawn for it, uniform in -1 to 1.
            retry_after_s: what the failing service asked for; it replaces the computed delay, up to its own ceiling.
        """
        if retry_after_s is not None:
            # 0.0 stands first, so that a NaN from some header means "at once" and not an error in here.
            return round(min(max(0.0, retry_after_s), self.max_retry_after_s) * _US)
        if self.kind is BackoffKind.EXPONENTIAL:
            delay_s = self.initial_s * self.multiplier ** min(failures - 1, _LARGEST_EXPONENT)
        elif self.kind is BackoffKind.LINEAR:
            delay_s = self.initial_s + self.increment_s * (failures - 1)
        else:
            delay_s = self.initial_s
        jittered_s = min(delay_s, self.max_s) * (1 + self.jitter * draw)
        return round(min(jittered_s, self.max_s) * _US)


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a route's circuit breaker opens and closes. Only transient failures count, and only consecutive ones."""

    failures: int = 5
    open_s: float = 30.0
    successes: int = 3


@dataclass(frozen=True, slots=True)
class PoisonPolicy:
    """When a message is suspected of killing its process, and when that is proven.

    `suspect_deliveries`: a message that the broker has handed over more often than this, before we ever saw it, is a
    suspect: other consumers may have died of it.
    """

    max_crashes: int = 3
    suspicion_s: float = 600.0
    suspect_deliveries: int = 3


@dataclass(frozen=True, slots=True)
class Policy:
    """What `decide` goes by for one route of one queue.

    `hold_s` is the longest back-off for which the lock is kept; beyond it the message is handed back with that delay.
    `forget_lapsed_s` bounds the body of a message that nobody handed over again, `remember_attempts_s` its attempts,
    `forget_unsettled_s` a finished one that the broker would not settle (the longest retention of a broker, 14 days).
    """

    max_attempts: int = 5
    backoff: Backoff = Backoff()
    breaker: BreakerPolicy = BreakerPolicy()
    poison: PoisonPolicy = PoisonPolicy()
    session_failure: SessionFailure = SessionFailure.SKIP
    park_s: float = 12 * 3_600.0
    hold_s: float = 300.0
    lock_margin_s: float = 1.0
    drop_expired: bool = False
    forget_lapsed_s: float = 900.0
    remember_attempts_s: float = 24 * 3_600.0
    forget_unsettled_s: float = 14 * 24 * 3_600.0


def us(seconds: float) -> int:
    """Return `seconds` in whole microseconds."""
    return round(seconds * _US)
