"""How settings become an `Encryption`."""

from __future__ import annotations

from queue_runtime.plugins.encryption.cipher import Encryption, EncryptionPolicy
from queue_runtime.plugins.encryption.keys import MemoryKeys
from queue_runtime.plugins.encryption.stores import CachedKeys, FileKeys, keys_of_text
from queue_runtime.providers.bodies import BodyCipher
from queue_runtime.providers.settings import ProviderSettings

__all__ = ["from_settings"]


def from_settings(settings: ProviderSettings) -> BodyCipher:
    """Make a cipher. A key file is read when the first message needs it.

    Raises:
        ConfigurationError: a key is not written as it should be, or the package `cryptography` is not installed.
    """
    if settings.encryption_key_file is not None:
        keys = CachedKeys(FileKeys(settings.encryption_key_file), settings.encryption_key_ttl_s)
    else:
        text = settings.encryption_keys
        keys = MemoryKeys(keys_of_text("" if text is None else text.get_secret_value()))
    policy = EncryptionPolicy(
        encrypts=settings.encryption_enabled,
        plain=settings.encryption_plain,
        max_age_s=settings.encryption_max_age_s,
        skew_s=settings.encryption_skew_s,
        track_nonces=settings.encryption_track_nonces,
        nonce_ttl_s=settings.encryption_nonce_ttl_s,
    )
    return Encryption(keys, policy)
