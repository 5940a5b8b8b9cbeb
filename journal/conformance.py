"""What every journal must do, as a suite: subclass `JournalConformance` and give it a harness.

    class TestMyJournal(JournalConformance):
        @pytest.fixture
        def harness(self, tmp_path: Path) -> MyHarness:
            return MyHarness(tmp_path)

Needs pytest with pytest-asyncio in auto mode.
"""

# ruff: noqa: S101 - a suite asserts

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

import pytest

from queue_runtime.journal.errors import EventRefused, JournalError, JournalUnavailable
from queue_runtime.journal.events import Event
from queue_runtime.journal.message_events import AttemptStarted, Completed, Outgoing, Received, StepRecorded
from queue_runtime.journal.port import Journal

__all__ = ["JournalConformance", "JournalHarness"]


class JournalHarness(Protocol):
    """One journal, through restarts and faults."""

    async def open(self) -> Journal:
        """Open the journal; again, with what is durable in it, once the one opened before is closed or crashed."""
        ...

    async def crash(self) -> None:
        """Have the process that holds the journal die without a word."""
        ...

    def break_disk(self) -> None:
        """Let every write fail from now on."""
        ...

    def mend_disk(self) -> None:
        """Let writes succeed again."""
        ...


def started(number: int) -> AttemptStarted:
    """Return an event that can be told from others by its number."""
    return AttemptStarted(f"pulls/{number}", number, 1, "run", "", alone=False)


def numbers(events: Sequence[object]) -> list[int]:
    """Return the numbers of events that `started` made."""
    return [event.at for event in events if isinstance(event, AttemptStarted)]


async def loaded(journal: Journal) -> list[object]:
    """Return all that `load` yields, and check that positions have no gaps."""
    entries = [entry async for entry in journal.load()]
    assert [position for position, _ in entries] == list(range(1, len(entries) + 1))
    return [event for _, event in entries]


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


class JournalConformance:
    """The suite. Each test is a promise of `Journal`."""

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

    async def test_callbacks_hear_of_every_commit_before_those_who_wait(self, harness: JournalHarness) -> None:
        """`on_commit` is called with the durable position, without an error, before `wait` returns."""
        journal = await harness.open()
        heard: list[tuple[int, BaseException | None]] = []
        journal.on_commit(lambda durable, error: heard.append((durable, error)))

        for number in range(1, 4):
            await journal.wait(journal.append([started(number)]))
            assert heard[-1] == (number, None)

        await journal.close()

    async def test_a_callback_that_raises_stops_nothing(self, harness: JournalHarness) -> None:
        """Its error goes to the loop's exception handler; the next callback is called and the journal goes on."""
        journal = await harness.open()
        reported: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
        heard: list[int] = []
        error = ZeroDivisionError()

        def raise_error(_durable: int, _error: BaseException | None) -> None:
            raise error

        journal.on_commit(raise_error)
        journal.on_commit(lambda durable, _: heard.append(durable))
        for number in (1, 2):
            await journal.wait(journal.append([started(number)]))

        assert (heard, reported) == ([1, 2], [error, error])
        await journal.close()

    async def test_cancelling_one_waiter_disturbs_no_other(self, harness: JournalHarness) -> None:
        """Those who wait for the same commit wait on when one of them is cancelled."""
        journal = await harness.open()

        async def append_and_wait() -> None:
            await journal.wait(journal.append([started(1)]))

        cancelled, other = (asyncio.create_task(append_and_wait()) for _ in range(2))
        await asyncio.sleep(0)

        cancelled.cancel()
        await other

        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert journal.durable == 2
        await journal.close()

    async def test_waiting_for_what_is_durable_returns_at_once(self, harness: JournalHarness) -> None:
        """A waiter for a durable position needs no commit; one for a position never handed out is told so."""
        journal = await harness.open()
        await journal.wait(0)
        await journal.wait(journal.append([started(1)]))
        await journal.wait(1)

        with pytest.raises(ValueError, match="position 2 was never handed out"):
            await journal.wait(2)
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

    async def test_a_commit_that_fails_is_told_to_everybody(self, harness: JournalHarness) -> None:
        """Waiters and callbacks get `JournalUnavailable`, and nothing more is taken."""
        journal = await harness.open()
        await journal.wait(journal.append([started(1)]))
        heard: list[tuple[int, BaseException | None]] = []
        journal.on_commit(lambda durable, error: heard.append((durable, error)))
        harness.break_disk()
        waiters = [asyncio.create_task(journal.wait(journal.append([started(number)]))) for number in (2, 3)]

        errors = await asyncio.gather(*waiters, return_exceptions=True)

        assert [type(error) for error in errors] == [JournalUnavailable] * 2
        assert [(durable, type(error)) for durable, error in heard] == [(1, JournalUnavailable)]
        assert (journal.position, journal.durable) == (1, 1)
        with pytest.raises(JournalUnavailable):
            journal.append([started(4)])
        harness.mend_disk()
        await journal.close()

    async def test_recovery_goes_on_where_it_was(self, harness: JournalHarness) -> None:
        """`recover` fails until writes succeed; then lost positions are given out again, and nothing else is lost."""
        journal = await harness.open()
        await journal.wait(journal.append([started(1)]))
        harness.break_disk()
        with pytest.raises(JournalUnavailable):
            await journal.wait(journal.append([started(2)]))

        for _ in range(2):
            with pytest.raises(JournalUnavailable):
                await journal.recover()
            with pytest.raises(JournalUnavailable):
                journal.append([started(2)])
        harness.mend_disk()
        await journal.recover()

        assert journal.append([started(3)]) == 2
        await journal.wait(2)
        assert numbers(await loaded(journal)) == [1, 3]
        await journal.close()

    async def test_recovery_of_a_sound_journal_changes_nothing(self, harness: JournalHarness) -> None:
        """`recover` without a failure does not disturb what is being committed."""
        journal = await harness.open()
        position = journal.append([started(1)])

        await journal.recover()
        await journal.wait(position)

        assert numbers(await loaded(journal)) == [1]
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
