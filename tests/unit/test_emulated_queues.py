"""A queue of the emulator: what it gives, when it gives it again, and where messages go that leave it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import pytest

from queue_runtime.tools.servicebus_emulator.broker.browse import Counts, count, next_session, peek
from queue_runtime.tools.servicebus_emulator.broker.message import State
from queue_runtime.tools.servicebus_emulator.broker.namespace import (
    DEAD_LETTERS,
    MAX_HOPS,
    TRANSFER_DEAD_LETTERS,
    Namespace,
)
from queue_runtime.tools.servicebus_emulator.broker.queue import Outcome, Settlement
from queue_runtime.tools.servicebus_emulator.broker.refusal import Condition, Refused
from queue_runtime.tools.servicebus_emulator.emulated_queue import EmulatedQueue, parse_queue
from tests.unit.emulated import NOW, S, bodies, namespace, put, settle, taken


@contextmanager
def refused(condition: Condition) -> Generator[None]:
    """Expect a refusal of one condition."""
    with pytest.raises(Refused) as caught:
        yield
    assert caught.value.condition is condition


def test_messages_come_in_their_order_and_go_back_to_their_place() -> None:
    """What is given back is delivered before what was sent later, counted if it was abandoned."""
    space = namespace("q")
    queue = space.find("Q")
    put(space, "q", "a", "b", "c")
    one, two = taken(queue), taken(queue)
    settle(queue, two, Outcome.RELEASE)
    settle(queue, one, Outcome.ABANDON)
    assert [(again.content.body, again.delivery_count) for again in (taken(queue), taken(queue))] == [
        (b"a", 1),
        (b"b", 0),
    ]
    assert taken(queue).content.body == b"c"
    assert queue.take(NOW) is None


def test_a_settled_lock_settles_nothing_more() -> None:
    """A second settlement is refused, and so is a renewal."""
    space = namespace("q")
    queue = space.find("q")
    put(space, "q", "a")
    stored = taken(queue)
    token = stored.token or b""
    settle(queue, stored, Outcome.COMPLETE)
    with refused(Condition.LOCK_LOST):
        queue.settle(token, Settlement(Outcome.COMPLETE), NOW)
    with refused(Condition.LOCK_LOST):
        queue.locks.renew(token, NOW)
    assert bodies(queue) == []


def test_a_lock_ends_unless_it_is_renewed() -> None:
    """A renewed lock lasts its full time again; one that has ended is lost at once, and its message comes back."""
    space = namespace("q,lock=10")
    queue = space.find("q")
    put(space, "q", "a", "b")
    one, two = taken(queue), taken(queue)
    assert queue.next_at() == NOW + 10 * S
    assert queue.locks.renew(one.token or b"", NOW + 5 * S) == NOW + 15 * S
    with refused(Condition.LOCK_LOST):
        queue.settle(two.token or b"", Settlement(Outcome.COMPLETE), NOW + 10 * S)
    queue.tick(NOW + 10 * S)
    assert taken(queue, NOW + 10 * S) is two
    assert (two.delivery_count, one.delivery_count) == (1, 0)
    queue.locks.end_all(NOW + 11 * S)
    queue.tick(NOW + 11 * S)
    assert (two.delivery_count, one.delivery_count) == (2, 1)


def test_a_message_that_fails_too_often_or_is_given_up_is_a_dead_letter() -> None:
    """It is in the sub-queue under a new number with its old one, its reason and its count; there it stays."""
    space = namespace("q,deliveries=2")
    queue, dead = space.find("q"), space.find("q" + DEAD_LETTERS)
    put(space, "q", "a", "b")
    one, two = taken(queue), taken(queue)
    settle(queue, two, Outcome.DEAD_LETTER)
    settle(queue, one, Outcome.ABANDON)
    settle(queue, taken(queue), Outcome.ABANDON)
    first, second = taken(dead), taken(dead)
    assert (first.content.body, first.dead_letter, first.first_sequence) == (b"b", ("why", "because"), 2)
    assert (second.dead_letter or ("",))[0] == "MaxDeliveryCountExceeded"
    assert (second.delivery_count, second.first_sequence) == (2, 1)
    with refused(Condition.NOT_ALLOWED):
        settle(dead, first, Outcome.DEAD_LETTER)
    for _ in range(3):
        settle(dead, first, Outcome.ABANDON)
        first = taken(dead)
    assert count(queue, dead) == Counts(active=0, locked=0, deferred=0, scheduled=0, dead_lettered=2)


def test_a_deferred_message_is_given_by_its_number_alone() -> None:
    """It is not delivered; received by its number it is locked, and abandoned it is deferred as before."""
    space = namespace("q")
    queue = space.find("q")
    put(space, "q", "a", "b")
    settle(queue, taken(queue), Outcome.DEFER)
    assert taken(queue).content.body == b"b"
    with refused(Condition.MESSAGE_NOT_FOUND):
        queue.fetch(2, NOW)
    deferred = queue.fetch(1, NOW)
    with refused(Condition.MESSAGE_NOT_FOUND):
        queue.fetch(1, NOW)
    settle(queue, deferred, Outcome.ABANDON)
    assert (deferred.state, deferred.delivery_count) == (State.DEFERRED, 1)
    assert queue.fetch(1, NOW, delete=True) is deferred
    with refused(Condition.MESSAGE_NOT_FOUND):
        queue.fetch(1, NOW)


def test_a_receiver_that_deletes_holds_no_lock() -> None:
    """What it takes is gone."""
    space = namespace("q")
    queue = space.find("q")
    put(space, "q", "a")
    stored = queue.take(NOW, delete=True)
    assert stored is not None
    assert (stored.token, bodies(queue), queue.store.size) == (None, [], 0)


def test_a_scheduled_message_is_enqueued_in_its_time() -> None:
    """It waits, can be cancelled once, and takes a new number and its time to live when it is enqueued."""
    space = namespace("q,ttl=5")
    queue = space.find("q")
    one, two = put(space, "q", "a", "b", due_at=NOW + S)
    queue.cancel(one)
    with refused(Condition.MESSAGE_NOT_FOUND):
        queue.cancel(one)
    put(space, "q", "c", due_at=NOW)
    with refused(Condition.MESSAGE_NOT_FOUND):
        queue.cancel(3)
    assert [(stored.sequence, stored.state) for stored in peek(queue, 1, 9)] == [
        (two, State.SCHEDULED),
        (3, State.ACTIVE),
    ]
    assert queue.next_at() == NOW + S
    queue.tick(NOW + S)
    assert [(stored.sequence, stored.expires_at) for stored in peek(queue, 1, 9)] == [
        (3, NOW + 5 * S),
        (4, NOW + 6 * S),
    ]
    assert peek(queue, 4, 9)[0].content.body == b"b"


@pytest.mark.parametrize(("option", "dead"), [("", []), (",dead-letter-expired", ["a", "b", "c", "d"])])
def test_what_expires_is_dropped_or_dead_lettered(option: str, dead: list[str]) -> None:
    """The shorter of two limits counts; a locked message expires when it is given back, or set aside."""
    space = namespace("q,ttl=10,lock=60" + option)
    queue = space.find("q")
    put(space, "q", "a", "b")
    locked, deferred = taken(queue), taken(queue)
    put(space, "q", "c", ttl_us=S)
    put(space, "q", "d", ttl_us=99 * S)
    queue.tick(NOW + 2 * S)
    assert bodies(queue) == ["a", "b", "d"]
    late = NOW + 10 * S
    assert queue.take(late) is None
    queue.tick(late)
    assert bodies(queue) == ["a", "b"]
    settle(queue, locked, Outcome.RELEASE, late)
    settle(queue, deferred, Outcome.DEFER, late)
    assert bodies(queue) == []
    assert sorted(bodies(space.find("q" + DEAD_LETTERS))) == dead


def test_a_message_id_is_taken_once_in_its_window() -> None:
    """A copy is accepted and dropped until the window is over; messages without an id are no copies."""
    space = namespace("q,duplicates=10")
    queue = space.find("q")
    assert put(space, "q", "a", message_id="m") == [1]
    assert put(space, "q", "b", message_id="m", now=NOW + 9 * S) == [0]
    assert put(space, "q", "c", "d", now=NOW + 9 * S) == [2, 3]
    assert put(space, "q", "e", message_id="m", now=NOW + 10 * S) == [4]
    assert bodies(queue) == ["a", "c", "d", "e"]


def test_a_batch_is_taken_whole_or_not_at_all() -> None:
    """What has no room, or no session where one is needed, keeps all of its batch out."""
    space = namespace("small,max-bytes=3", "pulls,sessions")
    with refused(Condition.QUOTA):
        put(space, "small", "aa", "bb")
    with refused(Condition.NOT_ALLOWED):
        put(space, "pulls", "a")
    assert (bodies(space.find("small")), bodies(space.find("pulls"))) == ([], [])
    put(space, "small", "aaa")


def test_settling_can_change_properties() -> None:
    """Changes add up over settlements and go with the message."""
    space = namespace("q")
    queue = space.find("q")
    put(space, "q", "a")
    for key in (b"x", b"y"):
        queue.settle(taken(queue).token or b"", Settlement(Outcome.ABANDON, changes={key: b"1"}), NOW)
    assert taken(queue).changes == {b"x": b"1", b"y": b"1"}


def test_messages_are_forwarded_or_kept_apart() -> None:
    """They keep their first number; what cannot move on is in the transfer dead letters, as is what runs in circles."""
    space = namespace("first,forward=second", "second,forward=third", "third", "lost,forward=gone", "ring,forward=ring")
    put(space, "first", "a")
    (moved,) = peek(space.find("third"), 1, 9)
    assert (moved.content.body, moved.first_sequence) == (b"a", 1)
    put(space, "lost", "b")
    (lost,) = peek(space.find("lost" + TRANSFER_DEAD_LETTERS), 1, 9)
    assert (lost.dead_letter or ("",))[0] == Condition.NOT_FOUND
    put(space, "ring", "c")
    (ringed,) = peek(space.find("ring" + TRANSFER_DEAD_LETTERS), 1, 9)
    assert (ringed.dead_letter or ("",))[0] == Condition.NOT_ALLOWED
    assert f"{MAX_HOPS}" in (ringed.dead_letter or ("", ""))[1]
    later = put(space, "first", "d", due_at=NOW + S)
    space.find("first").tick(NOW + S)
    assert later == [2]
    assert bodies(space.find("third")) == ["a", "d"]


def test_a_message_is_forwarded_four_times_at_the_most() -> None:
    """The fifth hop of a chain ends in the transfer dead letters of the queue before it."""
    space = namespace(*(f"q{number},forward=q{number + 1}" for number in range(5)), "q5")
    put(space, "q1", "four hops")
    assert bodies(space.find("q5")) == ["four hops"]
    put(space, "q0", "five hops")
    assert bodies(space.find("q5")) == ["four hops"]
    assert bodies(space.find("q4" + TRANSFER_DEAD_LETTERS)) == ["five hops"]


def test_a_copy_that_is_forwarded_is_dropped_at_its_end() -> None:
    """The target's duplicate window counts, and nothing is dead-lettered for it."""
    space = namespace("first,forward=second", "second,duplicates=60")
    put(space, "first", "a", message_id="m")
    put(space, "first", "b", message_id="m")
    assert bodies(space.find("second")) == ["a"]
    assert bodies(space.find("first" + TRANSFER_DEAD_LETTERS)) == []


