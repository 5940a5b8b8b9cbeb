"""Sessions of an emulated queue: one holder each, until the lock ends."""

from __future__ import annotations

import pytest

from queue_runtime.tools.servicebus_emulator.broker.browse import next_session, peek, session_names
from queue_runtime.tools.servicebus_emulator.broker.message import Stored
from queue_runtime.tools.servicebus_emulator.broker.queue import Outcome, Queue, Settlement
from queue_runtime.tools.servicebus_emulator.broker.refusal import Condition, Refused
from queue_runtime.tools.servicebus_emulator.broker.sessions import Session, Sessions
from tests.unit.emulated import NOW, S, namespace, put, settle


def sessions_of(queue: Queue) -> Sessions:
    """Return the sessions of a queue that has them."""
    assert queue.sessions is not None
    return queue.sessions


def accept(queue: Queue, name: str, holder: int = 1, now: int = NOW) -> Session:
    """Take a session."""
    return sessions_of(queue).accept(name, holder, now)


def take(queue: Queue, session: Session, now: int = NOW) -> Stored:
    """Take the next message of a session, which there must be."""
    stored = queue.take(now, session=session)
    assert stored is not None
    return stored


def pulls() -> Queue:
    """Return a queue with two messages in session a and one in b."""
    space = namespace("pulls,sessions,lock=10")
    put(space, "pulls", "a1", "a2", session="a")
    put(space, "pulls", "b1", session="b")
    return space.find("pulls")


def test_a_session_has_one_holder_and_its_own_messages() -> None:
    """A held session is refused; its holder gets its messages in order, and another session's never."""
    queue = pulls()
    assert next_session(queue) == "a"
    session = accept(queue, "a")
    with pytest.raises(Refused, match="locked by another") as held:
        accept(queue, "a", holder=2)
    assert held.value.condition is Condition.SESSION_LOCKED
    assert [take(queue, session).content.body, take(queue, session).content.body] == [b"a1", b"a2"]
    assert queue.take(NOW, session=session) is None
    assert next_session(queue) == "b"
    accept(queue, "b", holder=2)
    assert next_session(queue) is None


@pytest.mark.parametrize(("is_lost", "counted"), [(True, 1), (False, 0)])
def test_what_a_holder_had_goes_back(is_lost: bool, counted: int) -> None:  # noqa: FBT001 - a case
    """Counted if the lock was lost, not if the session was closed; settled messages stay settled."""
    queue = pulls()
    session = accept(queue, "a")
    done, open_ = take(queue, session), take(queue, session)
    settle(queue, done, Outcome.COMPLETE)
    token = open_.token or b""
    queue.free(session, NOW, is_lost=is_lost)
    with pytest.raises(Refused) as lost:
        queue.settle(token, Settlement(Outcome.COMPLETE), NOW)
    assert lost.value.condition is Condition.LOCK_LOST
    again = take(queue, accept(queue, "a", holder=2))
    assert (again, again.delivery_count) == (open_, counted)


def test_a_session_lock_ends_unless_it_is_renewed() -> None:
    """Its messages' locks are its own; when it ends the holder is named as one who lost it."""
    queue = pulls()
    sessions = sessions_of(queue)
    session = accept(queue, "a", holder=7)
    first = take(queue, session)
    assert queue.next_at() == NOW + 10 * S
    assert sessions.renew("a", NOW + 5 * S) == NOW + 15 * S
    assert queue.locks.renew(first.token or b"", NOW + 5 * S) == NOW + 10 * S
    queue.tick(NOW + 14 * S)
    assert queue.lost == []
    with pytest.raises(Refused) as lost:
        queue.settle(first.token or b"", Settlement(Outcome.COMPLETE), NOW + 15 * S)
    assert lost.value.condition is Condition.SESSION_LOST
    queue.tick(NOW + 15 * S)
    assert (queue.lost, first.delivery_count, sessions.is_free("a")) == ([7], 1, True)
    with pytest.raises(Refused):
        sessions.renew("a", NOW + 15 * S)


def test_every_lock_can_end_at_once() -> None:
    """Then each session that was held is lost."""
    queue = pulls()
    sessions = sessions_of(queue)
    for holder, name in enumerate("ab"):
        accept(queue, name, holder)
    sessions.end_all(NOW)
    queue.tick(NOW)
    assert queue.lost == [0, 1]


def test_a_session_belongs_to_its_holder() -> None:
    """Who does not hold it is told that its lock is lost, whether somebody else does or nobody."""
    queue = pulls()
    sessions = sessions_of(queue)
    session = accept(queue, "a", holder=1)
    assert sessions.held("a", NOW, holder=1) is session
    for name, holder in (("a", 2), ("c", None)):
        with pytest.raises(Refused) as lost:
            sessions.held(name, NOW, holder)
        assert lost.value.condition is Condition.SESSION_LOST


def test_a_session_keeps_its_state() -> None:
    """A state stays when its holder goes, until it is cleared; a session without one is forgotten."""
    queue = pulls()
    sessions = sessions_of(queue)
    session = accept(queue, "x")
    sessions.set_state("x", b"parked", NOW)
    queue.free(session, NOW, is_lost=False)
    assert sessions.names(NOW - 1) == ["x"]
    assert session_names(queue, NOW - 1) == ["x"]
    assert session_names(queue, NOW) == []
    assert session_names(queue, None) == ["a", "b"]
    again = accept(queue, "x")
    assert again.state == b"parked"
    sessions.set_state("x", None, NOW)
    queue.free(again, NOW, is_lost=False)
    assert accept(queue, "x").state is None


def test_a_deferred_message_is_of_its_session() -> None:
    """Only its own session can receive it; peeking can look at one session or at all."""
    queue = pulls()
    session, other = accept(queue, "a"), accept(queue, "b", holder=2)
    deferred = take(queue, session)
    settle(queue, deferred, Outcome.DEFER)
    with pytest.raises(Refused):
        queue.fetch(deferred.sequence, NOW, session=other)
    assert queue.fetch(deferred.sequence, NOW, session=session) is deferred
    assert [stored.content.body for stored in peek(queue, 1, 9, "a")] == [b"a1", b"a2"]
    assert [stored.content.body for stored in peek(queue, 2, 1)] == [b"a2"]


def test_a_queue_without_sessions_frees_none() -> None:
    """A session of another queue means nothing to it."""
    space = namespace("q")
    queue = space.find("q")
    put(space, "q", "a")
    queue.free(Session("a"), NOW, is_lost=True)
    assert queue.take(NOW) is not None
    assert session_names(queue, NOW) == []
