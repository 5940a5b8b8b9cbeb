"""Time, passed in. Everything that needs the hour or a wait is given a `Clock`, so that tests can own both."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
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
        """Return the present instant, never one before an earlier answer."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds`, at least; returns at once for zero or less. Cancellable."""
        ...


class SystemClock:
    """The machine's wall clock, as far as it goes forward, and asyncio's timer.

    When the wall clock is set back this one goes on from where it was, so that no lock seems to last longer and no wait
    gets longer: it is ahead by so much until the process ends. When it is set forward, this one follows. `wall_ns` and
    `steady_ns` are the system's clocks unless a test brings others.
    """

    def __init__(
        self, wall_ns: Callable[[], int] = time.time_ns, steady_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._wall_ns = wall_ns
        self._steady_ns = steady_ns
        self._ahead_ns = wall_ns() - steady_ns()

    def now(self) -> Timestamp:
        """Return the wall clock's instant, or a later one if it was set back."""
        wall = self._wall_ns()
        steady = self._steady_ns()  # after the wall clock: a pause between the two makes nothing seem set forward
        self._ahead_ns = max(self._ahead_ns, wall - steady)
        return Timestamp((steady + self._ahead_ns) // 1_000)

    async def sleep(self, seconds: float) -> None:
        """Wait on the running loop's timer."""
        await asyncio.sleep(seconds)