def test_queues_come_and_go() -> None:
    """A name is taken once; a queue that is gone takes its sub-queues along, and what is left of it goes nowhere."""
    space = namespace("q,deliveries=1")
    queue = space.find("q")
    put(space, "q", "a")
    with refused(Condition.NOT_ALLOWED):
        space.add(parse_queue("Q"))
    assert [gone.name for gone in space.remove("q")] == ["q", "q" + DEAD_LETTERS, "q" + TRANSFER_DEAD_LETTERS]
    settle(queue, taken(queue), Outcome.ABANDON)
    with refused(Condition.NOT_FOUND):
        space.find("q")
    with refused(Condition.NOT_FOUND):
        space.remove("q")


def test_a_disabled_queue_is_not_to_be_had() -> None:
    """Neither it nor its dead letters are."""
    space = namespace("q")
    space.disabled.add("q")
    for path in ("q", "q" + DEAD_LETTERS):
        with refused(Condition.DISABLED):
            space.find(path)


def test_only_queues_with_something_new_are_stirred() -> None:
    """Who serves them hears of the queue that was sent to, and of the dead letters that something went to."""
    space: Namespace = namespace("q", "other")
    queue = space.find("q")
    put(space, "q", "a")
    assert space.stirred == {queue}
    space.stirred.clear()
    settle(queue, taken(queue), Outcome.DEAD_LETTER)
    assert space.stirred == {space.find("q" + DEAD_LETTERS)}
    assert next_session(queue) is None


def test_a_queue_is_described_in_a_text() -> None:
    """Each option of a text sets its field, and the defaults are those of a plain name."""
    text = "pulls,sessions,lock=30,deliveries=3,ttl=1.5,duplicates=60,dead-letter-expired,forward=a/b,max-message=9"
    assert parse_queue(text + ",max-bytes=99") == EmulatedQueue(
        name="pulls",
        sessions=True,
        lock_s=30,
        max_delivery_count=3,
        ttl_s=1.5,
        duplicate_window_s=60,
        dead_letter_expired=True,
        forward_to="a/b",
        max_message_bytes=9,
        max_bytes=99,
    )
    assert parse_queue("orders") == EmulatedQueue(name="orders")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("orders,color=red", "color"),
        ("orders,lock", "lock"),
        ("orders,sessions=1", "sessions"),
        ("orders,lock=soon", "soon"),
        ("orders,deliveries=0", "max_delivery_count"),
        ("a b", "a b"),
        ("/a", "/a"),
        ("", "''"),
    ],
)
def test_a_text_that_describes_no_queue_says_why(text: str, named: str) -> None:
    """The error names the option, or the value, that cannot be."""
    with pytest.raises(ValueError, match=named):
        parse_queue(text)
