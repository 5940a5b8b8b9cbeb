"""Bytes that a peer may send, and must not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queue_runtime.tools.servicebus_emulator.amqp.codec import CodecError, decode, end_of, items, pairs
from queue_runtime.tools.servicebus_emulator.amqp.encode import (
    array,
    binary,
    list_of,
    long,
    long_item,
    map_of,
    string,
    timestamp,
    uint,
    ulong,
)

encoded = st.recursive(
    st.one_of(
        st.binary(max_size=300).map(binary),
        st.text(max_size=300).map(string),
        st.integers(0, (1 << 32) - 1).map(uint),
        st.integers(0, (1 << 64) - 1).map(ulong),
        st.integers(-(1 << 63), (1 << 63) - 1).map(long),
        st.lists(st.integers(-(1 << 63), (1 << 63) - 1).map(long_item), max_size=40).map(
            lambda all_: array(0x81, all_)
        ),
    ),
    lambda inner: (
        st.lists(inner, max_size=8).map(list_of)
        | st.dictionaries(st.text(max_size=9).map(string), inner, max_size=8).map(map_of)
    ),
    max_leaves=20,
)


@given(encoded, st.binary(max_size=9))
def test_a_value_ends_where_it_ends(value: bytes, rest: bytes) -> None:
    """Skipping and decoding find the same end, whatever follows."""
    assert end_of(value + rest, 0) == len(value)
    assert decode(value + rest, 0)[1] == len(value)


@given(st.binary(max_size=200))
def test_what_is_no_value_is_an_error_of_its_own(data: bytes) -> None:
    """Any bytes are either a value or a `CodecError`: nothing else comes out, and none takes for ever."""
    texts: list[str] = []
    for read in (decode, end_of, items, pairs):
        try:
            read(data, 0)
        except CodecError as error:
            texts.append(str(error))
    assert all(texts)


def test_an_array_cannot_announce_more_than_it_holds() -> None:
    """Four thousand million elements that take no byte each are refused, not counted out."""
    with pytest.raises(CodecError, match="4294967295 elements"):
        decode(b"\xf0\x00\x00\x00\x05\xff\xff\xff\xff\x40", 0)


def test_values_keep_their_numbers() -> None:
    """Numbers come back as they were, at both ends of what their types hold."""
    for value in (0, 1, 255, 256, (1 << 32) - 1):
        assert decode(uint(value), 0)[0] == value
    for value in (-(1 << 63), -1, 0, (1 << 63) - 1):
        assert decode(long(value), 0)[0] == decode(timestamp(value), 0)[0] == value
    assert decode(list_of([]), 0)[0] == []
    assert pairs(b"\x40") == {}
