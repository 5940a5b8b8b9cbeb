"""The envelope carries every message, and its decoder takes nothing else."""

import base64
from collections.abc import Callable
from datetime import timedelta
from typing import cast

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from queue_runtime.providers.envelope import MAX_TEXT, decode, encode
from queue_runtime.providers.errors import SerializationError
from queue_runtime.providers.message import Message

pack = cast("Callable[[object], bytes]", msgpack.packb)
PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=128)
MESSAGES = st.builds(
    Message,
    st.binary(max_size=200),
    message_id=st.text(min_size=1, max_size=50),
    session_id=st.none() | PRINTABLE,
    correlation_id=st.none() | st.text(max_size=20),
    content_type=st.none() | st.text(max_size=20),
    attributes=st.dictionaries(st.text(min_size=1, max_size=10), st.text(max_size=10), max_size=12),
    time_to_live=st.none() | st.timedeltas(timedelta(microseconds=1), timedelta(days=14)),
)
WHOLE = {"v": 1, "id": "m", "body": b"secret"}
BROKEN: dict[str, object] = {
    "no map": [1, 2],
    "no version": {"id": "m", "body": b"secret"},
    "a later version": {**WHOLE, "v": 2},
    "a version that only compares equal": {**WHOLE, "v": True},
    "no id": {"v": 1, "body": b"secret"},
    "an empty id": {**WHOLE, "id": ""},
    "a body that is text": {**WHOLE, "body": "secret"},
    "an id that is bytes": {**WHOLE, "id": b"m"},
    "a session that is no session id": {**WHOLE, "sid": "secret\n"},
    "an unknown part": {**WHOLE, "x": 1},
    "a key that is no text": {**WHOLE, 1: 1},
    "attributes that are a list": {**WHOLE, "attrs": []},
    "an attribute that is no text": {**WHOLE, "attrs": {"a": 1}},
    "a time to live of nothing": {**WHOLE, "ttl": 0},
    "a time to live beyond all time": {**WHOLE, "ttl": 2**63},
    "a time to live that is a fraction": {**WHOLE, "ttl": 1.5},
    "an extension": {**WHOLE, "body": msgpack.ExtType(7, b"secret")},
    "a timestamp": {**WHOLE, "ttl": msgpack.Timestamp(1)},
    "more attributes than anybody needs": {**WHOLE, "attrs": {str(n): "" for n in range(1_001)}},
}


@given(MESSAGES)
def test_A32_every_message_comes_back_whole(message: Message) -> None:
    """What is encoded decodes to the same message, and is plain ASCII on the way."""
    text = encode(message)

    assert text.isascii()
    assert decode(text) == message


@pytest.mark.parametrize("parts", BROKEN.values(), ids=BROKEN.keys())
def test_I3_what_encode_never_writes_is_refused_without_telling_the_input(parts: object) -> None:
    """Wrong types, versions, parts and sizes are errors of their own kind; none repeats what it was given."""
    with pytest.raises(SerializationError) as caught:
        decode(base64.b64encode(pack(parts)).decode())

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "secret!", "c2VjcmV0", "grüße", "A" * (MAX_TEXT + 4)])
def test_I3_text_that_is_no_envelope_is_refused(text: str) -> None:
    """Neither base64 that ends early, nor text beyond the bounds, nor bytes that are no msgpack, pass."""
    with pytest.raises(SerializationError) as caught:
        decode(text)

    assert "secret" not in repr(caught.value)


@given(st.binary(max_size=100))
def test_I3_no_bytes_break_the_decoder(data: bytes) -> None:
    """Any bytes are a message or a SerializationError, and nothing else."""
    try:
        decoded = decode(base64.b64encode(data).decode())
    except SerializationError:
        return
    assert isinstance(decoded, Message)
