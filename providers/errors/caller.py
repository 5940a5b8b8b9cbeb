"""The caller's own mistakes, and the operator's: nothing was sent."""

# ruff: noqa: N818 - errors are named for what happened, in the words of the brokers' own documentation

from __future__ import annotations

from collections.abc import Sequence

from queue_runtime.providers.errors.root import NOTHING_KNOWN, Category, ErrorContext, QueueError

__all__ = [
    "BatchTooLarge",
    "ConfigurationError",
    "InvalidFormat",
    "InvalidMessage",
    "InvalidSettings",
    "MessageTooLarge",
    "OutOfRange",
    "ProviderClosed",
    "RequiredField",
    "SerializationError",
    "UnsupportedOperation",
    "UnsupportedProvider",
    "ValidationError",
]


class ValidationError(QueueError, ValueError):
    """A value breaks a rule. The caller's fault; nothing was sent."""

    def __init__(self, field: str, problem: str, *, context: ErrorContext = NOTHING_KNOWN) -> None:
        super().__init__(f"{field} {problem}", context=context)
        self.field = field


class RequiredField(ValidationError):
    """A value that must be there is missing or empty."""

    def __init__(self, field: str, problem: str = "must not be empty") -> None:
        super().__init__(field, problem)


class InvalidFormat(ValidationError):
    """A value is of the wrong shape."""


class OutOfRange(ValidationError):
    """A value is too small, too large or too long."""


class ConfigurationError(QueueError):
    """The configuration cannot work. The operator's fault; nothing was started."""

    category = Category.CONFIG


class InvalidSettings(ConfigurationError):
    """Settings cannot be right. `problems` has one text for each, with where it was written; none shows a value."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(f"settings cannot be used: {'; '.join(problems)}")
        self.problems = tuple(problems)


class UnsupportedProvider(ConfigurationError):
    """No provider of that name can be loaded here."""

    def __init__(self, provider: str, problem: str) -> None:
        super().__init__(f"provider {provider!r} {problem}")
        self.provider = provider


class UnsupportedOperation(QueueError):
    """This broker, or this queue, cannot do that; `Capabilities` says so beforehand."""

    def __init__(self, operation: str, why: str, *, context: ErrorContext = NOTHING_KNOWN) -> None:
        super().__init__(f"{operation} is not supported: {why}", context=context)
        self.operation = operation


class MessageTooLarge(QueueError):
    """The message is larger than the queue takes, attributes included. Sizes in bytes."""

    def __init__(self, size: int, max_size: int, *, context: ErrorContext = NOTHING_KNOWN) -> None:
        super().__init__(
            f"message of {size} bytes is over the limit of {max_size}: store the body elsewhere and send a reference",
            context=context,
        )
        self.size = size
        self.max_size = max_size


class BatchTooLarge(QueueError):
    """More messages in one call than a broker takes, at a port that cannot cut them up."""

    def __init__(self, size: int, max_size: int, *, context: ErrorContext = NOTHING_KNOWN) -> None:
        super().__init__(f"batch of {size} is over the limit of {max_size}: send smaller batches", context=context)
        self.size = size
        self.max_size = max_size


class InvalidMessage(QueueError):
    """The broker, or the envelope, does not take this message as it is; no retry will change that."""


class SerializationError(QueueError):
    """Bytes cannot be decoded, or a value cannot be encoded. Its text never holds the input."""


class ProviderClosed(QueueError):
    """The provider is not open: `open` was not called yet, or `close` was."""

    def __init__(self, provider: str, *, context: ErrorContext = NOTHING_KNOWN) -> None:
        text = f"provider {provider!r} is not open: await open() first, and use it before close()"
        super().__init__(text, context=context)
        self.provider = provider
