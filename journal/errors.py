"""What can go wrong with a journal. Texts name the file, the value and the next step; they never hold a body."""

# ruff: noqa: N818 - errors are named for what is known of the journal, as the design names them

from __future__ import annotations

from pathlib import Path

__all__ = ["EventRefused", "JournalCorrupt", "JournalError", "JournalOwned", "JournalUnavailable", "UnknownEvent"]


class JournalError(Exception):
    """Root of every error of a journal. Raised itself for wrong use: closed, no journal, a newer version's."""


class JournalUnavailable(JournalError):
    """The journal cannot be written or read now: disk full, I/O error, file missing. Nothing durable is lost by it.

    The operator's to mend; `Journal.recover` resumes once it is.
    """


class JournalCorrupt(JournalError):
    """What is stored is not what was written. Nobody guesses what it may have been.

    Attributes:
        position: the first position that cannot be trusted.
        what: what was found there.
    """

    def __init__(self, position: int, what: str) -> None:
        """Say at which position, and what was found there."""
        super().__init__(f"journal is damaged at position {position}: {what}")
        self.position = position
        self.what = what


class UnknownEvent(JournalError):
    """A newer version of queue-runtime wrote this event; upgrade before this journal is opened again.

    Attributes:
        kind: the number of its type.
        version: the version of its shape.
    """

    def __init__(self, kind: int, version: int) -> None:
        """Name what is not known."""
        super().__init__(
            f"event kind {kind} version {version} is unknown: the journal was written by a newer queue-runtime; upgrade"
        )
        self.kind = kind
        self.version = version


class EventRefused(JournalError):
    """The caller's event cannot be stored: too large, or a value of a type or range that no journal holds."""


class JournalOwned(JournalError):
    """Another process has the journal open; a journal has one writer.

    Attributes:
        pid: the owner's process id, 0 if it is not known.
        host: the machine that it runs on, as it calls itself.
    """

    def __init__(self, folder: Path, pid: int, host: str) -> None:
        """Name the journal and its owner."""
        super().__init__(f"journal {folder} is open in process {pid} on {host}; stop that one, or use another folder")
        self.pid = pid
        self.host = host
