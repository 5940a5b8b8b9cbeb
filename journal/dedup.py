"""The idempotency window on disk: key files, looked up newest first, merged as they grow many, dropped as they age.

    00000000000000250113.keys     what was settled up to that position, from where the file before it ends

A file is written beside its place, synced and renamed before the journal says that it is there, and files that were
merged go only when the merged one is durable: whenever the process dies, every key is in a file or in live state.
Writing goes on in a thread that rests after each small piece, since the event loop waits for the interpreter meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from queue_runtime.journal.errors import JournalUnavailable
from queue_runtime.journal.key_file import SLICE, Coverage, KeyFile, check_key_file, merged, probe, write_key_file
from queue_runtime.journal.settled_keys import KeyBatch, SettledKey

__all__ = ["KeyFiles", "damaged_key_files", "key_file_paths"]

_log = logging.getLogger(__name__)

_NAME = re.compile(r"\d{20}\.keys")
_REST_S = 0.0003
_MERGE = 8
_TIERS = ((0, 1 << 18), (1 << 18, 1 << 21))
"""Eight files of one tier are merged, with the smaller ones between them. So a key is written three times, and a day of
1,000 messages a second is in about 55 files. Larger files stay: to write them again takes minutes."""

T = TypeVar("T")
Pause = Callable[[], None]


class KeyFiles:
    """The key files of one journal. Used on the event loop; one `seal` or `compact` at a time."""

    def __init__(self, folder: Path) -> None:
        """Open what is in `folder`; blocks on the disk. What cannot be read is left out, and logged.

        Raises:
            OSError: the folder cannot be used.
        """
        self._folder = folder
        self._warned: set[Path] = set()
        self._files: tuple[KeyFile, ...] = ()
        """Oldest first."""
        self._filters: tuple[tuple[memoryview, int, KeyFile], ...] = ()
        """Newest first."""
        for leftover in folder.glob("*.keys.new"):
            leftover.unlink()
        opened = [file for path in key_file_paths(folder) if (file := _opened(path)) is not None]
        kept = [file for file in opened if not any(_covers(other, file) for other in opened)]
        for file in opened:
            if file not in kept:  # it was merged, and the process died before it went
                file.close()
                file.path.unlink()
        self._use(kept)

    def find(self, digest: bytes) -> SettledKey | None:
        """Return what the files know of a key, by its digest.

        What cannot be read counts as not there: its message is run, perhaps for the second time, because the other way
        to be wrong would lose one.
        """
        key = probe(digest)
        prefix, mask = key.prefix, key.mask
        for words, size, file in self._filters:
            if words[prefix * size >> 32] & mask == mask:
                try:
                    found = file.find(key)
                except OSError as error:
                    self._warn(file.path, error)
                    continue
                if found is not None:
                    return found
        return None

    def _warn(self, path: Path, error: OSError) -> None:
        if path not in self._warned:
            self._warned.add(path)
            _log.error("key file %s cannot be read, so what it covers may be run again: %s", path, error)

    def gaps(self, until: int, since: int) -> list[tuple[int, int]]:
        """Return the positions (after, until] of which keys settled at `since` or later should be in files and are not.

        Args:
            until: the last position that the journal says is covered.
            since: an instant, in microseconds.
        """
        found: list[tuple[int, int]] = []
        end = 0
        for file in self._files:
            if file.coverage.after > end and file.coverage.before_at >= since:
                found.append((end, file.coverage.after))
            end = file.coverage.until
        if end < until:
            found.append((end, until))
        return found

    async def seal(self, batch: KeyBatch) -> None:
        """Write the file of a batch. Nothing happens if it is there already.

        If it is cancelled it ends after the piece that is being written, and leaves nothing behind.

        Raises:
            JournalUnavailable: it cannot be written.
        """
        files = self._files
        if files and files[-1].coverage[:2] == (batch.after, batch.until):
            return
        coverage = Coverage(batch.after, batch.until, _newest_at(files))

        def write(pause: Pause) -> KeyFile:
            slices = _sorted(batch.entries, pause)
            return self._write(coverage, len(batch.entries), slices, pause)

        self._use([*files, await self._in_thread(write)])

    async def compact(self, since: int) -> None:
        """Drop files in which nothing was settled at `since` or later, and merge small ones. Cancelled, as `seal`.

        Raises:
            JournalUnavailable: a file cannot be written or dropped.
        """
        # The newest stays, however old it is: it tells up to where there were files.
        old = [file for file in self._files[:-1] if file.newest_at < since]
        if old:
            await self._drop(old)
        while group := _to_merge(self._files):
            first, last = group[0].coverage, group[-1].coverage
            coverage = Coverage(first.after, last.until, first.before_at)

            def write(pause: Pause, group: Sequence[KeyFile] = group, coverage: Coverage = coverage) -> KeyFile:
                return self._write(coverage, sum(file.count for file in group), merged(group, since), pause)

            file = await self._in_thread(write)
            place = self._files.index(group[0])
            self._use([*self._files[:place], file, *self._files[place + len(group) :]])
            await self._drop(group)

    def _use(self, files: Sequence[KeyFile]) -> None:
        self._files = tuple(files)
        self._filters = tuple((file.words, len(file.words), file) for file in reversed(files))

    def _write(self, coverage: Coverage, at_most: int, slices: Iterator[Sequence[bytes]], pause: Pause) -> KeyFile:
        path = self._folder / f"{coverage.until:020d}.keys"
        write_key_file(path, coverage, at_most, slices, pause)
        return KeyFile(path)

    async def _drop(self, files: Sequence[KeyFile]) -> None:
        """Have no more to do with files, and remove those whose name no other file has by now."""
        kept = [file for file in self._files if file not in files]
        self._use(kept)
        taken = {file.path for file in kept}

        def drop(_: Pause) -> None:
            for file in files:
                file.close()
                if file.path not in taken:
                    file.path.unlink(missing_ok=True)

        await self._in_thread(drop)

    async def _in_thread(self, work: Callable[[Pause], T]) -> T:
        """Run `work`, which calls what it is given between its pieces; if this is cancelled, the next call ends it."""
        is_cancelled = threading.Event()

        def pause() -> None:
            if is_cancelled.is_set():
                raise _Cancelled
            time.sleep(_REST_S)

        future = asyncio.get_running_loop().run_in_executor(None, work, pause)
        try:
            return await asyncio.shield(future)
        except OSError as error:
            msg = f"key files in {self._folder} cannot be written: {error}"
            raise JournalUnavailable(msg) from error
        except asyncio.CancelledError:
            is_cancelled.set()
            await asyncio.wait([future])
            if future.exception() is None and isinstance(made := future.result(), KeyFile):
                made.close()
            raise

    def close(self) -> None:
        """Close the files; nothing is found any more. Twice is harmless."""
        for file in self._files:
            file.close()
        self._use(())


class _Cancelled(Exception):  # noqa: N818 - ends a thread's work and reaches nobody
    pass


def damaged_key_files(folder: Path) -> dict[Path, str]:
    """Read every key file of a journal, hold it against its sha256, and say of each that is damaged what was found.

    Files that an engine drops meanwhile are passed over. Blocks on the disk.
    """
    found: dict[Path, str] = {}
    for path in key_file_paths(folder):
        try:
            check_key_file(path)
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            found[path] = f"key file {path} is damaged: {error}"
    return found


def key_file_paths(folder: Path) -> list[Path]:
    """Return the key files of a journal, oldest first; each is named for the last position that it covers."""
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))


def _opened(path: Path) -> KeyFile | None:
    try:
        return KeyFile(path)
    except (OSError, ValueError) as error:
        _log.error("key file %s is left out, so what it covers may be run again: %s", path, error)
        return None


def _covers(other: KeyFile, file: KeyFile) -> bool:
    """Is all of `file` in `other`, which is another one?"""
    is_inside = other.coverage.after <= file.coverage.after and file.coverage.until <= other.coverage.until
    return is_inside and other is not file


def _newest_at(files: Sequence[KeyFile]) -> int:
    return max((max(file.newest_at, file.coverage.before_at) for file in files), default=Coverage(0, 0).before_at)


def _to_merge(files: Sequence[KeyFile]) -> list[KeyFile]:
    """Return files in a row that are to become one; none if there are too few."""
    for at_least, below in _TIERS:
        group: list[KeyFile] = []
        for file in files:
            group = [*group, file] if file.count < below else []
            if sum(member.count >= at_least for member in group) == _MERGE:
                return group
    return []


def _sorted(entries: Mapping[bytes, bytes], pause: Pause) -> Iterator[list[bytes]]:
    """Yield the records of a batch in order, without a sort that keeps the interpreter for long."""
    count = len(entries) // SLICE + 1
    slices: list[list[bytes]] = [[] for _ in range(count)]
    for number, (digest, entry) in enumerate(entries.items()):
        slices[int.from_bytes(digest[:4], "big") * count >> 32].append(digest + entry)
        if not number % SLICE:
            pause()
    for records in slices:
        records.sort()
        yield records
