"""Promises about what a journal takes and gives back."""

# ruff: noqa: S101 - a suite asserts

from __future__ import annotations

import asyncio

import pytest

from queue_runtime.journal.conformance_harness import JournalHarness, loaded, numbers, started
from queue_runtime.journal.errors import EventRefused, JournalError
from queue_runtime.journal.events import Event
from queue_runtime.journal.message_events import AttemptStarted, Completed, Outgoing, Received, StepRecorded

__all__ = ["KeepingPromises"]

_OUTGOING = Outgoing("m", "labels", None, "c", None, {"a": "b"}, None, None, b"\x00\xff" * 200)
_EVENTS: tuple[Event, ...] = (
    Received(
        "pulls/1", 2**62, "pulls", "1", "sqs-1", "octo/1", 10**30, 1, None, None, None, None, {"é": "\x00"}, -1, 0,
        b"digest", "receipt", b"\xff" * 3_000,
    ),
    StepRecorded("pulls/1", 0, 1, "step", b""),
    Completed("pulls/1", 0, 1, None, (_OUTGOING,)),
    Completed("pulls/1", 0, 1, b"", ()),
)  # fmt: skip


class KeepingPromises:
    """What is handed over is kept, whole and in order."""

    async def test_a_new_journal_is_empty(self, harness: JournalHarness) -> None:
        """A journal begins at position 0, with nothing to load."""
        journal = await harness.open()

        assert (journal.position, journal.durable) == (0, 0)
        assert await loaded(journal) == []
        await journal.close()

    async def test_positions_have_no_gaps(self, harness: JournalHarness) -> None:
        """`append` returns the position of the last event of its batch, and an empty batch takes none."""
        journal = await harness.open()

        assert [journal.append([started(1)]), journal.append([started(2)] * 3), journal.append([])] == [1, 4, 4]
        assert journal.position == 4
        await journal.close()

    async def test_append_never_waits(self, harness: JournalHarness) -> None:
        """What is appended is not durable before the loop had its turn, and is when `wait` returns."""
        journal = await harness.open()
        position = journal.append([started(1)])
        before = journal.durable

        await journal.wait(position)

        assert before < position <= journal.durable
        await journal.close()

    async def test_events_come_back_equal_and_in_order(self, harness: JournalHarness) -> None:
        """Whatever an event holds survives a close and an open: big integers, odd texts, empty and large bodies."""
        journal = await harness.open()
        journal.append(_EVENTS)
        await journal.close()

        journal = await harness.open()

        assert await loaded(journal) == list(_EVENTS)
        assert journal.position == journal.durable == len(_EVENTS)
        await journal.close()

    async def test_batches_do_not_interleave(self, harness: JournalHarness) -> None:
        """Events that were handed over together stand together, whoever else appends."""
        journal = await harness.open()

        async def append_batches(appender: int) -> None:
            for batch in range(10):
                await journal.wait(journal.append([started(appender * 100 + batch)] * 3))

        await asyncio.gather(*map(append_batches, range(20)))

        found = numbers(await loaded(journal))
        assert found[0::3] == found[1::3] == found[2::3]
        assert sorted(found[0::3]) == sorted(a * 100 + b for a in range(20) for b in range(10))
        await journal.close()

    async def test_a_batch_of_any_size_is_taken(self, harness: JournalHarness) -> None:
        """A batch larger than any statement is stored whole."""
        journal = await harness.open()

        await journal.wait(journal.append([started(number) for number in range(2_000)]))

        assert numbers(await loaded(journal)) == list(range(2_000))
        await journal.close()

    async def test_an_event_that_cannot_be_stored_takes_its_batch_with_it(self, harness: JournalHarness) -> None:
        """`append` is all or nothing, and what it refuses is named without its values."""
        journal = await harness.open()

        for bad in (started(2**64), AttemptStarted("\ud800", 1, 1, "", "", alone=False)):
            with pytest.raises(EventRefused, match="AttemptStarted cannot be stored"):
                journal.append([started(1), bad])

        assert journal.position == 0
        await journal.wait(journal.append([started(3)]))
        assert numbers(await loaded(journal)) == [3]
        await journal.close()

    async def test_what_was_acknowledged_survives_a_crash(self, harness: JournalHarness) -> None:
        """After the process died, every acknowledged event is there, in order."""
        journal = await harness.open()
        for number in range(5):
            await journal.wait(journal.append([started(number)]))
        await harness.crash()

        journal = await harness.open()

        assert numbers(await loaded(journal)) == [0, 1, 2, 3, 4]
        assert journal.append([started(5)]) == 6
        await journal.close()

    async def test_close_commits_what_was_handed_over(self, harness: JournalHarness) -> None:
        """A close loses nothing, and a second one is harmless."""
        journal = await harness.open()
        journal.append([started(number) for number in range(10)])
        await asyncio.gather(journal.close(), journal.close())
        await journal.close()

        journal = await harness.open()

        assert numbers(await loaded(journal)) == list(range(10))
        await journal.close()

    async def test_a_closed_journal_takes_nothing(self, harness: JournalHarness) -> None:
        """Every use of a closed journal says that it is closed."""
        journal = await harness.open()
        await journal.close()

        with pytest.raises(JournalError, match="is closed"):
            journal.append([started(1)])
        with pytest.raises(JournalError, match="is closed"):
            await journal.wait(1)
        with pytest.raises(JournalError, match="is closed"):
            await journal.recover()
        with pytest.raises(JournalError, match="is closed"):
            await loaded(journal)
