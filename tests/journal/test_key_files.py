"""The idempotency window on disk: what was sealed is found, whatever happens to its files in between."""

import asyncio
import logging
import shutil
from pathlib import Path
from typing import ClassVar

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from queue_runtime.journal import dedup, key_file
from queue_runtime.journal.dedup import KeyFiles, damaged_key_files
from queue_runtime.journal.errors import JournalUnavailable
from queue_runtime.journal.key_file import KeyFile, check_key_file
from queue_runtime.journal.settled_keys import key_digest
from tests.journal.examples import life, prove, write
from tests.journal.key_examples import batch, found, names, seal_all

NEVER = -(1 << 63)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rest for a moment only: what is tested here is not how long the loop waits."""
    monkeypatch.setattr(dedup, "_REST_S", 0)


# --- against a plain dictionary --------------------------------------------------------------------------------------


class WindowAgainstDict(RuleBasedStateMachine):
    """Seals, merges, drops and reopens in any order; the model is a dictionary."""

    folder: ClassVar[Path]

    def __init__(self) -> None:
        super().__init__()
        self.files = KeyFiles(self.folder)
        self.model: dict[str, int] = {}
        self.sealed = self.now = self.since = 0

    @rule(keys=st.sets(st.integers(0, 40).map(str), min_size=1), later=st.integers(0, 3))
    def a_batch_is_sealed(self, keys: set[str], later: int) -> None:
        self.now += later
        self.sealed += 1
        asyncio.run(self.files.seal(batch(self.sealed, keys, self.now)))
        self.model.update(dict.fromkeys(keys, self.now))

    @rule(age=st.integers(0, 20))
    def the_window_moves_on(self, age: int) -> None:
        self.since = max(self.since, self.now - age)
        asyncio.run(self.files.compact(self.since))

    @rule()
    def the_process_starts_again(self) -> None:
        self.files.close()
        self.files = KeyFiles(self.folder)

    @invariant()
    def the_window_is_found_and_nothing_that_was_never_sealed(self) -> None:
        for key in map(str, range(45)):
            settled_at, at = self.model.get(key), found(self.files, key)
            if settled_at is None or settled_at >= self.since:
                assert at == settled_at
            else:  # nobody asks for what is older than the window: it may have gone, or what was there before it
                assert at is None or at <= settled_at
        assert self.files.gaps(100 * self.sealed, self.since) == []

    def teardown(self) -> None:
        self.files.close()
        assert damaged_key_files(self.folder) == {}
        shutil.rmtree(self.folder)
        self.folder.mkdir()


@pytest.mark.blocks_loop
def test_a_window_finds_what_a_dictionary_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is sealed, merged, dropped and reopened: every key inside the window is found as it was sealed last."""
    monkeypatch.setattr(WindowAgainstDict, "folder", tmp_path, raising=False)
    monkeypatch.setattr(dedup, "_TIERS", ((0, 30), (30, 200)))
    monkeypatch.setattr(dedup, "_MERGE", 3)
    monkeypatch.setattr(dedup, "SLICE", 8)
    monkeypatch.setattr(key_file, "SLICE", 8)

    run_state_machine_as_test(WindowAgainstDict, settings=settings(stateful_step_count=30))


# --- one by one ------------------------------------------------------------------------------------------------------


async def test_a_new_key_is_not_found_and_an_old_one_is_found_as_it_was_settled_last(tmp_path: Path) -> None:
    """The newest file that has a key counts, also after all of them were merged."""
    files = KeyFiles(tmp_path)
    await seal_all(files, 7, keys=600)
    await files.seal(batch(8, ["1-0", "8-0"], at=8))
    before = [found(files, name) for name in ("1-0", "1-1", "7-599", "8-0", "new")]

    await files.compact(NEVER)

    assert names(tmp_path) == [f"{800:020d}.keys"]
    assert before == [found(files, name) for name in ("1-0", "1-1", "7-599", "8-0", "new")] == [8, 1, 7, 8, None]
    files.close()


