"""Whether what a journal says can be: the rules of `invariants.py`, held against the events on disk.

`verify` proves that a journal is what was written; this proves that what was written kept the promises about order,
attempts and settlement. The two are apart because a fault of ours writes impossible events with a perfect chain.
"""

from __future__ import annotations

from pathlib import Path

from queue_runtime.journal.errors import JournalError
from queue_runtime.journal.invariants import Audit, Violation
from queue_runtime.journal.reader import JournalReader
from queue_runtime.journal.segments import Layout
from queue_runtime.journal.snapshot import read_snapshot
from queue_runtime.journal.state import EngineState

__all__ = ["audit", "state_before"]


def audit(path: Path | str, until: int | None = None) -> Violation | None:
    """Return the first event in the folder `path` that breaks a rule, up to position `until`; None if none does.

    Where older segments are gone it begins with the snapshot that the oldest one left was begun with. Events of a newer
    version are passed over. The engine may run meanwhile. Blocks on the disk; takes memory for what is live and for so
    many completed keys as `Tracks` says, not for what is history: a second run of an older key is not seen.

    Raises:
        JournalError: there is no journal, or its oldest segment has lost its snapshot.
        JournalCorrupt: names the first position that cannot be read.
    """
    with JournalReader(path) as reader:
        begun = Audit(state_before(path))
        for entry in reader.entries(until=until):
            if entry.event is not None:
                begun.see(entry.position, entry.event)
            if begun.found:
                return begun.found[0]
    return None


def state_before(path: Path | str) -> EngineState | None:
    """Return the state before the oldest event that is left in the folder `path`; None if that is the first of all.

    Raises:
        JournalError: the oldest segment has lost its snapshot.
    """
    oldest = Layout(Path(path)).segments()[0]
    number = int(oldest.name.partition(".")[0])
    if number == 1:
        return None
    found = read_snapshot(oldest.with_name(f"{number:08d}.snapshot"))
    if found is None:
        msg = f"{oldest} has no snapshot that can be read, so nothing says what its events follow; use --chain-only"
        raise JournalError(msg)
    return found.state
