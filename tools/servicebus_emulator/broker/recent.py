"""Which message ids a queue has seen of late."""

from __future__ import annotations

from itertools import islice

__all__ = ["Recent"]

FORGOTTEN_AT_A_TIME = 8
"""One id comes in at a time and several may go, so that what is kept shrinks to the window."""


class Recent:
    """The message ids of a window of time. Source: Service Bus, "Duplicate detection".

    Args:
        window_us: how long an id is remembered, in microseconds; None for not at all.
    """

    def __init__(self, window_us: int | None) -> None:
        self._window_us = window_us
        self._seen: dict[object, int] = {}

    def is_known(self, message_id: object, now: int) -> bool:
        """Return whether an id was seen within the window, and remember it; messages without one never were."""
        if self._window_us is None or message_id is None:
            return False
        horizon = now - self._window_us
        for known in [one for one, at in islice(self._seen.items(), FORGOTTEN_AT_A_TIME) if at <= horizon]:
            del self._seen[known]
        if self._seen.get(message_id, horizon) > horizon:
            return True
        self._seen.pop(message_id, None)
        self._seen[message_id] = now
        return False
