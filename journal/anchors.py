"""Anchors: ends of the hash chain in a log that whoever can write the journal's folder cannot reach.

Nothing in the folder proves against somebody who writes the whole history anew, with a chain of its own. A line in
another machine's log does.
"""

from __future__ import annotations

import logging

from queue_runtime.journal.writer import GroupEnd

__all__ = ["log_anchor", "parse_anchor"]

_log = logging.getLogger("queue_runtime.journal")
_HASH_BYTES = 32


def log_anchor(end: GroupEnd) -> None:
    """Log where the chain ends by now."""
    _log.info("journal anchor %d:%s", end[0], end[1].hex())


def parse_anchor(text: str) -> GroupEnd:
    """Return the end of the chain that a logged anchor, `POSITION:HEX`, names.

    Raises:
        ValueError: it is none.
    """
    position, _, chain = text.partition(":")
    try:
        end = int(position), bytes.fromhex(chain)
    except ValueError:
        end = -1, b""
    if end[0] < 0 or len(end[1]) != _HASH_BYTES:
        msg = f"{text!r} is no anchor: copy POSITION:HEX from a line `journal anchor POSITION:HEX` of an engine's log"
        raise ValueError(msg)
    return end
