"""How a provider is found by its name: through the entry point group, ours and others' alike."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import TypeAlias, cast

from queue_runtime.providers.bodies import BodyCipher
from queue_runtime.providers.errors import ConfigurationError, UnsupportedProvider
from queue_runtime.providers.port import Provider
from queue_runtime.providers.settings import ProviderSettings
from queue_runtime.providers.telemetry import instrumented

__all__ = [
    "CIPHER_GROUP",
    "GROUP",
    "ProviderFactory",
    "cipher_from_settings",
    "provider_from_settings",
    "provider_names",
    "unknown_provider",
]

GROUP = "queue_runtime.providers"
CIPHER_GROUP = "queue_runtime.ciphers"
CIPHER = "aes-256-gcm"
DISTRIBUTION = "queue-runtime"

ProviderFactory: TypeAlias = Callable[[ProviderSettings], Provider]
"""What an entry point of the group names. It connects to nothing: the provider's `open` does."""


CipherFactory: TypeAlias = Callable[[ProviderSettings], BodyCipher]
"""What the entry point of the group `queue_runtime.ciphers` names."""


def provider_names() -> tuple[str, ...]:
    """Return the names under which providers are registered in this environment, sorted."""
    return tuple(sorted({entry.name for entry in entry_points(group=GROUP)}))


def unknown_provider(name: str) -> UnsupportedProvider | None:
    """Return the error that `name` is, unless a provider is registered under it."""
    if name in (known := provider_names()):
        return None
    return UnsupportedProvider(name, problem=f"is not known here: use one of {', '.join(known)}")


def provider_from_settings(settings: ProviderSettings) -> Provider:
    """Make the provider that the settings name, unopened; with telemetry if they say so.

    Raises:
        ConfigurationError: telemetry is on, and OpenTelemetry's API is not installed.
        UnsupportedProvider: nobody registered that name, or its packages are not installed. The operator's fault.
    """
    name = settings.provider
    if (unknown := unknown_provider(name)) is not None:
        raise unknown
    (found, *_) = entry_points(group=GROUP, name=name)
    try:
        factory = cast("ProviderFactory", found.load())
        provider = factory(settings)
    except ImportError as error:
        is_ours = found.dist is not None and found.dist.name == DISTRIBUTION
        install = f"pip install {DISTRIBUTION}[{name}]" if is_ours else "install what it needs"
        raise UnsupportedProvider(name, problem=f"cannot be imported, {error.name} is missing: {install}") from error
    return instrumented(provider) if settings.telemetry else provider


def cipher_from_settings(settings: ProviderSettings) -> BodyCipher | None:
    """Make what encrypts and opens bodies; None if the settings name no keys.

    It is found by its entry point, for it lives a floor above: providers know nothing of encryption.

    Raises:
        ConfigurationError: a key is not written as it should be, or what encrypts is not installed.
    """
    if not settings.has_encryption:
        return None
    found = next(iter(entry_points(group=CIPHER_GROUP, name=CIPHER)), None)
    if found is None:
        msg = f"no cipher is registered under {CIPHER_GROUP}: install {DISTRIBUTION}[crypto] again"
        raise ConfigurationError(msg)
    return cast("CipherFactory", found.load())(settings)
