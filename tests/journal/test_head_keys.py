"""A head that is signed: who does not know the key cannot make one, and who has none can still read it."""

from pathlib import Path

import pytest

from queue_runtime.journal.errors import JournalCorrupt
from queue_runtime.journal.log import SqliteJournal
from queue_runtime.journal.settings import JournalSettings
from tests.journal.examples import SEGMENT, life, prove, read, started, write

KEY = b"a key of sixteen or more"
SIGNED = JournalSettings(head_key=KEY)
OTHER = JournalSettings(head_key=b"another key of that length")


@pytest.fixture
async def signed(tmp_path: Path) -> Path:
    """A journal whose head is signed with `KEY`."""
    await write(tmp_path / "journal", life(1), life(2), settings=SIGNED)
    return tmp_path / "journal"


async def test_a_signed_journal_opens_and_proves_good_with_its_key(signed: Path) -> None:
    """Each end that was kept carries the HMAC, after a second run too."""
    await write(signed, life(3), settings=SIGNED)

    assert (await prove(signed, head_key=KEY)).good_until == 9


async def test_another_key_is_refused(signed: Path) -> None:
    """A head with the HMAC of another key opens nothing, and `verify` says so."""
    with pytest.raises(JournalCorrupt, match="another key"):
        await SqliteJournal.open(signed, OTHER)

    verdict = await prove(signed, head_key=OTHER.head_key)
    assert not verdict.is_good
    assert "another key" in verdict.what
    assert verdict.good_until == 6


async def test_a_key_that_is_switched_on_later_is_refused_with_the_way_on(tmp_path: Path) -> None:
    """A head without an HMAC may be anybody's: it is refused, and the error says how to sign it."""
    await write(tmp_path / "journal", life(1))

    with pytest.raises(JournalCorrupt, match=r"has no HMAC.*journal repair"):
        await SqliteJournal.open(tmp_path / "journal", SIGNED)
    assert "has no HMAC" in (await prove(tmp_path / "journal", head_key=KEY)).what


async def test_a_signed_head_is_readable_without_the_key(signed: Path) -> None:
    """Who has no key opens and verifies it; what he appends is not signed, so the key refuses it from then on."""
    assert (await prove(signed)).is_good
    assert len(await read(signed)) == 6
    await write(signed, life(3))

    with pytest.raises(JournalCorrupt, match="has no HMAC"):
        await SqliteJournal.open(signed, SIGNED)


async def test_one_slot_that_is_not_signed_is_enough_to_refuse(signed: Path) -> None:
    """An older slot with its HMAC does not speak for a newer one without: the last group would be anybody's."""
    whole = (signed / "head").read_bytes()
    for start in (0, 512):
        (signed / "head").write_bytes(whole[: start + 52] + bytes(32) + whole[start + 84 :])
        with pytest.raises(JournalCorrupt, match="has no HMAC"):
            await SqliteJournal.open(signed, SIGNED)


async def test_a_forged_history_needs_the_key(signed: Path) -> None:
    """A history with a perfect chain and a head of its own, made without the key, is found by the key alone."""
    forged = signed.with_name("forged")
    await write(forged, life(1), [*life(2)[:2], started(99)])
    for name in (SEGMENT, "head"):
        (signed / name).write_bytes((forged / name).read_bytes())

    assert (await prove(signed)).is_good
    assert not (await prove(signed, head_key=KEY)).is_good


def test_the_key_is_not_shown() -> None:
    """The settings of a journal do not print the key."""
    assert "sixteen" not in repr(SIGNED)
