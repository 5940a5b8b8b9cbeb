"""What goes wrong with encrypted bodies. No text here holds a plaintext, a nonce, or more of a key than its id.

These are the words of whoever encrypts bodies, in this package or in a plugin of somebody else. Providers raise none of
them; an engine without keys raises `KeyNotFound` for a body that came encrypted.
"""

# ruff: noqa: N818 - errors are named for what happened
from __future__ import annotations

from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.errors.root import NOTHING_KNOWN, Category, ErrorContext, QueueError

__all__ = [
    "CryptoError",
    "DecryptionFailed",
    "EncryptionFailed",
    "InvalidEnvelope",
    "InvalidNonceSize",
    "KeyNotFound",
    "KeyProviderError",
    "MessageExpired",
    "NonceReused",
    "UnencryptedMessage",
    "UnsupportedVersion",
]


class CryptoError(QueueError):
    """A body cannot be encrypted, or cannot be trusted. Permanent, but while keys are missing."""

    category = Category.CRYPTO


class EncryptionFailed(CryptoError):
    """The body could not be encrypted; nothing was sent."""

    def __init__(self, key_id: str, *, context: ErrorContext = NOTHING_KNOWN) -> None:
        text = f"the body could not be encrypted under key {key_id!r}: check that the key is one of 256 bits"
        super().__init__(text, context=context)
        self.key_id = key_id


class DecryptionFailed(CryptoError):
    """The body does not authenticate: it was altered, belongs to another message, or the key is a wrong one.

    Deliberately says no more: which of them it was would help whoever alters messages.
    """

    def __init__(self, key_id: str, *, context: ErrorContext = NOTHING_KNOWN) -> None:
        text = f"the body does not authenticate under key {key_id!r}: compare the keys of sender and receiver"
        super().__init__(text, context=context)
        self.key_id = key_id


class KeyNotFound(CryptoError):
    """There is no key of that id, yet: keys reach senders and receivers one after the other."""

    category = Category.TRANSIENT
    retry_after_s = 30.0

    def __init__(self, key_id: str, *, context: ErrorContext = NOTHING_KNOWN) -> None:
        text = f"there is no key {key_id!r} here: keep a rotated key until no message needs it, or add it again"
        super().__init__(text, context=context)
        self.key_id = key_id


class MessageExpired(CryptoError):
    """The body was encrypted too long ago, or in the future; the age is limited to bar replays."""

    def __init__(self, encrypted_at: Timestamp, max_age_s: float, *, context: ErrorContext = NOTHING_KNOWN) -> None:
        super().__init__(
            f"the body was encrypted at {encrypted_at.to_datetime().isoformat()}, which is not within {max_age_s:g} s "
            "before now: raise the maximum age, or compare the clocks",
            context=context,
        )
        self.encrypted_at = encrypted_at
        self.max_age_s = max_age_s


class UnsupportedVersion(CryptoError):
    """The body was encrypted in a format that this release does not read."""

    def __init__(self, version: int, *, context: ErrorContext = NOTHING_KNOWN) -> None:
        text = f"version {version} of the encrypted format is unknown: update the receiver first, then the sender"
        super().__init__(text, context=context)
        self.version = version


class InvalidNonceSize(CryptoError):
    """The nonce has another length than the cipher takes. Sizes in bytes."""

    def __init__(self, expected: int, actual: int, *, context: ErrorContext = NOTHING_KNOWN) -> None:
        text = f"a nonce of {actual} bytes is not one of {expected}: the sender does not keep to the format"
        super().__init__(text, context=context)
        self.expected = expected
        self.actual = actual


class InvalidEnvelope(CryptoError):
    """The body is marked as encrypted and is not built as such. `problem` says what is missing or out of place."""

    def __init__(self, problem: str, *, context: ErrorContext = NOTHING_KNOWN) -> None:
        super().__init__(f"the encrypted body {problem}: the sender does not keep to the format", context=context)
        self.problem = problem


class KeyProviderError(CryptoError):
    """The keys cannot be fetched for now; what comes as its cause says why."""

    category = Category.TRANSIENT
    retry_after_s = 5.0

    def __init__(self, key_id: str, *, context: ErrorContext = NOTHING_KNOWN) -> None:
        super().__init__(f"key {key_id!r} cannot be fetched: is the key store up?", context=context)
        self.key_id = key_id


class NonceReused(CryptoError):
    """Another message had the same nonce under the same key: a replay under a new id, or a broken sender."""

    def __init__(self, key_id: str, *, context: ErrorContext = NOTHING_KNOWN) -> None:
        text = f"the body's nonce was used before under key {key_id!r}: drop the message, and look at its sender"
        super().__init__(text, context=context)
        self.key_id = key_id


class UnencryptedMessage(CryptoError):
    """The body is plain where only encrypted ones are taken. The sender's fault."""

    category = Category.PERMANENT

    def __init__(self, message_id: str, *, context: ErrorContext = NOTHING_KNOWN) -> None:
        text = f"the body of message {message_id!r} is not encrypted: encrypt at the sender, or allow plain bodies"
        super().__init__(text, context=context)
        self.message_id = message_id
