"""What can be wrong with a question to a recording."""

from __future__ import annotations

__all__ = ["ReplayError"]


class ReplayError(Exception):
    """The question cannot be answered from these journals; says what is missing and what to pass instead."""
