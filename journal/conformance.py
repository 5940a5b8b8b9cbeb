"""What every journal must do, as a suite: subclass `JournalConformance` and give it a harness.

    class TestMyJournal(JournalConformance):
        @pytest.fixture
        def harness(self, tmp_path: Path) -> MyHarness:
            return MyHarness(tmp_path)

Needs pytest with pytest-asyncio in auto mode.
"""

from __future__ import annotations

from queue_runtime.journal.conformance_commits import CommitPromises
from queue_runtime.journal.conformance_harness import JournalHarness
from queue_runtime.journal.conformance_keeping import KeepingPromises
from queue_runtime.journal.conformance_snapshots import SnapshotPromises

__all__ = ["JournalConformance", "JournalHarness"]


class JournalConformance(KeepingPromises, CommitPromises, SnapshotPromises):
    """Every promise of `Journal`. A subclass brings the fixture `harness`."""
