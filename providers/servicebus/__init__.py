"""Azure Service Bus, with and without sessions. Importing this needs its extra: `pip install queue-runtime[azure]`."""

from queue_runtime.providers.servicebus.factory import from_settings
from queue_runtime.providers.servicebus.provider import ServiceBusProvider
from queue_runtime.providers.servicebus.settings import ServiceBusSettings

__all__ = ["ServiceBusProvider", "ServiceBusSettings", "from_settings"]
