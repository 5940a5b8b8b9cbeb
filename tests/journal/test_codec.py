"""What an event says survives its row, and a row says what its event said or nothing."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import ClassVar, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from queue_runtime.journal.chain import Row
from queue_runtime.journal.codec import CODEC, UPCASTERS, Codec, Stored
from queue_runtime.journal.errors import EventRefused, JournalCorrupt, UnknownEvent
from queue_runtime.journal.event_shape import pack_fields
from queue_runtime.journal.events import EVENT_TYPES, AttemptStarted, Duplicate, Event, Received, Settled, StepRecorded
from queue_runtime.journal.message_events import Disposition
from queue_runtime.journal.plain import unpack
from tests.journal.examples import EVENTS, SECRET, instances, received, started


@pytest.mark.parametrize("cls", EVENT_TYPES, ids=lambda cls: cast("type", cls).__name__)
def test_every_type_of_event_comes_back_equal(cls: type[Event]) -> None:
    """Whatever its fields hold - big integers, odd texts, any bytes - an event is what its row says."""

    @given(instances(cls))
    def check(event: Event) -> None:
        row, _ = CODEC.encode(event)

        assert CODEC.decode(row, 1) == event
        assert row[:7] == (
            cls.KIND, cls.VERSION, *(getattr(event, name, None) for name in ("key", "session_id", "attempt", "at")),
            getattr(event, "error_kind", None),
        )  # fmt: skip

    check()


def test_kinds_are_numbers_of_one_type_each() -> None:
    """No two types share a kind, and versions begin at 1."""
    assert len({cls.KIND for cls in EVENT_TYPES}) == len(EVENT_TYPES)
    assert all(cls.VERSION >= 1 for cls in EVENT_TYPES)


@given(st.sampled_from(EVENT_TYPES), st.binary(max_size=60), st.none() | st.binary(max_size=60), st.integers(0, 3))
@example(Received, b"\x91\xc1", b"(\xb5/\xfd", 1)
@example(Received, b"\xdd\xff\xff\xff\xff", None, 0)
def test_any_bytes_decode_to_an_event_or_to_corrupt(
    cls: type[Event], data: bytes, body: bytes | None, form: int
) -> None:
    """What nobody wrote raises `JournalCorrupt` with its position, or is an event that has every field."""
    row: Row = (cls.KIND, cls.VERSION, "key", "session", 1, 1, "kind", data, form, b"", 0, body)

    with suppress(JournalCorrupt):
        event = CODEC.decode(row, 7)
        assert CODEC.decode(CODEC.encode(event)[0], 7) == event


def test_what_does_not_decode_is_corrupt_at_its_position() -> None:
    """`JournalCorrupt` names the position of the row that nobody wrote."""
    row, _ = CODEC.encode(started(1))

    with pytest.raises(JournalCorrupt) as caught:
        CODEC.decode((*row[:7], b"\xc1", *row[8:]), 7)

    assert caught.value.position == 7


@given(EVENTS, st.data())
def test_a_cut_row_is_never_half_an_event(event: Event, data: st.DataObject) -> None:
    """A row whose data ends early does not decode."""
    row, _ = CODEC.encode(event)
    end = data.draw(st.integers(0, len(row[7]) - 1))

    with pytest.raises(JournalCorrupt):
        CODEC.decode((*row[:7], row[7][:end], *row[8:]), 1)


@pytest.mark.parametrize(
    "bad",
    [
        replace(cast("AttemptStarted", started(1)), at=2**63),
        replace(cast("AttemptStarted", started(1)), attempt=2**63),
        replace(cast("AttemptStarted", started(1)), route="\ud800"),
        replace(cast("AttemptStarted", started(1)), route=cast("str", object())),
        replace(cast("AttemptStarted", started(1)), attempt=cast("int", "one")),
        replace(cast("AttemptStarted", started(1)), alone=cast("bool", 1)),
        replace(cast("Received", received(1)), body=cast("bytes", "text")),
        replace(cast("Received", received(1)), attributes=cast("Mapping[str, str]", {"a": 1})),
        cast("Event", "no event"),
    ],
    ids=[
        "instant",
        "attempt",
        "surrogate",
        "object",
        "text for int",
        "int for bool",
        "text body",
        "mapping",
        "no event",
    ],
)
def test_what_would_not_come_back_equal_is_refused(bad: Event) -> None:
    """An event with a value of another type or range is refused before it is stored, however often it is tried."""
    for good in (started(1), received(1)):
        CODEC.encode(good)
    for _ in range(2):
        with pytest.raises(EventRefused):
            CODEC.encode(bad)


def test_a_refusal_says_nothing_of_bodies_and_receipts() -> None:
    """The text of a refusal names the type of the event, not what it holds."""
    bad = replace(cast("Received", received(1)), at=2**70)

    with pytest.raises(EventRefused, match="Received cannot be stored") as caught:
        CODEC.encode(bad)

    assert "nobody" not in str(caught.value)
    assert "receipt" not in str(caught.value)


def test_a_body_that_compresses_is_stored_compressed_and_another_as_it_is() -> None:
    """The form of a body is the smaller one, and its digest is that of the stored bytes."""
    small, large = (CODEC.encode(received(1, body))[0] for body in (b"\x01", SECRET * 50))

    assert (small[8], small[11]) == (0, b"\x01")
    assert large[8] == 1
    assert len(large[11] or b"") < 200
    assert SECRET not in (large[11] or b"")


# --- versions --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SettledLater:
    """`Settled`, two versions from now: with a number of tries, and of a queue that older events did not name."""

    KIND: ClassVar[int] = Settled.KIND
    VERSION: ClassVar[int] = 3

    key: str
    at: int
    provider_id: str
    disposition: Disposition
    tries: int
    queue: str


def _with_tries(stored: Stored) -> Stored:
    return stored._replace(fields=(*stored.fields, 1))


def _with_queue(stored: Stored) -> Stored:
    assert stored.key is not None
    return stored._replace(fields=(*stored.fields, stored.key.partition("/")[0]))


_LATER = cast("tuple[type[Event], ...]", (SettledLater,))


def test_K35_an_older_event_is_brought_up_step_by_step() -> None:
    """A row of version 1 passes through every upcaster, in order, and is the event of today."""
    codec = Codec(_LATER, {(Settled.KIND, 1): _with_tries, (Settled.KIND, 2): _with_queue})
    row, _ = CODEC.encode(Settled("pulls/1", 5, "p", Disposition.COMPLETE))

    assert codec.decode(row, 1) == SettledLater("pulls/1", 5, "p", Disposition.COMPLETE, 1, "pulls")


def test_K35_a_duplicate_without_the_digest_of_its_body_is_read() -> None:
    """The rows of version 1 are those of today without one field, whose value is then unknown."""
    today = Duplicate("pulls/1", 5, "pulls", "m", "p", None, 2, 9, b"digest", "receipt")
    row, _ = CODEC.encode(today)
    queue, message_id, provider_id, count, until, _, receipt = cast("list[object]", unpack(row[7]))
    older: Row = (
        *row[:1],
        1,
        *row[2:7],
        pack_fields((queue, message_id, provider_id, count, until, receipt)),
        *row[8:],
    )

    assert CODEC.decode(older, 1) == replace(today, body_digest=b"")


def test_K35_a_message_without_its_senders_number_is_read() -> None:
    """The rows of version 1 are those of version 2 without its last three fields: nobody had numbered the message."""
    today = replace(cast("Received", received(1)), sender="me", sender_epoch=5, sender_number=7)
    row, _ = CODEC.encode(today)
    fields = cast("list[object]", unpack(row[7]))
    older: Row = (*row[:1], 1, *row[2:7], pack_fields(tuple(fields[:-4])), *row[8:])

    assert CODEC.decode(row, 1) == today
    assert CODEC.decode(older, 1) == received(1)


def test_K35_a_message_without_the_session_that_it_was_sent_with_is_read() -> None:
    """The rows of version 2 are those of today without the last field: the session id is the one that it came with."""
    today = replace(cast("Received", received(1)), sent_session_id="from the sender")
    row, _ = CODEC.encode(today)
    fields = cast("list[object]", unpack(row[7]))
    older: Row = (*row[:1], 2, *row[2:7], pack_fields(tuple(fields[:-1])), *row[8:])

    assert CODEC.decode(row, 1) == today
    assert CODEC.decode(older, 1) == received(1)


def test_K35_an_attempt_without_its_span_is_read() -> None:
    """The rows of version 1 are those of today without the last field."""
    today = replace(cast("AttemptStarted", started(1)), trace_parent="00-1-2-01")
    row, _ = CODEC.encode(today)
    fields = cast("list[object]", unpack(row[7]))
    older: Row = (*row[:1], 1, *row[2:7], pack_fields(tuple(fields[:-1])), *row[8:])

    assert CODEC.decode(row, 1) == today
    assert CODEC.decode(older, 1) == started(1)


def test_a_version_without_its_upcaster_is_unknown() -> None:
    """Where a step is missing nobody guesses."""
    codec = Codec(_LATER, {(Settled.KIND, 1): _with_tries})
    row, _ = CODEC.encode(Settled("pulls/1", 5, "p", Disposition.COMPLETE))

    with pytest.raises(UnknownEvent) as caught:
        codec.decode(row, 1)

    assert (caught.value.kind, caught.value.version) == (Settled.KIND, 2)


def test_every_version_in_use_has_its_upcasters() -> None:
    """For each type there is a step from every version before its present one."""
    needed = {(cls.KIND, version) for cls in EVENT_TYPES for version in range(1, cls.VERSION)}

    assert set(UPCASTERS) == needed


@pytest.mark.parametrize(("kind", "version"), [(999, 1), (StepRecorded.KIND, 99)], ids=["kind", "version"])
def test_K35_what_a_newer_version_wrote_is_unknown(kind: int, version: int) -> None:
    """A kind or version of the future is refused by number, with the way out."""
    row: Row = (kind, version, None, None, None, 0, None, b"", None, None, 0, None)

    with pytest.raises(UnknownEvent, match="upgrade") as caught:
        CODEC.decode(row, 1)

    assert (caught.value.kind, caught.value.version) == (kind, version)
