"""The event by which one journal goes on with what another one left."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from queue_runtime.journal.message_events import Outgoing
from queue_runtime.journal.message_state import AttemptRecord, Copy, Outcome

__all__ = ["Adopted"]


@dataclass(frozen=True, slots=True)
class Adopted:
    """A message that has an outcome in the journal `source`, whose owner is gone, goes on here.

    It follows the `Received` that brings the message and its body, in one piece with it. `sent` of the `outgoing`
    messages are done with; `copies` are what the other journal knew of the broker's, receipts included.
    """

    KIND: ClassVar[int] = 21
    VERSION: ClassVar[int] = 1

    key: str
    at: int
    source: str
    attempt: int
    route: str
    outcome: Outcome
    reason: str
    description: str
    sent: int
    history: tuple[AttemptRecord, ...]
    outgoing: tuple[Outgoing, ...]
    copies: tuple[Copy, ...] = field(repr=False)
