"""The journal on disk keeps the promises of every journal."""

import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from queue_runtime.journal.conformance import JournalConformance
from queue_runtime.journal.log import SqliteJournal
from queue_runtime.journal.settings import JournalSettings


class SqliteHarness:
    def __init__(self, folder: Path, settings: JournalSettings | None = None) -> None:
        self.folder = folder
        self.settings = settings
        self.crashed: list[SqliteJournal] = []
        self.journal: SqliteJournal | None = None

    async def open(self) -> SqliteJournal:
        self.journal = await SqliteJournal.open(self.folder, self.settings)
        return self.journal

    async def crash(self) -> None:
        """Go on with the files as a dead process leaves them."""
        assert self.journal is not None
        image = self.folder.with_suffix(".crashed")
        shutil.copytree(self.folder, image)
        await self.journal.close()
        self.folder = image

    def break_disk(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

    def mend_disk(self) -> None:
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


class TestSqliteJournal(JournalConformance):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> Iterator[SqliteHarness]:
        harness = SqliteHarness(tmp_path / "journal")
        yield harness
        harness.mend_disk()


class TestSqliteJournalThatRotates(JournalConformance):
    """Every snapshot begins a new segment; all that a journal promises holds across it."""

    @pytest.fixture
    def harness(self, tmp_path: Path) -> Iterator[SqliteHarness]:
        harness = SqliteHarness(tmp_path / "journal", JournalSettings(segment_age_s=0))
        yield harness
        harness.mend_disk()
