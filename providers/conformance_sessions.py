"""The promises about session locks; where there are none, that they are refused."""

# ruff: noqa: N802, S101 - tests carry the numbers of what they prove, and they assert

from __future__ import annotations

import asyncio

import pytest

from queue_runtime.providers.conformance_harness import A, B, Desk, complete, message, needs
from queue_runtime.providers.errors import InvalidReceipt, SessionLocked, SessionLockLost, UnsupportedOperation
from queue_runtime.providers.port import HeldSession

__all__ = ["SessionPromises"]


class SessionPromises:
    """One holder a session, until its lock ends or is given back."""

    async def test_L38_sessions_are_refused_where_there_are_none_and_demanded_where_there_are(self, desk: Desk) -> None:
        """A queue that is asked for a way of receiving that it has not says so; one with emulated sessions has both."""
        able = desk.capabilities
        for is_there, work in (
            (not able.native_sessions, desk.provider.receive(desk.source, 1, 0)),
            (able.native_sessions or able.emulated_sessions, desk.provider.accept_session(desk.queue, A, 0)),
        ):
            if is_there:
                await work
                continue
            with pytest.raises(UnsupportedOperation):
                await work

    @needs("native_sessions", "emulated_sessions")
    async def test_K09_L09_a_session_has_one_holder(self, desk: Desk) -> None:
        """Of many that want one session exactly one gets it; the others learn until when it is taken."""
        await desk.send(message())

        wanted = (desk.provider.accept_session(desk.queue, A, 0) for _ in range(5))
        answers = await asyncio.gather(*wanted, return_exceptions=True)

        refused = [answer for answer in answers if isinstance(answer, SessionLocked)]
        (held,) = [answer for answer in answers if not isinstance(answer, BaseException) and answer is not None]
        assert len(refused) == 4
        assert {error.locked_until for error in refused} == {held.locked_until}
        assert held.session_id == A

    @needs("native_sessions", "emulated_sessions")
    async def test_C20_the_next_session_is_the_free_one_that_has_waited_longest(self, desk: Desk) -> None:
        """Accepting without a name gives the oldest head first, and never a session that is held."""
        await desk.send(message(b"b1", session_id=B), message(b"a1", session_id=A), message(b"b2", session_id=B))

        first, second = await _accept(desk), await _accept(desk)

        assert (first.session_id, second.session_id) == (B, A)
        assert [d.message.body for d in await first.receive(10, 0)] == [b"b1", b"b2"]
        assert [d.message.body for d in await second.receive(10, 0)] == [b"a1"]

    @needs("native_sessions", "emulated_sessions")
    async def test_K07_no_session_in_time_is_no_error(self, desk: Desk) -> None:
        """When no free session has messages, accepting the next answers None at the time-out."""
        await desk.send(message())
        await _accept(desk)

        accepting = asyncio.ensure_future(desk.provider.accept_session(desk.queue, None, 2))
        await desk.harness.pass_time(2.1)

        assert await accepting is None

    @needs("native_sessions", "emulated_sessions")
    async def test_who_waits_for_a_session_gets_the_one_that_is_sent_to(self, desk: Desk) -> None:
        """A message to a new session wakes who waits for any."""
        accepting = asyncio.ensure_future(desk.provider.accept_session(desk.queue, None, 20))
        await desk.harness.pass_time(0.1)
        await desk.send(message(b"news", session_id=B))

        session = await accepting
        assert session is not None
        assert session.session_id == B

    @needs("native_sessions", "emulated_sessions")
    async def test_K06_L10_a_session_whose_lock_ended_is_free_and_its_holder_learns_it(self, desk: Desk) -> None:
        """Another consumer takes it and loses nothing; every later operation of the first says that it is lost."""
        await desk.send(message(b"1"), message(b"2"))
        first = await _accept(desk)
        (delivery,) = await first.receive(1, 0)
        await desk.lapse()
        second = await _accept(desk)

        with pytest.raises(SessionLockLost):
            await first.receive(1, 0)
        with pytest.raises(SessionLockLost):
            await first.set_state(b"late")
        (renewal,) = await desk.provider.renew_sessions(desk.queue, [first])
        assert isinstance(renewal, SessionLockLost)
        (late,) = await desk.provider.settle(desk.source, [complete(delivery)])
        assert isinstance(late, (SessionLockLost, InvalidReceipt))
        assert [d.message.body for d in await second.receive(10, 0)] == [b"1", b"2"]

    @needs("native_sessions", "emulated_sessions")
    async def test_C19_a_stale_holder_frees_nobody_elses_lock(self, desk: Desk) -> None:
        """Closing a session that was lost, or closing it twice, leaves it to whoever holds it by now."""
        await desk.send(message())
        stale = await _accept(desk)
        await desk.lapse()
        await _accept(desk)

        await stale.close()
        await stale.close()

        with pytest.raises(SessionLocked):
            await desk.provider.accept_session(desk.queue, A, 0)

    @needs("native_sessions", "emulated_sessions")
    async def test_L09_C17_a_closed_session_is_free_at_once(self, desk: Desk) -> None:
        """Giving a session back returns what was not settled, in order, to the next holder."""
        await desk.send(message(b"1"), message(b"2"))
        first = await _accept(desk)
        await first.receive(1, 0)
        await first.close()

        second = await _accept(desk)

        again = await second.receive(2, 0)
        assert [d.message.body for d in again] == [b"1", b"2"]
        if desk.capabilities.native_sessions:
            assert [d.delivery_count for d in again] == [2, 1]

    @needs("native_sessions", "emulated_sessions")
    async def test_L09_C14_a_renewed_session_is_kept_with_its_messages(self, desk: Desk) -> None:
        """A renewal, a sibling's on another thread too, moves the end of the lock that the holder sees."""
        await desk.send(message(b"1"))
        session = await _accept(desk)
        (delivery,) = await session.receive(1, 0)
        before = session.locked_until
        sibling = desk.provider.sibling()

        async def renew() -> object:
            await sibling.open()
            (answer,) = await sibling.renew_sessions(desk.queue, [session])
            await sibling.close()
            return answer

        await desk.harness.pass_time(desk.capabilities.lock_s * 0.6)
        answer = await asyncio.to_thread(asyncio.run, renew())
        assert answer == session.locked_until
        assert session.locked_until > before
        await desk.harness.pass_time(desk.capabilities.lock_s * 0.6)
        assert await desk.provider.settle(desk.source, [complete(delivery)]) == [None]

    @needs("native_sessions", "emulated_sessions")
    async def test_L38_a_session_without_state_says_so(self, desk: Desk) -> None:
        """A queue that declares no session state refuses to keep any, and the session stays good; others keep it."""
        await desk.send(message())
        session = await _accept(desk)
        if desk.capabilities.session_state:
            await session.set_state(b"kept")
            assert await session.get_state() == b"kept"
        else:
            with pytest.raises(UnsupportedOperation):
                await session.set_state(b"lost")
        assert len(await session.receive(1, 0)) == 1

    @needs("session_state")
    async def test_C35_a_sessions_state_outlives_its_lock(self, desk: Desk) -> None:
        """State is kept for the session, whoever holds it, with or without messages, until it is removed."""
        await desk.send(message())
        first = await _accept(desk)
        assert await first.get_state() is None
        await first.set_state(b"\x00state")
        assert await desk.provider.settle(desk.source, [complete(d) for d in await first.receive(1, 0)]) == [None]
        await first.close()

        second = await desk.provider.accept_session(desk.queue, A, 0)
        assert second is not None
        assert await second.get_state() == b"\x00state"
        await second.set_state(None)
        assert await second.get_state() is None

    @needs("native_sessions", "emulated_sessions")
    async def test_K08_a_session_of_a_thousand_messages_keeps_its_order(self, desk: Desk) -> None:
        """There is no cap on what one holder drains from one session."""
        bodies = [str(number).encode() for number in range(1_000)]
        await desk.send(*(message(body) for body in bodies))
        session = await _accept(desk)

        drained: list[bytes] = []
        while deliveries := await session.receive(100, 0):
            await desk.provider.settle(desk.source, [complete(d) for d in deliveries])
            drained += [d.message.body for d in deliveries]

        assert drained == bodies


async def _accept(desk: Desk) -> HeldSession:
    session = await desk.provider.accept_session(desk.queue, None, desk.harness.patience_s)
    assert session is not None, "a session with messages is free"
    return session
