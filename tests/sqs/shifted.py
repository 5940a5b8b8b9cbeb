"""A clock that runs like the machine's and can be set forward: what was waited for is over at once."""

from queue_runtime.providers.clock import SystemClock, Timestamp


class ShiftedClock(SystemClock):
    """The machine's clock, and however much a test has added to it."""

    def __init__(self) -> None:
        super().__init__()
        self.added_us = 0

    def now(self) -> Timestamp:
        return Timestamp(super().now() + self.added_us)

    def add(self, seconds: float) -> None:
        """Set it forward."""
        self.added_us += round(seconds * 1_000_000)
