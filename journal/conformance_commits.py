"""Promises about when something is durable, who hears of it, and what a disk that fails changes."""

# ruff: noqa: S101 - a suite asserts

from __future__ import annotations

import asyncio

import pytest

from queue_runtime.journal.conformance_harness import JournalHarness, loaded, numbers, started
from queue_runtime.journal.errors import JournalUnavailable

__all__ = ["CommitPromises"]


class CommitPromises:
    """Everybody who waits is told, once, and the truth."""

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
