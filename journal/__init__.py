"""What happened, and what it means: events, the fold, and the append-only journal that keeps them."""

from queue_runtime.journal.anchors import parse_anchor
from queue_runtime.journal.audit import audit
from queue_runtime.journal.errors import (
    EventRefused,
    JournalCorrupt,
    JournalError,
    JournalOwned,
    JournalUnavailable,
    UnknownEvent,
)
from queue_runtime.journal.events import EVENT_TYPES, Event
from queue_runtime.journal.invariants import Rule, Violation
from queue_runtime.journal.log import SqliteJournal
from queue_runtime.journal.memory import MemoryJournal
from queue_runtime.journal.port import Journal
from queue_runtime.journal.reader import Entry, JournalReader, JournalStatistics
from queue_runtime.journal.settings import JournalSettings
from queue_runtime.journal.state import EngineState, fold
from queue_runtime.journal.verify import Verdict, verify

__all__ = [
    "EVENT_TYPES",
    "EngineState",
    "Entry",
    "Event",
    "EventRefused",
    "Journal",
    "JournalCorrupt",
    "JournalError",
    "JournalOwned",
    "JournalReader",
    "JournalSettings",
    "JournalStatistics",
    "JournalUnavailable",
    "MemoryJournal",
    "Rule",
    "SqliteJournal",
    "UnknownEvent",
    "Verdict",
    "Violation",
    "audit",
    "fold",
    "parse_anchor",
    "verify",
]
