"""How a journal is kept on disk. Plain values: whoever embeds the journal reads the environment, not this folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

__all__ = ["JournalSettings"]

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class JournalSettings:
    """Settings of a journal on disk; the defaults are the measured ones.

    Attributes:
        synchronous: `FULL` survives a power cut; `NORMAL` survives `kill -9`, and may lose the last commits to a power
            cut, for three times the speed at a low load.
        checkpoint_pages: size of the write-ahead log, in pages of 8 KiB, that is copied back into the database.
            160 keeps the slowest commit under 4 ms; about 512 is better where an fsync costs 1 ms or more.
        max_event_bytes: the largest event that is taken, before compression. The default is above what any supported
            broker delivers (100 MB).
        max_pages: the largest size of the database in pages of 8 KiB; what would exceed it fails as on a full disk.
        segment_bytes: size from which the next snapshot begins a new segment. Whole segments are what retention drops.
        segment_age_s: age from which it does. 0 is every time.
        retention_s: age from which a segment that is not written any more is dropped, or archived. What live state
            needs never goes: it is in a snapshot then.
        retention_bytes: size of all segments and snapshots together beyond which the oldest segments go too.
        archive_folder: where segments are moved instead of being deleted; None deletes them. One for each journal.
        keep_bodies: False takes the bodies of completed messages out of segments that are not written any more.
        yield_to_writer: True keeps commits fast beside an event loop that never rests: shortens the interpreter's
            switch interval while the journal is open, and lets the loop pause while a commit is late. See `guard.py`.
        head_key: a secret of 16 bytes or more with which the head is signed (HMAC-SHA256), so that nobody without it
            can pass off another history as this one; None signs nothing. One that is set later, or changed, is refused
            until a repair has written the head anew.
    """

    synchronous: Literal["FULL", "NORMAL"] = "FULL"
    checkpoint_pages: int = 160
    max_event_bytes: int = 128 * _MIB
    max_pages: int | None = None
    segment_bytes: int = 1024 * _MIB
    segment_age_s: float = 24 * 3_600.0
    retention_s: float = 7 * 24 * 3_600.0
    retention_bytes: int = 20 * 1024 * _MIB
    archive_folder: Path | None = None
    keep_bodies: bool = True
    yield_to_writer: bool = False
    head_key: bytes | None = field(default=None, repr=False)
