"""Bodies encrypted end to end with AES-256-GCM: what an engine or a client is given as its `BodyCipher`.

The order in which a body is opened: marker and version, its age, the key, the tag, the nonce. Nothing of the plaintext
leaves before all of them are done with. The tag is compared by the library, in constant time.
"""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeVar

from queue_runtime.plugins.encryption.envelope import NONCE_BYTES, Envelope, associated_data, bound_id
from queue_runtime.plugins.encryption.keys import TO_ENCRYPT, Key, KeyProvider
from queue_runtime.plugins.encryption.nonces import MemoryNonces, NonceStore
from queue_runtime.plugins.encryption.told import Told
from queue_runtime.providers.bodies import is_marked
from queue_runtime.providers.clock import Clock, SystemClock, Timestamp
from queue_runtime.providers.errors import (
    ConfigurationError,
    DecryptionFailed,
    EncryptionFailed,
    ErrorContext,
    KeyNotFound,
    KeyProviderError,
    MessageExpired,
    NonceReused,
    QueueError,
    UnencryptedMessage,
)
from queue_runtime.providers.message import Delivery, Message, QueueName

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = ["Encryption", "EncryptionPolicy"]

REMEMBERED = 10_000  # sends whose repetition has to be the same: about 3 MB
_MS = 1_000

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class EncryptionPolicy:
    """What is encrypted, and what is accepted.

    Args:
        encrypts: sent bodies are encrypted. If not, encrypted ones that arrive are opened all the same.
        plain: what becomes of a plain body that arrives: `allow` warns, `allow-with-alert` logs an error for each,
            `reject` refuses it.
        max_age_s: seconds between the encryption of a body and the moment when the broker took its message, above 0;
            None accepts any. How long the message waits in the queue does not count.
        skew_s: how far the clocks of senders and receivers may be apart, in seconds.
        track_nonces: a nonce that comes with two messages is refused.
        nonce_ttl_s: how long nonces are remembered, in seconds; not less than `max_age_s`.

    Raises:
        ConfigurationError: a value is out of its range.
    """

    encrypts: bool = True
    plain: Literal["allow", "allow-with-alert", "reject"] = "allow"
    max_age_s: float | None = None
    skew_s: float = 60.0
    track_nonces: bool = False
    nonce_ttl_s: float = 600.0

    def __post_init__(self) -> None:
        if self.max_age_s is not None and not self.max_age_s > 0:
            msg = f"max_age_s is {self.max_age_s!r}: it must be above 0, or None for bodies of any age"
            raise ConfigurationError(msg)
        if self.track_nonces and self.max_age_s is not None and self.nonce_ttl_s < self.max_age_s:
            msg = f"nonce_ttl_s is {self.nonce_ttl_s!r}: it must not be below max_age_s, which is {self.max_age_s!r}"
            raise ConfigurationError(msg)


@dataclass(frozen=True, slots=True)
class _Opened:
    message: Message
    key_id: str


