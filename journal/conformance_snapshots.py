"""Promises about snapshots: a shorter way to the same state."""

# ruff: noqa: S101 - a suite asserts

from __future__ import annotations

import asyncio

import pytest

from queue_runtime.journal.conformance_harness import JournalHarness, started
from queue_runtime.journal.errors import JournalUnavailable
from queue_runtime.journal.events import Event, RunStarted
from queue_runtime.journal.message_events import AttemptStarted, Completed, Outgoing, Received
from queue_runtime.journal.port import Journal
from queue_runtime.journal.state import EngineState, fold

__all__ = ["SnapshotPromises"]


def life(number: int) -> tuple[Event, ...]:
    """Return the events of a message that completed, and still has something to send."""
    key = f"pulls/{number}"
    outgoing = Outgoing("m", "labels", None, None, None, {"a": "b"}, None, None, b"\x00\xff" * 60)
    return (
        Received(
            key, number, "pulls", f"m{number}", f"p{number}", "octo/1", 10**20 + number, 1, None, None, None, None,
            {"é": "x"}, 2**60, 0, b"digest", "receipt", b"\xff" * 300,
        ),
        AttemptStarted(key, number, 1, "run", "", alone=False),
        Completed(key, number, 1, None, (outgoing,)),
    )  # fmt: skip


async def state_of(journal: Journal) -> tuple[int, EngineState]:
    """Fold what `load` yields; return it with how many events were read for it."""
    state, count = EngineState(), 0
    async for _, item in journal.load():
        if isinstance(item, EngineState):
            assert count == 0, "a snapshot comes first"
            state = item
        else:
            state.apply(item)
            count += 1
    return count, state


class SnapshotPromises:
    """`load` leads to the same state, with and without a snapshot."""

    async def test_a_snapshot_stands_for_the_events_before_it(self, harness: JournalHarness) -> None:
        """After a snapshot, `load` yields it with its position, no event, and the same state; also after an open."""
        events = (RunStarted("run", 1, "0.1", "digest", "host", 1, 10**12), *life(1), *life(2))
        journal = await harness.open()
        journal.append(events)

        await journal.snapshot(fold(events))

        assert journal.durable == len(events)
        assert await state_of(journal) == (0, fold(events))
        assert [position async for position, _ in journal.load()] == [len(events)]
        await journal.close()
        journal = await harness.open()
        assert await state_of(journal) == (0, fold(events))
        assert journal.position == len(events)
        await journal.close()

    async def test_events_after_a_snapshot_are_loaded_after_it(self, harness: JournalHarness) -> None:
        """A snapshot and the events after it fold into the state that all events fold into; the newest one counts."""
        journal = await harness.open()
        first, second, third = life(1), life(2), life(3)
        journal.append(first)
        await journal.snapshot(fold(first))
        journal.append(second)
        await journal.snapshot(fold(first + second))
        await journal.wait(journal.append(third))
        await harness.crash()

        journal = await harness.open()

        assert await state_of(journal) == (len(third), fold(first + second + third))
        assert [position async for position, _ in journal.load()] == [6, 7, 8, 9]
        await journal.close()

    async def test_a_snapshot_is_of_the_moment_it_is_asked_for(self, harness: JournalHarness) -> None:
        """Changing the state afterwards changes no snapshot, nor does changing what `load` yielded."""
        journal = await harness.open()
        journal.append(life(1))
        state = fold(life(1))
        await journal.snapshot(state)
        fold(life(2), state)

        fold(life(3), (await state_of(journal))[1])

        assert (await state_of(journal))[1] == fold(life(1))
        await journal.close()

    async def test_what_is_appended_while_a_snapshot_is_stored_is_kept_once(self, harness: JournalHarness) -> None:
        """The state may go on with what is appended meanwhile: snapshot and later events are all that happened."""
        journal = await harness.open()
        state, happened = EngineState(), [*life(1)]
        journal.append(happened)
        fold(happened, state)
        storing = asyncio.create_task(journal.snapshot(state))

        number = 1
        while not storing.done():
            number += 1
            happened += life(number)
            journal.append(life(number))
            fold(life(number), state)
            await asyncio.sleep(0)
        await storing
        await journal.wait(journal.position)
        await harness.crash()

        journal = await harness.open()
        assert journal.durable == len(happened)
        assert (await state_of(journal))[1] == fold(happened) == state
        await journal.close()

    async def test_a_snapshot_is_never_ahead_of_its_events(self, harness: JournalHarness) -> None:
        """If the events before it cannot be committed there is no snapshot, and the caller is told."""
        journal = await harness.open()
        await journal.wait(journal.append([started(1)]))
        harness.break_disk()
        journal.append(life(2))

        with pytest.raises(JournalUnavailable):
            await journal.snapshot(fold([started(1), *life(2)]))

        harness.mend_disk()
        await journal.recover()
        assert await state_of(journal) == (1, fold([started(1)]))
        await journal.close()
