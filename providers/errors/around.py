"""What is said around calls: by a loop that repeats them, and by an engine that ends."""

# ruff: noqa: N818 - errors are named for what happened, in the words of the brokers' own documentation

from __future__ import annotations

from dataclasses import replace

from queue_runtime.providers.errors.root import NOTHING_KNOWN, Category, ErrorContext, QueueError

__all__ = ["CircuitOpen", "MaxAttemptsExceeded", "RetryTimeout", "ShutdownInProgress"]


class CircuitOpen(QueueError):
    """Calls are held back after repeated failures, for `retry_after_s` more."""

    category = Category.TRANSIENT

    def __init__(self, name: str, retry_after_s: float, *, context: ErrorContext = NOTHING_KNOWN) -> None:
        text = f"circuit {name!r} is open after repeated failures: next probe in {retry_after_s:g} s"
        super().__init__(text, context=context)
        self.retry_after_s = retry_after_s


class RetryTimeout(QueueError):
    """The time for an operation and all its retries ran out; the last error is its cause."""

    def __init__(self, operation: str, timeout_s: float, *, context: ErrorContext = NOTHING_KNOWN) -> None:
        super().__init__(f"{operation} did not succeed within {timeout_s:g} s of retrying", context=context)
        self.timeout_s = timeout_s


class MaxAttemptsExceeded(QueueError):
    """Every allowed attempt failed; the last error is its cause."""

    def __init__(
        self, operation: str, attempts: int, last_error: BaseException, *, context: ErrorContext = NOTHING_KNOWN
    ) -> None:
        text = f"{operation} failed {attempts} times, at last with {type(last_error).__name__}"
        super().__init__(text, context=context)
        self.attempts = attempts
        self.last_error = last_error


class ShutdownInProgress(QueueError):
    """Whoever was asked is stopping, or has stopped, and takes nothing more; nothing happened.

    Not transient: the same object never takes it. A message that was being worked on is delivered again.
    """

    def __init__(self, operation: str, *, context: ErrorContext = NOTHING_KNOWN) -> None:
        text = f"the engine is stopping and does not {operation}: leave it to the next run"
        super().__init__(text, context=replace(context, operation=operation))
        self.operation = operation
