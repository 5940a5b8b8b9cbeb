"""The hash chain: every commit group is sealed by a hash over the hash before it and over its rows.

A row is covered with the digest of its body instead of the body, so that a body can go and the chain stays. The hash of
a group stands in its last row. Each row has a checksum of its own besides: the chain proves that a group was altered,
the checksum says which of its rows.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable
from typing import TypeAlias

from queue_runtime.journal.bodies import body_digest
from queue_runtime.journal.errors import JournalCorrupt
from queue_runtime.journal.plain import packer

__all__ = ["GENESIS", "ChainCheck", "Row", "check_body", "is_stripped", "link", "record"]

GENESIS = bytes(32)
"""The hash before the first group."""

Row: TypeAlias = tuple[
    int,  # kind
    int,  # version
    str | None,  # key
    str | None,  # session
    int | None,  # attempt
    int,  # at
    str | None,  # error_kind
    bytes,  # data
    int | None,  # body_form
    bytes | None,  # body_digest
    int,  # crc: of the record of all before it
    bytes | None,  # body
]
"""One event as the database holds it, but for its place in the chain. The order is that of the columns."""


def _nothing_else(value: object) -> object:
    msg = f"a column of type {type(value).__name__}"
    raise TypeError(msg)


record = packer(_nothing_else)
"""Pack the columns of a row up to `body_digest`: what the chain covers of it."""


def link(previous: bytes, first_position: int, records: Iterable[bytes]) -> bytes:
    """Return the hash of the group that begins at `first_position`, over that of the group before it."""
    # One sha256 a group: within the noise of the commit (spec R). msgpack values end themselves, so joining is safe.
    return hashlib.sha256(b"".join((previous, first_position.to_bytes(8, "big"), *records))).digest()


class ChainCheck:
    """Follows stored rows in order and raises at the first that is not what was written."""

    def __init__(self, position: int, chain: bytes) -> None:
        """Begin after the group that ended at `position` with the hash `chain`."""
        self.position = position
        self.sealed = position
        """The last position of the last group that proved good."""
        self.chain = chain
        self._records: list[bytes] = []

    def feed(self, position: int, chain: bytes | None, row: Row, *, may_lack_body: bool = False) -> None:
        """Check the row stored at `position`, and its group if it is the last of one.

        `may_lack_body`: the body may have been left out on purpose.

        Raises:
            JournalCorrupt: names the row, or the first row of its group where only the group is known to be altered.
        """
        expected = self.position + 1
        if position != expected:
            raise JournalCorrupt(expected, f"the next row stored is {position}")
        try:
            covered = record(row[:10])
        except (TypeError, ValueError, OverflowError) as error:
            raise JournalCorrupt(position, f"a column has an impossible value: {error}") from error
        if zlib.crc32(covered) != row[10]:
            raise JournalCorrupt(position, "the row does not match its checksum")
        check_body(position, row, may_be_gone=may_lack_body)
        self.position = position
        self._records.append(covered)
        if chain is not None:
            self._seal(position, chain)

    def end(self) -> None:
        """Check that no group was left open.

        Raises:
            JournalCorrupt: the end of a group is missing.
        """
        if self._records:
            raise JournalCorrupt(self.sealed + 1, f"the commit group that begins here has no end by {self.position}")

    def follow(self, position: int, chain: bytes) -> None:
        """Check that a segment which follows `position` with the hash `chain` goes on here.

        Raises:
            JournalCorrupt: rows are missing between the two, or it belongs to another history.
        """
        self.end()
        if position != self.position:
            raise JournalCorrupt(self.position + 1, f"the next segment follows {position}")
        if chain != self.chain:
            raise JournalCorrupt(self.position + 1, "the next segment follows another hash than these rows end with")

    def _seal(self, position: int, chain: bytes) -> None:
        first = self.sealed + 1
        if link(self.chain, first, self._records) != chain:
            raise JournalCorrupt(first, f"the hash chain does not match for the group {first} to {position}")
        self._records.clear()
        self.sealed = position
        self.chain = chain


def is_stripped(row: Row) -> bool:
    """Tell whether the row had a body that is not there any more."""
    return row[11] is None and row[9] is not None and row[8] is not None


def check_body(position: int, row: Row, *, may_be_gone: bool = False) -> None:
    """Check that the body stored in `row` is the one that the chain covers, or, if it may be, gone.

    Raises:
        JournalCorrupt: it is another one, or gone.
    """
    form, digest, body = row[8], row[9], row[11]
    if (digest is None and form is None and body is None) or (may_be_gone and is_stripped(row)):
        return
    if digest is None or form is None or not isinstance(body, bytes):
        raise JournalCorrupt(position, "a part of the body is missing")
    if body_digest(body) != digest:
        raise JournalCorrupt(position, "the body does not match its digest")