class Encryption:
    """Encrypts and opens bodies. For one event loop.

    Args:
        keys: where keys come from; closed with this object.
        policy: what is encrypted and accepted.
        clock: for tests.
        nonces: where nonces are remembered, if the policy tracks them; in this process unless given.
        random_bytes: makes nonces, for test vectors. Anything but a source for cryptography breaks the encryption.

    Raises:
        ConfigurationError: the package `cryptography` is not installed.
    """

    def __init__(
        self,
        keys: KeyProvider,
        policy: EncryptionPolicy | None = None,
        *,
        clock: Clock | None = None,
        nonces: NonceStore | None = None,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._keys = keys
        self._policy = policy if policy is not None else EncryptionPolicy()
        self._clock = clock if clock is not None else SystemClock()
        self._nonces = nonces if nonces is not None else MemoryNonces(self._policy.nonce_ttl_s)
        self._random_bytes = random_bytes
        self._aesgcm, self._invalid_tag = _primitives()
        self._sealed: OrderedDict[bytes, tuple[int, bytes]] = OrderedDict()
        self._told = Told(self._clock)

    def __repr__(self) -> str:
        """Name where the keys come from."""
        return f"Encryption({self._keys!r}, {self._policy!r})"

    # --- out ---

    async def seal(self, queue: QueueName, message: Message, *, at: Timestamp | None = None) -> Message:
        """Return the message with its body encrypted under the current key, or as it is if the policy does not encrypt.

        A body that is marked as encrypted is encrypted like any other, so that it arrives as it was given.

        Raises:
            KeyNotFound, KeyProviderError: there is no key to encrypt with, for now.
            EncryptionFailed: the key cannot be used.
        """
        if not self._policy.encrypts:
            self._told.sent_plain(queue, message)
            return message
        return await self._encrypted(queue, message, at)

    async def _encrypted(self, queue: QueueName, message: Message, at: Timestamp | None) -> Message:
        context = ErrorContext(queue, message.message_id, message.session_id, "encrypt")
        key_id = await self._asked(self._keys.current_key_id(), TO_ENCRYPT, context)
        key = await self._key(key_id, context)
        now = self._clock.now()
        stamp_ms = (now if at is None else max(at, now)) // _MS
        memo = _memo(key_id, queue, message, stamp_ms if at is not None else 0)
        encrypted_at_ms, nonce = self._first_time(memo, now) or (stamp_ms, self._random_bytes(NONCE_BYTES))
        covered = associated_data(queue, message, key_id, encrypted_at_ms)
        try:
            ciphertext = self._aesgcm(bytes(key.material)).encrypt(nonce, message.body, covered)
        except (ValueError, OverflowError) as error:
            raise EncryptionFailed(key_id, context=context) from error
        self._remember(memo, encrypted_at_ms, nonce)
        return replace(message, body=Envelope(key_id, encrypted_at_ms, nonce, ciphertext).pack())

    def _first_time(self, memo: bytes, now: Timestamp) -> tuple[int, bytes] | None:
        """When and with which nonce this very message was encrypted, if that was not long ago.

        The same nonce for the same plaintext and data gives the same bytes, and so tells nothing new. It has to, for a
        receiver takes a message that comes twice with different bytes for two.
        """
        made = self._sealed.get(memo)
        max_age_s = self._policy.max_age_s
        if made is None or (max_age_s is not None and now / _MS - made[0] > max_age_s * 1_000 / 2):
            return None
        return made

    def _remember(self, memo: bytes, encrypted_at_ms: int, nonce: bytes) -> None:
        self._sealed[memo] = encrypted_at_ms, nonce
        self._sealed.move_to_end(memo)
        if len(self._sealed) > REMEMBERED:
            self._sealed.popitem(last=False)

    # --- in ---

    async def open(self, delivery: Delivery, *, received_at: Timestamp | None = None) -> Delivery:
        """Return the delivery with its body opened; a plain one as the policy says. See `BodyCipher.open`.

        Raises:
            UnencryptedMessage: it is plain, and the policy refuses that.
            InvalidEnvelope, InvalidNonceSize, UnsupportedVersion: it is marked, and not built as an encrypted body.
            MessageExpired: it was encrypted too long before the broker took it, or after it was received.
            KeyNotFound, KeyProviderError: there is no such key, for now.
            DecryptionFailed: it does not authenticate.
            NonceReused: another message had its nonce.
        """
        message, queue = delivery.message, delivery.queue
        if not is_marked(message.body):
            self._take_plain(queue, message)
            return delivery
        context = ErrorContext(queue, message.message_id, message.session_id, "decrypt")
        envelope = Envelope.parse(message.body, context)
        self._check_age(envelope, delivery, received_at or delivery.first_delivered_at, context)
        opened = await self._open(queue, message, envelope, context)
        if self._policy.track_nonces:
            owner = f"{queue}/{bound_id(message)}"
            if not await self._nonces.check_and_mark(opened.key_id, envelope.nonce, owner, self._clock.now()):
                raise NonceReused(opened.key_id, context=context)
        self._told.received_encrypted(queue, message, opened.key_id)
        return replace(delivery, message=opened.message, sealed=message)

    def _take_plain(self, queue: QueueName, message: Message) -> None:
        if self._policy.plain == "reject":
            self._told.refused_plain(queue, message)
            context = ErrorContext(queue, message.message_id, message.session_id, "decrypt")
            raise UnencryptedMessage(message.message_id, context=context)
        self._told.received_plain(queue, message, is_alert=self._policy.plain == "allow-with-alert")

    def _check_age(self, envelope: Envelope, delivery: Delivery, received_at: Timestamp, context: ErrorContext) -> None:
        """Judge the age at the moment when the broker took the message, which no redelivery, retry or backlog moves.

        The broker's word counts for that, where it tells; somebody who sends a recorded body again cannot make it
        earlier. A message sent for later is stamped with when it is due, so it must not have been received before.
        """
        max_age_s = self._policy.max_age_s
        if max_age_s is None:
            return
        encrypted_at = Timestamp(envelope.encrypted_at_ms * _MS)
        skew_us = round(self._policy.skew_s * 1_000_000)
        taken_at = delivery.enqueued_at if delivery.enqueued_at is not None else received_at
        if taken_at - encrypted_at > max_age_s * 1_000_000 or encrypted_at - received_at > skew_us:
            raise MessageExpired(encrypted_at, max_age_s, context=context)

    async def _open(self, queue: QueueName, message: Message, envelope: Envelope, context: ErrorContext) -> _Opened:
        key = await self._key(envelope.key_id, context)
        covered = associated_data(queue, message, envelope.key_id, envelope.encrypted_at_ms)
        try:
            body = self._aesgcm(bytes(key.material)).decrypt(envelope.nonce, envelope.ciphertext, covered)
        except self._invalid_tag:
            raise DecryptionFailed(envelope.key_id, context=context) from None
        return _Opened(replace(message, body=body), envelope.key_id)

    async def redrive(self, queue: QueueName, dead: Message, copy: Message) -> Message:
        """Return `copy` encrypted anew, also where the policy does not encrypt: what was secret stays so.

        Raises:
            CryptoError: as `open` of the dead letter, but for its age and its nonce, or as `seal` of the copy.
        """
        if not is_marked(dead.body):
            return await self.seal(queue, copy)
        context = ErrorContext(queue, dead.message_id, dead.session_id, "decrypt")
        opened = await self._open(queue, dead, Envelope.parse(dead.body, context), context)
        return await self._encrypted(queue, replace(copy, body=opened.message.body), None)

    # --- keys ---

    async def _key(self, key_id: str, context: ErrorContext) -> Key:
        key = await self._asked(self._keys.get_key(key_id), key_id, context)
        if key.is_closed:  # somebody removed it while another still held it
            raise KeyNotFound(key_id, context=context)
        return key

    async def _asked(self, answer: Awaitable[_T], key_id: str, context: ErrorContext) -> _T:
        """Whatever a key store raises that is no word of ours, it may pass."""
        try:
            return await answer
        except KeyNotFound as error:
            raise KeyNotFound(error.key_id, context=context) from error.__cause__
        except QueueError:
            raise
        except Exception as error:
            raise KeyProviderError(key_id, context=context) from error

    async def close(self) -> None:
        """Overwrite the keys and forget what was sent. Twice is harmless."""
        self._sealed.clear()
        await self._keys.close()


def _memo(key_id: str, queue: str, message: Message, due_ms: int) -> bytes:
    """Stands for what one `seal` was asked: 16 bytes that no other has."""
    digest = hashlib.blake2b(associated_data(queue, message, key_id, due_ms), digest_size=16)
    digest.update(message.body)
    return digest.digest()


def _primitives() -> tuple[type[AESGCM], type[Exception]]:
    try:
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - an extra: only who encrypts needs it
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415
    except ImportError as error:
        msg = f"bodies cannot be encrypted, {error.name} is missing: pip install 'queue-runtime[crypto]'"
        raise ConfigurationError(msg) from error
    return AESGCM, InvalidTag
