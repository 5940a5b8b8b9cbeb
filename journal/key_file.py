"""One file of the idempotency window: keys of completed messages, to be looked up and never changed.

    records     digest of the key (16 bytes), instant of its settlement (8), beginning of its body's digest (8); sorted
    filter      64-bit words, one for four keys: a key whose bits are not all set in its word is not in the file
    starts      32-bit numbers: where the records of each bucket begin, about 64 to a bucket
    trailer     counts, positions, instants, a checksum of filter, starts and itself, and the sha256 of all of it

A new key costs one word of the filter, which is mapped into memory; what the filter lets pass, one new key in some 250,
reads a bucket of 2 KB. Records are read and not mapped, so that a broken disk is an error and no SIGBUS.
Numbers are in the byte order of the machine; a file of another order is left out like a damaged one.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple, cast

from queue_runtime.journal.segments import sync_folder
from queue_runtime.journal.settled_keys import DIGEST_BYTES, SettledKey, pack_instant

__all__ = [
    "SLICE",
    "Coverage",
    "KeyFile",
    "Probe",
    "check_key_file",
    "merged",
    "probe",
    "write_key_file",
]

SLICE = 256
"""Records handled between two pauses: about 0.2 ms in which the event loop may have to wait for the interpreter."""

_RECORD_BYTES = 32
_KEYS_A_WORD = 4
_KEYS_A_BUCKET = 64
_BLOCK_BYTES = 512 * _RECORD_BYTES
_READ_BYTES = 1 << 20
_MAGIC = b"qrt-keys"
_VERSION = 1
_SHA_BYTES = 32
_FIELDS = struct.Struct("=8sIQQQQQqq")
_TRAILER_BYTES = _FIELDS.size + 4 + _SHA_BYTES
_HEAD = struct.Struct(">II")
_NO_INSTANT = -(1 << 63)

# Three bits of a word for each number of 12 bits; a key has two such numbers.
_MASKS = tuple(1 << (n & 63) | 1 << (n >> 6) | 1 << ((n * 5 + (n >> 6) * 23 + 17) & 63) for n in range(1 << 12))
_digest_of: Callable[[bytes], bytes] = itemgetter(slice(DIGEST_BYTES))
_instant_of: Callable[[bytes], bytes] = itemgetter(slice(DIGEST_BYTES, DIGEST_BYTES + 8))


class Coverage(NamedTuple):
    """What a file is to hold: the keys settled at positions in (`after`, `until`].

    `before_at` is the newest instant that the files before it hold: it tells whether one that is gone is missed.
    """

    after: int
    until: int
    before_at: int = _NO_INSTANT


class Probe(NamedTuple):
    """A key, as the files look for it."""

    digest: bytes
    prefix: int
    mask: int


def probe(digest: bytes) -> Probe:
    """Work out, once for all files, where to look."""
    prefix, bits = _HEAD.unpack_from(digest)
    return Probe(digest, prefix, _MASKS[bits & 4095] | _MASKS[bits >> 12 & 4095])


@dataclass(frozen=True, slots=True)
class _Trailer:
    count: int
    words: int
    buckets: int
    coverage: Coverage
    newest_at: int

    def pack(self) -> bytes:
        after, until, before_at = self.coverage
        numbers = (self.count, self.words, self.buckets, after, until, before_at, self.newest_at)
        return _FIELDS.pack(_MAGIC, _VERSION, *numbers)

    @property
    def index_bytes(self) -> int:
        return 8 * self.words + 4 * (self.buckets + 1)


class KeyFile:
    """A key file that is open for look-ups. `find` may be called from one thread at a time.

    Attributes:
        path: where it is, or was: it can be read until it is closed.
        count: its keys.
        coverage: which positions it covers.
        newest_at: the newest instant in it.
        words: its filter, until it is closed.
    """

    def __init__(self, path: Path) -> None:
        """Open the file and check its trailer and filter; blocks on the disk.

        Raises:
            ValueError: it is not what was written.
            OSError: it cannot be read.
        """
        self.path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            trailer = _read_trailer(self._fd)
            self._map = mmap.mmap(self._fd, 0, prot=mmap.PROT_READ)
        except BaseException:
            os.close(self._fd)
            raise
        self.count, self.coverage, self.newest_at = trailer.count, trailer.coverage, trailer.newest_at
        self._buckets = trailer.buckets
        words_at = trailer.count * _RECORD_BYTES
        starts_at = words_at + 8 * trailer.words
        self._view = memoryview(self._map)
        self.words = self._view[words_at:starts_at].cast("Q")
        self._starts = self._view[starts_at : starts_at + 4 * (trailer.buckets + 1)].cast("I")

    def find(self, key: Probe) -> SettledKey | None:
        """Return what is stored of a key.

        Raises:
            OSError: it cannot be read.
        """
        if self.words[key.prefix * len(self.words) >> 32] & key.mask != key.mask:
            return None
        bucket = key.prefix * self._buckets >> 32
        first, end = self._starts[bucket], self._starts[bucket + 1]
        records = self.read(first, end - first)
        at = records.find(key.digest)
        while at >= 0 and at % _RECORD_BYTES:  # looks like it, across two others
            at = records.find(key.digest, at + 1)
        return None if at < 0 else SettledKey.unpack(records[at + DIGEST_BYTES : at + _RECORD_BYTES])

    def read(self, first: int, count: int) -> bytes:
        """Return so many records.

        Raises:
            OSError: they cannot be read, or are gone.
        """
        records = os.pread(self._fd, count * _RECORD_BYTES, first * _RECORD_BYTES)
        if len(records) != count * _RECORD_BYTES:
            msg = f"{self.path} is shorter than it was"
            raise OSError(msg)
        return records

    def close(self) -> None:
        """Give memory and file back. Twice is harmless."""
        if self._fd >= 0:
            self.words.release()
            self._starts.release()
            self._view.release()
            self._map.close()
            os.close(self._fd)
            self._fd = -1


class _Cursor:
    """Takes records of a file in order."""

    def __init__(self, file: KeyFile) -> None:
        self._file = file
        self._read = 0
        self._block: list[bytes] = []
        self._at = 0

    def take(self, bound: bytes | None) -> list[bytes]:
        """Return the next records that sort before `bound`; all that is left without one."""
        taken: list[bytes] = []
        while True:
            end = len(self._block) if bound is None else bisect_left(self._block, bound, self._at)
            taken += self._block[self._at : end]
            self._at = end
            if end < len(self._block) or self._read == self._file.count:
                return taken
            self._block = self._next_block()
            self._at = 0

    def _next_block(self) -> list[bytes]:
        count = min(_BLOCK_BYTES // _RECORD_BYTES, self._file.count - self._read)
        data = self._file.read(self._read, count)
        self._read += count
        return [data[at : at + _RECORD_BYTES] for at in range(0, len(data), _RECORD_BYTES)]


def merged(files: Sequence[KeyFile], since: int) -> Iterator[list[bytes]]:
    """Yield the records of files, oldest file first, in order, each key as the newest file has it, none before `since`.

    Raises:
        OSError: one cannot be read.
    """
    cursors = [_Cursor(file) for file in files]
    slices = sum(file.count for file in files) // SLICE + 1
    oldest = pack_instant(since)
    for number in range(1, slices + 1):
        bound = ((number << 32) // slices).to_bytes(4, "big") if number < slices else None
        records = [record for cursor in cursors for record in cursor.take(bound)]
        records.sort(key=_digest_of)  # stable: of one key the newest comes last
        newest = {_digest_of(record): record for record in records}
        yield [record for record in newest.values() if _instant_of(record) >= oldest]


def write_key_file(
    path: Path, coverage: Coverage, at_most: int, slices: Iterable[Sequence[bytes]], pause: Callable[[], None]
) -> None:
    """Write a key file: all of it or, whenever the power goes, none. Blocks on the disk.

    Args:
        path: replaced if it is there.
        coverage: which positions it covers.
        at_most: how many records there can be.
        slices: the records in order, each key once.
        pause: called between slices; what it raises ends the writing.

    Raises:
        OSError: the disk is full or broken.
    """
    temporary = path.with_suffix(".keys.new")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            index = _Index(at_most)
            sha = hashlib.sha256()
            for records in slices:
                data = b"".join(records)
                index.add(records)
                sha.update(data)
                file.write(data)
                pause()
            fields = _Trailer(index.count, len(index.words), index.buckets, coverage, index.newest_at).pack()
            crc = 0
            for data in (*index.parts(), fields):
                crc = zlib.crc32(data, crc)
                sha.update(data)
                file.write(data)
            checksum = crc.to_bytes(4, "big")
            sha.update(checksum)
            file.write(checksum + sha.digest())
            file.flush()
            os.fsync(fd)
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


class _Index:
    """Filter and starts of a file, while its records are written. They are large, so nothing here copies them."""

    def __init__(self, at_most: int) -> None:
        self.count = 0
        self.newest = b""
        self.words = memoryview(bytearray(8 * (at_most // _KEYS_A_WORD + 1))).cast("Q")
        self.buckets = at_most // _KEYS_A_BUCKET + 1
        self._starts = memoryview(bytearray(4 * (self.buckets + 1))).cast("I")
        self._next = 1

    def add(self, records: Sequence[bytes]) -> None:
        words, buckets = self.words, self.buckets
        count, size = self.count, len(words)
        for record in records:
            prefix, bits = _HEAD.unpack_from(record)
            words[prefix * size >> 32] |= _MASKS[bits & 4095] | _MASKS[bits >> 12 & 4095]
            bucket = prefix * buckets >> 32
            while self._next <= bucket:
                self._starts[self._next] = count
                self._next += 1
            count += 1
        self.count = count
        self.newest = max(self.newest, *map(_instant_of, records), b"")

    @property
    def newest_at(self) -> int:
        return int.from_bytes(self.newest, "big") + _NO_INSTANT if self.newest else _NO_INSTANT

    def parts(self) -> tuple[memoryview, memoryview]:
        """Return both, complete."""
        for bucket in range(self._next, self.buckets + 1):
            self._starts[bucket] = self.count
        return self.words.cast("B"), self._starts.cast("B")


def _read_trailer(fd: int) -> _Trailer:
    """Return the trailer of an open file, if it fits the file's size and the checksum of filter and starts."""
    size = os.fstat(fd).st_size
    packed = os.pread(fd, _TRAILER_BYTES, size - _TRAILER_BYTES) if size >= _TRAILER_BYTES else b""
    if len(packed) < _TRAILER_BYTES:
        msg = f"it has {size} bytes, fewer than an empty key file"
        raise ValueError(msg)
    fields = packed[: _FIELDS.size]
    magic, version, *numbers = cast("tuple[bytes, int, int, int, int, int, int, int, int]", _FIELDS.unpack(fields))
    if (magic, version) != (_MAGIC, _VERSION):
        msg = "it is no key file of this version"
        raise ValueError(msg)
    count, words, buckets, *covered, newest_at = numbers
    trailer = _Trailer(count, words, buckets, Coverage(*covered), newest_at)
    index_at = count * _RECORD_BYTES
    if size != index_at + trailer.index_bytes + _TRAILER_BYTES:
        msg = f"it has {size} bytes, which are not those of {count} keys"
        raise ValueError(msg)
    crc = 0
    for data in _pieces(fd, index_at, index_at + trailer.index_bytes):
        crc = zlib.crc32(data, crc)
    if zlib.crc32(fields, crc).to_bytes(4, "big") != packed[_FIELDS.size : _FIELDS.size + 4]:
        msg = "its filter does not match its checksum"
        raise ValueError(msg)
    return trailer


def _pieces(fd: int, begin: int, end: int) -> Iterator[bytes]:
    while begin < end:
        data = os.pread(fd, min(_READ_BYTES, end - begin), begin)
        if not data:
            msg = f"it ends at byte {begin}"
            raise ValueError(msg)
        begin += len(data)
        yield data


def check_key_file(path: Path) -> None:
    """Read a whole key file and hold it against its sha256: every bit of it is what was written. Blocks on the disk.

    Raises:
        ValueError: it is not; says what was found.
        OSError: it cannot be read.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        _read_trailer(fd)
        end = os.fstat(fd).st_size - _SHA_BYTES
        sha = hashlib.sha256()
        for data in _pieces(fd, 0, end):
            sha.update(data)
        if os.pread(fd, _SHA_BYTES, end) != sha.digest():
            msg = "it does not match its sha256"
            raise ValueError(msg)
    finally:
        os.close(fd)
