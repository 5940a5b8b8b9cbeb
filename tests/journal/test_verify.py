"""Whatever is altered is found, and named; what was only added by nobody's fault is not called damage."""

import asyncio
import random
from pathlib import Path

import pytest

from queue_runtime.journal.errors import JournalCorrupt, JournalError, JournalUnavailable, UnknownEvent
from queue_runtime.journal.log import SqliteJournal
from queue_runtime.journal.verify import Verdict
from tests.journal.examples import SEGMENT, image, life, prove, read, started, tampering, write, write_foreign

COLUMNS = ("kind", "version", "key", "session", "at", "data", "body_form", "body_digest", "crc", "body")
ALTERATIONS = [f"{column} = {value}" for column in COLUMNS for value in ("1234567", "'text'", "x'00ff'")] + [
    "session = CAST(x'ff' AS TEXT)",  # no UTF-8
    "attempt = 9",
    "error_kind = ''",
    "chain = x'00'",
    "key = NULL",
    "body = NULL",
    "body_digest = NULL, body_form = NULL, body = NULL",
    "data = data || x'00'",
]


@pytest.fixture
async def journal(tmp_path: Path) -> Path:
    """Three groups of three; position 4 is a `Received` in the middle."""
    await write(tmp_path / "journal", life(1), life(2), life(3))
    return tmp_path / "journal"


async def test_a_sound_journal_is_proved_to_its_end(journal: Path) -> None:
    """The verdict on a journal that nobody touched is good, and says until where."""
    verdict = await prove(journal)

    assert verdict == Verdict(9, None, "every row up to 9 is what was written")
    assert verdict.is_good


@pytest.mark.parametrize("alteration", ALTERATIONS)
async def test_an_altered_column_is_found_where_it_is(journal: Path, alteration: str) -> None:
    """Any column of a row that says something else names that row; so does the load of an engine."""
    with tampering(journal) as connection:
        connection.execute(f"UPDATE events SET {alteration} WHERE position = 4")  # noqa: S608 - of this file

    verdict = await prove(journal)

    assert (verdict.good_until, verdict.altered_at) == (3, 4)
    with pytest.raises(JournalCorrupt) as caught:
        await read(journal)
    assert caught.value.position == 4


async def test_an_alteration_that_mends_its_checksum_breaks_the_chain(journal: Path) -> None:
    """Who copies a whole row over another has a row that is sound in itself; its group is named."""
    with tampering(journal) as connection:
        columns = "kind, version, key, session, attempt, at, error_kind, data, body_form, body_digest, crc, body"
        connection.execute(
            f"UPDATE events SET ({columns}) = (SELECT {columns} FROM events WHERE position = 2) WHERE position = 5"  # noqa: S608
        )

    verdict = await prove(journal)

    assert (verdict.good_until, verdict.altered_at) == (3, 4)
    assert "the group 4 to 6" in verdict.what


@pytest.mark.parametrize(
    ("statement", "altered_at"),
    [
        ("DELETE FROM events WHERE position = 5", 5),
        ("DELETE FROM events WHERE position = 1", 1),
        ("DELETE FROM events WHERE position > 6", 7),
        ("DELETE FROM events WHERE position = 9", 7),
        ("DELETE FROM events", 1),
        ("UPDATE events SET position = 0 WHERE position = 4", 1),
        ("UPDATE events SET position = -position WHERE position IN (5, 6)", 1),
        ("UPDATE events SET chain = NULL WHERE position = 6", 4),
        ("UPDATE events SET chain = NULL WHERE position = 9", 9),
    ],
)
async def test_rows_that_are_gone_or_moved_are_found(journal: Path, statement: str, altered_at: int) -> None:
    """A row or a group that is missing, at the end too, or at another place, is named."""
    with tampering(journal) as connection:
        connection.execute(statement)

    assert (await prove(journal)).altered_at == altered_at
    with pytest.raises(JournalCorrupt):
        await read(journal)


async def test_a_rewritten_end_is_told_by_the_head_alone(journal: Path) -> None:
    """A database put together anew, with a perfect chain, is not the one whose end was acknowledged."""
    forged = journal.with_name("forged")
    await write(forged, life(1), life(2), [*life(3)[:2], started(99)])
    (journal / SEGMENT).write_bytes((forged / SEGMENT).read_bytes())

    verdict = await prove(journal)

    assert verdict.altered_at == 9
    assert "acknowledged" in verdict.what
    with pytest.raises(JournalCorrupt, match="acknowledged"):
        await SqliteJournal.open(journal)


async def test_rows_beyond_the_kept_head_are_good(journal: Path) -> None:
    """A commit that was durable before its head was kept is nobody's damage."""
    older = image(journal, "older")
    await write(journal, life(4))
    (journal / "head").write_bytes((older / "head").read_bytes())

    assert (await prove(journal)).good_until == 12
    assert len(await read(journal)) == 12


async def test_every_bit_of_the_database_counts(journal: Path) -> None:
    """Of bits flipped all over the file, each is found, or changes nothing that anybody reads."""
    expected = await read(journal)
    content = (journal / SEGMENT).read_bytes()
    chance = random.Random(1)
    used = [offset for offset, byte in enumerate(content) if byte]
    found = 0
    for trial, offset in enumerate(chance.sample(used, 150)):
        broken = image(journal, f"broken-{trial}")
        flipped = content[:offset] + bytes([content[offset] ^ 1 << chance.randrange(8)]) + content[offset + 1 :]
        (broken / SEGMENT).write_bytes(flipped)
        try:
            is_good = (await prove(broken)).is_good
        except JournalUnavailable:
            is_good = False
        if is_good:
            assert await _read_or_refuse(broken) in (expected, None)
        found += not is_good
    assert found > 75


async def _read_or_refuse(folder: Path) -> object:
    try:
        return await read(folder)
    except JournalError:
        return None


async def test_a_damaged_head_is_found(journal: Path) -> None:
    """Any flipped bit in a slot of the head is found; a head that is gone too."""
    content = (journal / "head").read_bytes()
    slots = [offset for start in (0, 512) for offset in range(start, start + 52)]
    for offset in slots:
        (journal / "head").write_bytes(content[:offset] + bytes([content[offset] ^ 4]) + content[offset + 1 :])
        verdict = await prove(journal)
        assert not verdict.is_good, f"byte {offset}"
        assert "head" in verdict.what
    (journal / "head").unlink()
    assert (await prove(journal)).altered_at == 10


async def test_events_of_a_newer_version_are_counted_not_condemned(tmp_path: Path) -> None:
    """Bytes that are what was written are good, even if this version cannot read them; an engine refuses them."""
    await write_foreign(tmp_path / "journal", 999)

    assert await prove(tmp_path / "journal") == Verdict(2, None, "every row up to 2 is what was written", unknown=1)
    with pytest.raises(UnknownEvent, match="upgrade"):
        await read(tmp_path / "journal")


async def test_what_is_no_journal_is_said_to_be_none(tmp_path: Path) -> None:
    """A folder without a journal is the caller's mistake, not damage."""
    with pytest.raises(JournalError, match="there is no journal"):
        await prove(tmp_path / "nothing")


async def test_a_journal_is_proved_while_it_is_written(tmp_path: Path) -> None:
    """An engine that goes on appending disturbs no proof, and is not disturbed."""
    journal = await SqliteJournal.open(tmp_path / "journal")
    for number in range(5):
        position = journal.append(life(number) * 300)
        verdict, _ = await asyncio.gather(prove(tmp_path / "journal"), journal.wait(position))
        assert verdict.is_good
    await journal.close()

    assert (await prove(tmp_path / "journal")).good_until == 4_500
