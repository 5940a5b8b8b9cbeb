"""Session strategies: one session for what belongs together, and never one for two."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queue_runtime.providers.errors import ConfigurationError, InvalidFormat, OutOfRange
from queue_runtime.providers.sessions import (
    CompositeKey,
    Extractor,
    Fallback,
    Fields,
    NoOrdering,
    SingleField,
    TimePartitioned,
)

EVENT = Fields({"repository": "octo/repo", "number": "17", "at": "2026-01-31T13:30:00+01:00"})
VALUES = st.text("ab-%", min_size=1, max_size=5)


def test_c4_a_single_field_is_the_session() -> None:
    """With a prefix, without one, and none where the field is missing."""
    assert SingleField("repository").generate_key(EVENT) == "octo/repo"
    assert SingleField("number", prefix="pr").generate_key(EVENT) == "pr-17"
    assert SingleField("branch").generate_key(EVENT) is None


def test_c5_fields_are_joined_in_order_and_all_needed() -> None:
    """A missing field, or no fields at all, is no session."""
    assert CompositeKey(["repository", "number"]).generate_key(EVENT) == "octo/repo-17"
    assert CompositeKey(["number", "repository"], "#").generate_key(EVENT) == "17#octo/repo"
    assert CompositeKey(["repository", "branch"]).generate_key(EVENT) is None
    assert CompositeKey([]).generate_key(EVENT) is None


@pytest.mark.parametrize("separator", ["-", "--", "a-"])
@given(one=st.tuples(VALUES, VALUES), other=st.tuples(VALUES, VALUES))
def test_c5_different_values_are_different_sessions(
    separator: str, one: tuple[str, str], other: tuple[str, str]
) -> None:
    """No separator inside a value makes two combinations one session."""
    strategy = CompositeKey(["a", "b"], separator)
    keys = [strategy.generate_key(Fields({"a": a, "b": b})) for a, b in (one, other)]

    assert (keys[0] == keys[1]) == (one == other)


@pytest.mark.parametrize("separator", ["", "%", "-%"])
def test_a_separator_that_cannot_keep_values_apart_is_refused(separator: str) -> None:
    """The strategy is refused where it is made."""
    with pytest.raises(ConfigurationError, match="separator"):
        CompositeKey(["a"], separator)


def test_c3_a_key_that_is_no_session_id_is_an_error() -> None:
    """An id too long is not silently no order."""
    with pytest.raises(OutOfRange):
        SingleField("x").generate_key(Fields({"x": "x" * 129}))


def test_c6_no_ordering_is_never_a_session() -> None:
    """Whatever is known about a message."""
    assert NoOrdering().generate_key(EVENT) is None


def test_c7_the_first_key_found_wins() -> None:
    """Strategies behind the one that found a key are not asked."""

    class Untouchable:
        def generate_key(self, extractor: Extractor) -> None:
            raise AssertionError(extractor)

    assert Fallback([SingleField("branch"), SingleField("number"), Untouchable()]).generate_key(EVENT) == "17"
    assert Fallback([SingleField("branch"), NoOrdering()]).generate_key(EVENT) is None


def test_c8_a_session_is_parted_by_the_hours_since_the_epoch() -> None:
    """Buckets never repeat, and follow from the message and not from the clock."""
    strategy = TimePartitioned(SingleField("repository"), at_field="at", hours=4)
    next_day = Fields({"repository": "octo/repo", "at": "2026-02-01T12:30:00+00:00"})

    assert strategy.generate_key(EVENT) == f"octo/repo-p{1_769_862_600 // 14_400}"
    assert strategy.generate_key(next_day) != strategy.generate_key(EVENT)
    assert strategy.generate_key(Fields({"repository": "octo/repo"})) is None
    assert TimePartitioned(NoOrdering(), at_field="at").generate_key(EVENT) is None


@pytest.mark.parametrize("at", ["yesterday", "2026-01-31T12:00:00"])
def test_c8_an_instant_that_cannot_be_read_is_an_error(at: str) -> None:
    """Neither a text that is no instant nor one without a zone is a bucket."""
    with pytest.raises(InvalidFormat, match="at"):
        TimePartitioned(SingleField("r"), at_field="at").generate_key(Fields({"r": "x", "at": at}))


def test_c8_a_bucket_has_a_length() -> None:
    """The strategy is refused where it is made."""
    with pytest.raises(ConfigurationError, match="hours"):
        TimePartitioned(NoOrdering(), at_field="at", hours=0)
