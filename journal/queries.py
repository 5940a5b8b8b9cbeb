"""Every SQL statement of the journal, by name. tests/journal/test_queries.py holds each to having a caller."""

from __future__ import annotations

from functools import cache

__all__ = [
    "APPLICATION_ID",
    "ATTACH",
    "BASE",
    "BEGIN",
    "COMPLETED_KEYS",
    "COMPLETED_TABLE",
    "COPY_PRAGMAS",
    "COPY_STRIPPED",
    "COUNTS",
    "CREATE",
    "EMPTY_PROBE",
    "ENTRIES",
    "FILL_PROBE",
    "GROUP_END",
    "HAS_BODIES",
    "KINDS",
    "LAST_ROW",
    "LAYOUT",
    "LAYOUT_WITH_BASE",
    "MARK_STRIPPED",
    "MAX_ROWS",
    "NO_NUMBER",
    "NO_VALUE",
    "PRAGMAS",
    "ROWS",
    "SAME_ROWS",
    "SCHEMA",
    "SPAN",
    "STATEMENT_SIZES",
    "STRIPPED",
    "insert_rows",
    "places_for",
]

APPLICATION_ID = 0x71726A31
LAYOUT = 2
LAYOUT_WITH_BASE = 2

MAX_ROWS = 256
"""Rows in one statement: more would save little, and every prepared size stays in memory, the largest with 0.4 MB."""

_STEP = 16
STATEMENT_SIZES = 4 + MAX_ROWS // _STEP
"""How many sizes of `insert_rows` are in use: 1, 2, 4, 8, and the multiples of 16."""

PRAGMAS = """
PRAGMA page_size = 8192;                     -- 1.2 times as fast as 4096 for webhook bodies; before the first table
PRAGMA journal_mode = WAL;                   -- readers and the writer do not wait for each other
PRAGMA synchronous = {synchronous};
PRAGMA wal_autocheckpoint = {checkpoint_pages}; -- small inline checkpoints keep the slowest commit short
PRAGMA recursive_triggers = 1;               -- or else REPLACE deletes rows behind the append-only triggers
PRAGMA secure_delete = 0;                    -- on by default in some builds; nothing is deleted row by row here
PRAGMA max_page_count = {max_pages};
"""