async def test_merging_goes_on_tier_by_tier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight files of a tier become one, with what is smaller between them; large ones are left as they are."""
    monkeypatch.setattr(dedup, "_TIERS", ((0, 10), (10, 50)))
    files = KeyFiles(tmp_path)
    for number in range(1, 20):
        await files.seal(batch(number, (f"{number}-{key}" for key in range(2 if number % 2 else 12))))
        await files.compact(NEVER)

    # The eighth file of twelve keys is the sixteenth; its group begins with the first file.
    assert names(tmp_path) == [f"{100 * number:020d}.keys" for number in (16, 17, 18, 19)]
    assert all(found(files, f"{number}-0") == 0 for number in range(1, 20))
    assert files.gaps(1900, NEVER) == []
    files.close()


async def test_what_is_older_than_the_window_goes(tmp_path: Path) -> None:
    """Whole files are dropped, and old keys when their file is merged; the newest file stays to tell what there was."""
    files = KeyFiles(tmp_path)
    await seal_all(files, 3)

    await files.compact(3)
    assert names(tmp_path) == [f"{300:020d}.keys"]
    await files.compact(99)
    assert names(tmp_path) == [f"{300:020d}.keys"]
    for number in range(4, 11):
        await files.seal(batch(number, [number], at=number))
    await files.seal(batch(11, ["3-0"], at=2))  # the clock was set back
    await files.compact(4)

    assert (found(files, "3-1"), found(files, 4), found(files, 10)) == (None, 4, 10)
    files.close()


async def test_sealing_a_batch_again_changes_nothing(tmp_path: Path) -> None:
    """A crash between the file and the event that tells of it makes the next run seal the batch once more."""
    files = KeyFiles(tmp_path)
    await seal_all(files, 1)
    inode = (tmp_path / names(tmp_path)[0]).stat().st_ino
    files.close()

    files = KeyFiles(tmp_path)
    await seal_all(files, 1)

    assert (tmp_path / names(tmp_path)[0]).stat().st_ino == inode
    assert found(files, "1-2") == 1
    files.close()
    files.close()
    assert files.find(key_digest("1-2")) is None


async def test_a_missing_file_is_seen_while_it_is_missed(tmp_path: Path) -> None:
    """At the beginning, in the middle and at the end; not if what it held is older than the window."""
    files = KeyFiles(tmp_path)
    await seal_all(files, 4)
    files.close()
    for gone, since, missed in (
        (1, 1, [(0, 100)]),
        (1, 2, []),
        (2, 2, [(100, 200)]),
        (2, 3, []),
        (4, 99, [(300, 400)]),
    ):
        folder = shutil.copytree(tmp_path, tmp_path.with_name(f"without-{gone}-{since}"))
        (folder / f"{100 * gone:020d}.keys").unlink()
        files = KeyFiles(folder)
        assert files.gaps(400, since) == missed
        files.close()


# --- damage ----------------------------------------------------------------------------------------------------------


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """A folder with two key files of 100 keys each."""
    folder = tmp_path / "journal"
    folder.mkdir()
    files = KeyFiles(folder)
    await seal_all(files, 2, keys=100)
    files.close()
    return folder


def flipped(path: Path, at: int, bit: int = 0) -> bytes:
    content = bytearray(path.read_bytes())
    content[at] ^= 1 << bit
    return bytes(content)


async def test_verification_finds_a_flipped_bit_anywhere(folder: Path) -> None:
    """Records, filter, starts, trailer, checksum and hash: no byte of a key file is left out."""
    path = folder / names(folder)[0]
    good = path.read_bytes()
    assert damaged_key_files(folder) == {}
    for at in (*range(0, len(good) - 112, 53), *range(len(good) - 112, len(good), 5)):
        path.write_bytes(flipped(path, at, at % 8))
        (fault,) = damaged_key_files(folder).values()
        assert f"{path.name} is damaged" in fault
        path.write_bytes(good)


async def test_a_damaged_key_file_fails_the_verification_of_its_journal(tmp_path: Path) -> None:
    """The rows are good all the same, and the verdict says so."""
    await write(tmp_path / "journal", life(1))
    files = KeyFiles(tmp_path / "journal")
    await seal_all(files, 1)
    files.close()
    assert (await prove(tmp_path / "journal")).is_good
    path = tmp_path / "journal" / f"{100:020d}.keys"
    path.write_bytes(flipped(path, 3))

    verdict = await prove(tmp_path / "journal")

    assert not verdict.is_good
    assert f"key file {path} is damaged" in verdict.what
    assert "the rows are good" in verdict.what


async def test_a_cut_file_is_found_damaged(folder: Path) -> None:
    """However much of it is left."""
    path = folder / names(folder)[0]
    good = path.read_bytes()
    for size in (0, 1, 40, 111, len(good) // 2, len(good) - 32, len(good) - 1):
        path.write_bytes(good[:size])
        with pytest.raises(ValueError, match=r"it has|no key file|checksum"):
            check_key_file(path)


async def test_a_damaged_file_is_left_out_and_told_of(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The other files are used, and the gap is where the damaged one was."""
    path = folder / names(folder)[0]
    path.write_bytes(flipped(path, 100 * 32 + 5))

    files = KeyFiles(folder)

    assert (found(files, "1-0"), found(files, "2-0")) == (None, 2)
    assert files.gaps(200, 0) == [(0, 100)]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert f"{path} is left out" in caplog.text
    assert path.exists()
    files.close()


async def test_what_cannot_be_read_counts_as_new_and_is_told_once(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message would be lost if its key were taken for a finished one; the engine goes on with the other files."""
    files = KeyFiles(folder)
    assert (found(files, "1-5"), found(files, "2-5")) == (1, 2)

    def nothing(*_: int) -> bytes:
        return b""

    monkeypatch.setattr(key_file.os, "pread", nothing)  # as of a file that was cut
    assert (found(files, "2-5"), found(files, "2-6")) == (None, None)

    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "cannot be read" in caplog.text
    files.close()


async def test_a_digest_across_two_records_is_no_key(folder: Path) -> None:
    """The bytes of a key may stand in a bucket by chance, where no record begins."""
    path = folder / names(folder)[0]
    file = KeyFile(path)
    records = [file.read(number, 1) for number in range(file.count)]
    across = records[0][24:] + records[1][:8]  # its prefix is the end of a body's digest: it is looked for elsewhere
    inside = next(key for key in (r[0:4] + r[4:16] for r in records) if key)
    assert file.find(key_file.probe(across)) is None
    assert file.find(key_file.probe(inside)) is not None
    file.close()


async def test_a_full_disk_is_told_and_leaves_nothing_behind(folder: Path) -> None:
    """A batch that could not be written can be sealed later; what was there is still found."""
    files = KeyFiles(folder)
    (folder / f"{300:020d}.keys.new").mkdir()
    with pytest.raises(JournalUnavailable, match=r"key files in .* cannot be written"):
        await files.seal(batch(3, ["3"]))
    (folder / f"{300:020d}.keys.new").rmdir()

    await files.seal(batch(3, ["3"], at=3))

    assert (found(files, "2-0"), found(files, "3")) == (2, 3)
    files.close()
