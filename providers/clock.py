"""Time, passed in. Everything that needs the hour or a wait is given a `Clock`, so that tests can own both."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol

__all__ = ["Clock", "SystemClock", "Timestamp"]


class Timestamp(int):
    """An instant: microseconds since the epoch, UTC. Compares and subtracts as the integer that it is."""

    __slots__ = ()

    @classmethod
    def from_datetime(cls, value: datetime) -> Timestamp:
        """Take an aware `datetime`.

        Raises:
            ValueError: `value` is naive, so its instant is unknown.
        """
        if value.tzinfo is None:
            msg = f"datetime {value.isoformat()} has no time zone; pass an aware one, such as datetime.now(UTC)"
            raise ValueError(msg)
        return cls(round(value.timestamp() * 1_000_000))

    def to_datetime(self) -> datetime:
        """Return the same instant as an aware `datetime` in UTC."""
        return datetime.fromtimestamp(self / 1_000_000, UTC)


class Clock(Protocol):
    """Where time comes from. May be called from any thread."""

    def now(self) -> Timestamp:
        """Return the present instant. It may jump back when somebody sets the machine's clock."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds`, at least; returns at once for zero or less. Cancellable."""
        ...


class SystemClock:
    """The machine's wall clock and asyncio's timer."""

    def now(self) -> Timestamp:
        """Return the machine's wall clock."""
        return Timestamp(time.time_ns() // 1_000)

    async def sleep(self, seconds: float) -> None:
        """Wait on the running loop's timer."""
        await asyncio.sleep(seconds)
