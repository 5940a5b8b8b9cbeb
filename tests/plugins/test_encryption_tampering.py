"""Whatever of an encrypted body is altered, moved or cut: a typed error, and never a plaintext."""

import ast
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queue_runtime.plugins.encryption import Envelope
from queue_runtime.providers.errors import (
    CryptoError,
    DecryptionFailed,
    InvalidEnvelope,
    InvalidNonceSize,
    KeyNotFound,
    UnencryptedMessage,
    UnsupportedVersion,
)
from queue_runtime.providers.message import Delivery, QueueName
from tests.architecture.source import ROOT, python_files, tree
from tests.plugins.encrypted import (
    BODY,
    changed,
    cipher,
    delivery,
    key,
    message,
    now,
    other_id,
    other_session,
    refused,
    sealed,
    with_body,
)


def test_L25_every_bit_of_an_encrypted_body_counts() -> None:
    """Whichever bit is flipped, in whichever field: a typed error that shows nothing, and never a plaintext."""
    both = cipher(plain="reject")
    arrived = sealed(both)
    body = arrived.message.body
    for bit in range(len(body) * 8):
        altered = bytearray(body)
        altered[bit // 8] ^= 1 << bit % 8

        error = refused(both, with_body(arrived, bytes(altered)))

        assert type(error) in {
            UnencryptedMessage,
            UnsupportedVersion,
            InvalidEnvelope,
            InvalidNonceSize,
            KeyNotFound,
            DecryptionFailed,
        }
        assert BODY.decode() not in str(error)


@given(data=st.data(), body=st.binary(max_size=200), key_id=st.text(min_size=1, max_size=20).filter(str.isprintable))
def test_L25_bits_of_any_body_count(data: st.DataObject, body: bytes, key_id: str) -> None:
    """The same for bodies and key ids of all kinds; a cut or a lengthened one is refused as well."""
    both = cipher(key(key_id), plain="reject")
    arrived = sealed(both, message(body))
    packed = arrived.message.body
    bit = data.draw(st.integers(0, len(packed) * 8 - 1))
    flipped = bytearray(packed)
    flipped[bit // 8] ^= 1 << bit % 8
    cut = packed[: data.draw(st.integers(0, len(packed) - 1))]

    for altered in (bytes(flipped), cut, packed + data.draw(st.binary(min_size=1, max_size=4))):
        refused(both, with_body(arrived, altered))


@given(body=st.binary(max_size=200))
def test_L25_no_bytes_make_the_parser_fail_otherwise(body: bytes) -> None:
    """Anybody may send anything after the marker."""
    for version in (b"", b"\x01", b"\x01\x00\x02k1"):
        try:
            now(cipher().open(delivery(message(b"QRE1" + version + body))))
        except CryptoError:
            continue
        pytest.fail("it was opened")


def _no_session(arrived: Delivery) -> Delivery:
    return replace(arrived, message=changed(arrived.message, session_id=None))


def _other_correlation(arrived: Delivery) -> Delivery:
    return replace(arrived, message=changed(arrived.message, correlation_id="c2"))


def _shifted(arrived: Delivery) -> Delivery:
    """The same letters in a row, divided otherwise among the fields."""
    return replace(arrived, message=changed(arrived.message, message_id="m1s", session_id="1"))


def _other_queue(arrived: Delivery) -> Delivery:
    return replace(arrived, queue=QueueName("issues"))


@pytest.mark.parametrize(
    "move",
    [other_id, other_session, _no_session, _other_correlation, _shifted, _other_queue],
    ids=lambda f: f.__name__,
)
def test_L25_a_body_belongs_to_its_message(move: Callable[[Delivery], Delivery]) -> None:
    """Another message id, session, correlation id or queue around it, and it does not authenticate."""
    both = cipher()

    error = refused(both, move(sealed(both)))

    assert type(error) is DecryptionFailed
    assert error.context.operation == "decrypt"
    assert error.__cause__ is None


def test_L25_a_wrong_key_of_the_right_name_tells_nothing_else_than_an_altered_body() -> None:
    """Who tries keys learns no more than who tries bits."""
    arrived = sealed(cipher(key("k1", 1)))
    altered = with_body(arrived, arrived.message.body[:-1] + bytes((arrived.message.body[-1] ^ 1,)))

    wrong_key, wrong_bit = refused(cipher(key("k1", 2)), arrived), refused(cipher(key("k1", 1)), altered)

    assert type(wrong_key) is type(wrong_bit) is DecryptionFailed
    assert str(wrong_key) == str(wrong_bit)


def test_L34_no_code_of_ours_compares_tags() -> None:
    """The library does, in constant time: a tag is never taken apart from its ciphertext here, nor is a byte of it."""
    calls: list[str] = []
    for path in python_files("plugins"):
        if path.parent.name != "encryption":
            continue
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Compare):
                assert "tag" not in ast.unparse(node).lower().replace("invalid_tag", "").replace("tag_bytes", "")
                assert not isinstance(node.left, ast.Attribute) or node.left.attr != "ciphertext"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "decrypt":
                calls.append(path.relative_to(ROOT).as_posix())

    assert calls == ["plugins/encryption/cipher.py"]


def test_L33_another_version_isrefused() -> None:
    """It names the version; shorter than marker and version is no envelope."""
    arrived = sealed(cipher())
    body = arrived.message.body
    error = refused(cipher(), with_body(arrived, body[:4] + b"\x02" + body[5:]))

    assert isinstance(error, UnsupportedVersion)
    assert error.version == 2
    assert isinstance(refused(cipher(), with_body(arrived, b"QRE1")), InvalidEnvelope)
    with pytest.raises(InvalidEnvelope):
        Envelope.parse(b"PLAIN")


def test_a_short_nonce_is_named_by_its_sizes() -> None:
    """And what is shorter still, or names its key or its time out of range, is no envelope."""
    arrived = sealed(cipher())
    body = arrived.message.body
    error = refused(cipher(), with_body(arrived, body[: 4 + 1 + 2 + 2 + 8 + 5]))

    assert isinstance(error, InvalidNonceSize)
    assert (error.expected, error.actual) == (12, 5)
    for odd in (
        body[:12],
        body[:9] + b"\xff" * 8 + body[17:],
        body[:5] + b"\x00\x00" + body[9:],
        body[:7] + b"\xff\xfe" + body[9:],
        body[: 9 + 8 + 12 + 15],
    ):
        assert isinstance(refused(cipher(), with_body(arrived, odd)), InvalidEnvelope)
