"""Bodies encrypted end to end: the cipher, its policy, and where keys come from. Needs the extra `crypto`."""

from queue_runtime.plugins.encryption.cipher import Encryption, EncryptionPolicy
from queue_runtime.plugins.encryption.envelope import Envelope, associated_data
from queue_runtime.plugins.encryption.factory import from_settings
from queue_runtime.plugins.encryption.keys import Key, KeyProvider, MemoryKeys
from queue_runtime.plugins.encryption.nonces import MemoryNonces, NonceStore
from queue_runtime.plugins.encryption.stores import CachedKeys, FileKeys, keys_of_text

__all__ = [
    "CachedKeys",
    "Encryption",
    "EncryptionPolicy",
    "Envelope",
    "FileKeys",
    "Key",
    "KeyProvider",
    "MemoryKeys",
    "MemoryNonces",
    "NonceStore",
    "associated_data",
    "from_settings",
    "keys_of_text",
]
