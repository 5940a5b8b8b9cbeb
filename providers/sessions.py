"""How a message comes to its session: strategies that derive a session id from what is known about it. Pure.

A strategy is deterministic, so a message that is sent twice has one session. None means that it needs no order. A key
that is composed and is no valid session id is an error: to lose order silently would be worse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.errors import ConfigurationError, InvalidFormat
from queue_runtime.providers.message import SessionId

__all__ = [
    "CompositeKey",
    "Extractor",
    "Fallback",
    "Fields",
    "NoOrdering",
    "SessionStrategy",
    "SingleField",
    "TimePartitioned",
]

HOUR_S = 3_600.0


class Extractor(Protocol):
    """What is known about a message, by name. The application's: the strategies know no domain."""

    def get_metadata(self, key: str) -> str | None:
        """Return a value, the same at every call; None for a name that is not known."""
        ...


class SessionStrategy(Protocol):
    """A rule for session ids. May be used by many tasks."""

    def generate_key(self, extractor: Extractor) -> SessionId | None:
        """Return the session of a message; None if it needs no order.

        Raises:
            ValidationError: what was composed is no session id.
        """
        ...


@dataclass(frozen=True, slots=True)
class Fields:
    """An extractor over a mapping."""

    values: Mapping[str, str]

    def get_metadata(self, key: str) -> str | None:
        """Return the value under `key`."""
        return self.values.get(key)


@dataclass(frozen=True, slots=True)
class SingleField:
    """One session a value of one field, as `prefix-value` or `value`; none where the field is missing."""

    field: str
    prefix: str | None = None

    def generate_key(self, extractor: Extractor) -> SessionId | None:
        """Return the field's value, behind the prefix."""
        value = extractor.get_metadata(self.field)
        if value is None:
            return None
        return SessionId(value if self.prefix is None else f"{self.prefix}-{value}")


@dataclass(frozen=True, slots=True)
class CompositeKey:
    """One session a combination of fields, joined in order; none where a field is missing, or where there are none.

    The separator inside a value is percent-encoded, and so is the percent sign: `a-b` with `c` and `a` with `b-c` are
    two sessions.

    Raises:
        ConfigurationError: the separator is empty or holds a percent sign.
    """

    fields: Sequence[str]
    separator: str = "-"

    def __post_init__(self) -> None:
        """Refuse separators with which two combinations could give one key."""
        if not self.separator or "%" in self.separator:
            msg = f"separator {self.separator!r} cannot keep values apart: use one or more characters other than %"
            raise ConfigurationError(msg)

    def generate_key(self, extractor: Extractor) -> SessionId | None:
        """Return the fields' values, escaped and joined."""
        parts: list[str] = []
        for field in self.fields:
            value = extractor.get_metadata(field)
            if value is None:
                return None
            parts.append(self._escaped(value))
        return SessionId(self.separator.join(parts)) if parts else None

    def _escaped(self, value: str) -> str:
        # Every character of the separator, not the whole of it: "a-" and "b" would meet "a" and "-b" under "--".
        special = {"%", *self.separator}
        return "".join(f"%{ord(character):02X}" if character in special else character for character in value)


@dataclass(frozen=True, slots=True)
class NoOrdering:
    """No session for any message: all of them run side by side."""

    def generate_key(self, extractor: Extractor) -> None:  # noqa: ARG002 - a strategy like the others
        """Return None."""
        return


@dataclass(frozen=True, slots=True)
class Fallback:
    """The first session that any of the strategies finds; later ones are not asked."""

    strategies: Sequence[SessionStrategy]

    def generate_key(self, extractor: Extractor) -> SessionId | None:
        """Return the first key found."""
        for strategy in self.strategies:
            key = strategy.generate_key(extractor)
            if key is not None:
                return key
        return None


@dataclass(frozen=True, slots=True)
class TimePartitioned:
    """The session of another strategy, a new one every `hours` hours since the epoch, as `key-p{bucket}`.

    `at_field` names the field with the message's instant, in ISO 8601 with a time zone: not the clock, so that a
    message keeps its session. Order ends at the edge of a bucket: messages on both sides may run side by side.

    Raises:
        ConfigurationError: `hours` is not above zero.
    """

    base: SessionStrategy
    at_field: str
    hours: float = 1.0

    def __post_init__(self) -> None:
        """Refuse a bucket without a length."""
        if self.hours <= 0:
            msg = f"hours={self.hours:g} must be above zero"
            raise ConfigurationError(msg)

    def generate_key(self, extractor: Extractor) -> SessionId | None:
        """Return the other strategy's key with the bucket behind it; None where the key or the instant is missing."""
        key = self.base.generate_key(extractor)
        at = extractor.get_metadata(self.at_field)
        if key is None or at is None:
            return None
        try:
            instant = Timestamp.from_datetime(datetime.fromisoformat(at))
        except ValueError as error:
            problem = "is not an ISO 8601 instant with a time zone, such as 2026-01-31T12:00:00+00:00"
            raise InvalidFormat(self.at_field, problem) from error
        return SessionId(f"{key}-p{int(instant / 1_000_000 // (self.hours * HOUR_S))}")