# position is the rowid: WITHOUT ROWID reaches .76 to .88 of the speed, AUTOINCREMENT .9 to 1.0. There is no index: one
# on the key costs a tenth of the speed, and the maps are rebuilt by the fold. The body is last, so that reading the
# other columns does not touch its overflow pages.
CREATE = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS events (
    position    INTEGER PRIMARY KEY,
    chain       BLOB,              -- hash over everything up to here, in the last row of each commit group
    kind        INTEGER NOT NULL,
    version     INTEGER NOT NULL,
    key         TEXT,              -- idempotency key of the message
    session     TEXT,
    attempt     INTEGER,
    at          INTEGER NOT NULL,  -- microseconds since 1970, UTC
    error_kind  TEXT,
    data        BLOB NOT NULL,     -- the other fields, msgpack
    body_form   INTEGER,           -- 0 as it is, 1 zstd
    body_digest BLOB,              -- sha256 of the next but one column, covered by the chain
    crc         INTEGER NOT NULL,  -- of what the chain covers of this row: tells which row was altered
    body        BLOB
);
CREATE TABLE IF NOT EXISTS base ( -- one row; the first segment of layout 1 has none, nor one that was never begun
    position    INTEGER NOT NULL,  -- of the last row of the segment before
    chain       BLOB NOT NULL,     -- its hash
    created_at  INTEGER NOT NULL,  -- microseconds since 1970, UTC
    crc         INTEGER NOT NULL   -- of the three
);
CREATE TABLE IF NOT EXISTS stripped ( -- one row if bodies of completed messages were left out when it was rewritten
    at          INTEGER NOT NULL,  -- microseconds since 1970, UTC
    bodies      INTEGER NOT NULL   -- how many: more that are missing are damage
);
CREATE TABLE IF NOT EXISTS probe (filler BLOB);
CREATE TABLE IF NOT EXISTS kinds (kind INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE VIEW IF NOT EXISTS events_named AS
    SELECT position, name AS event, key, session, attempt, error_kind,
           strftime('%Y-%m-%d %H:%M:%f', at / 1e6, 'unixepoch') AS at_utc, length(body) AS stored_body_bytes
    FROM events LEFT JOIN kinds USING (kind);
CREATE TRIGGER IF NOT EXISTS events_are_never_updated BEFORE UPDATE ON events
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER IF NOT EXISTS events_are_never_deleted BEFORE DELETE ON events
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {LAYOUT};
COMMIT;
"""  # noqa: S608 - two numbers of ours
"""The layout of a segment, all of it or nothing; what an older version laid out is added to."""

SCHEMA = """
SELECT name, type, "notnull", pk FROM pragma_table_info('events')
    UNION ALL SELECT name, sql, NULL, NULL FROM sqlite_schema WHERE type = 'trigger' ORDER BY name
"""
"""What a segment says of the columns of its rows, and what keeps them as they are."""

BEGIN = "INSERT INTO base (position, chain, created_at, crc) VALUES (?, ?, ?, ?)"
"""Say what a segment follows: from then on it is one."""

BASE = "SELECT position, chain, created_at, crc FROM base"
"""What a segment follows, and since when it is there."""

FILL_PROBE = "INSERT INTO probe (filler) VALUES (zeroblob(1048576))"
"""Take up room, to find out whether there is any."""

EMPTY_PROBE = "DELETE FROM probe"
"""Give it back."""

KINDS = "INSERT OR IGNORE INTO kinds (kind, name) VALUES (?, ?)"
"""Names of event types, for people with another SQLite tool."""

_COLUMNS = (
    "position, chain, kind, version, key, session, attempt, at, error_kind, data, body_form, body_digest, crc, body"
)

ROWS = f"SELECT {_COLUMNS} FROM events WHERE position > ? AND position <= ? ORDER BY position LIMIT ?"  # noqa: S608
"""A page of rows: the load, the check of the chain."""

ENTRIES = f"""
SELECT {_COLUMNS} FROM events
WHERE position > :after AND position <= :until
    AND (:key IS NULL OR key = :key)
    AND (:session IS NULL OR session = :session)
    AND (:kinds IS NULL OR kind IN (SELECT value FROM json_each(:kinds)))
ORDER BY position LIMIT :limit
"""  # noqa: S608 - column names of ours
"""A page of rows for people: of one message, session or set of kinds."""

COUNTS = "SELECT kind, count(*) FROM events GROUP BY kind ORDER BY kind"
"""How many events of each kind there are."""

SPAN = "SELECT min(position), max(position), min(at), max(at) FROM events GROUP BY NULL"
"""From where to where a segment goes; nothing if it has no row."""

LAST_ROW = "SELECT position, chain FROM events ORDER BY position DESC LIMIT 1"
"""The end of the segment."""

GROUP_END = (
    "SELECT position, chain FROM events WHERE position <= ? AND chain IS NOT NULL ORDER BY position DESC LIMIT 1"
)
"""The last commit group that ended by a position."""

STRIPPED = "SELECT bodies FROM stripped"
"""How many bodies were left out of a segment, if any were."""

COPY_PRAGMAS = """
PRAGMA page_size = 8192;
PRAGMA journal_mode = OFF;  -- a copy that is not finished is thrown away
PRAGMA synchronous = OFF;   -- and one that is, is synced as a file
"""

ATTACH = "ATTACH ? AS ?"
"""Read a segment beside the copy."""

COMPLETED_TABLE = "CREATE TEMP TABLE completed (key TEXT PRIMARY KEY) WITHOUT ROWID"
"""Whose bodies are to go."""

COMPLETED_KEYS = tuple(
    f"INSERT OR IGNORE INTO completed SELECT key FROM {source}.events WHERE kind = ? AND key IS NOT NULL"  # noqa: S608
    for source in ("original", "newest")
)
"""What was completed, in the segment itself or later."""

_WITH_BODY = "body IS NOT NULL AND key IN (SELECT key FROM completed)"

HAS_BODIES = f"SELECT 1 FROM original.events WHERE {_WITH_BODY} LIMIT 1"  # noqa: S608
"""Is there anything to leave out?"""

_ALL_BUT_BODIES = f"{_COLUMNS.removesuffix('body')} CASE WHEN {_WITH_BODY} THEN NULL ELSE body END"
COPY_STRIPPED = (
    f"INSERT INTO main.events ({_COLUMNS}) SELECT {_ALL_BUT_BODIES} FROM original.events ORDER BY position",  # noqa: S608
    "INSERT INTO main.base SELECT * FROM original.base",
    "INSERT INTO main.kinds SELECT * FROM original.kinds",
)
"""All of a segment but the bodies of what was completed. The chain covers digests: it stays as it is."""

MARK_STRIPPED = (
    "INSERT INTO main.stripped (at, bodies)"
    " SELECT ?, count(*) FROM main.events WHERE body IS NULL AND body_form IS NOT NULL"
)
"""Say how many bodies are not there on purpose, so that no more can go unseen."""

SAME_ROWS = (
    "SELECT count(*), sum(crc), max(position) FROM original.events"
    " UNION ALL SELECT count(*), sum(crc), max(position) FROM main.events"
)
"""What must be the same in a copy."""

NO_VALUE = 0
"""Stands for NULL in `insert_rows` where a column holds text or bytes; position 0 stands for no row."""

NO_NUMBER = ""
"""Stands for NULL in `insert_rows` where a column holds integers."""

_OPTIONAL = {
    **dict.fromkeys(("chain", "key", "session", "error_kind", "body_digest", "body"), "0"),
    **dict.fromkeys(("attempt", "body_form"), "''"),
}
_VALUES = ", ".join(
    f"nullif(column{place}, {_OPTIONAL[name]})" if name in _OPTIONAL else f"column{place}"
    for place, name in enumerate(_COLUMNS.split(", "), 1)
)


@cache
def insert_rows(places: int) -> str:
    """Return the statement that appends up to `places` rows, from 1 to `MAX_ROWS`.

    One statement in autocommit is atomic, and costs one hop to SQLite's thread; `executemany` with a commit takes 1.3
    times as long, and leaves half a group behind when it fails in the middle. The parameters are integers, str and
    bytearray alone: for any other, None and bytes included, the sqlite3 module looks for an adapter, holding the
    interpreter's lock, which takes three times as long as everything else that a row needs.
    """
    row = f"({', '.join('?' * len(_COLUMNS.split(', ')))})"
    rows = ", ".join([row] * places)
    return f"INSERT INTO events ({_COLUMNS}) SELECT {_VALUES} FROM (VALUES {rows}) WHERE column1 > 0"  # noqa: S608 - no values in it


def places_for(rows: int) -> int:
    """Return how many places the statement for `rows` rows has: few sizes, because preparing one costs a commit."""
    return 1 << (rows - 1).bit_length() if rows <= _STEP else -(-rows // _STEP) * _STEP
