"""How settings become a Service Bus provider."""

from __future__ import annotations

from queue_runtime.providers.errors import ConfigurationError
from queue_runtime.providers.port import Provider
from queue_runtime.providers.servicebus.provider import ServiceBusProvider
from queue_runtime.providers.servicebus.settings import ServiceBusSettings
from queue_runtime.providers.settings import ProviderSettings

__all__ = ["from_settings"]


def from_settings(settings: ProviderSettings) -> Provider:
    """Make a provider, unopened.

    Raises:
        ConfigurationError: there is no connection string.
    """
    if settings.servicebus_connection_string is None:
        msg = "provider 'azure' needs a connection string: set QUEUE_SERVICEBUS_CONNECTION_STRING"
        raise ConfigurationError(msg)
    return ServiceBusProvider(
        ServiceBusSettings(
            connection_string=settings.servicebus_connection_string.get_secret_value(),
            lock_s=settings.servicebus_lock_s,
            max_deliveries=settings.servicebus_max_deliveries,
            dead_letters_expired=settings.servicebus_dead_letters_expired,
            deduplicates=settings.servicebus_deduplicates,
            max_message_bytes=settings.servicebus_max_message_bytes,
        )
    )
