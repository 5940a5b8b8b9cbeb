"""The part of the provider's settings that is about Service Bus."""

from __future__ import annotations

from pydantic import AliasChoices, BaseModel, Field, SecretStr

__all__ = ["ServiceBusFields"]


class ServiceBusFields(BaseModel):
    """Settings that `ProviderSettings` has beside its own."""

    servicebus_connection_string: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices(
            "servicebus_connection_string",
            "QUEUE_SERVICEBUS_CONNECTION_STRING",
            "AZURE_SERVICEBUS_CONNECTION_STRING",
        ),
        description="Of the Service Bus namespace; a secret. With `UseDevelopmentEmulator=true` it may be a local one.",
    )
    servicebus_lock_s: float = Field(
        default=60.0, gt=0, le=300, description="Lock duration of the queues: as they are set up, AMQP does not tell."
    )
    servicebus_max_deliveries: int = Field(
        default=10, ge=1, description="Maximum delivery count of the queues, as they are set up."
    )
    servicebus_dead_letters_expired: bool = Field(
        default=False, description="Whether the queues dead-letter what expires, as they are set up."
    )
    servicebus_deduplicates: bool = Field(
        default=False, description="Whether the queues detect duplicates, as they are set up."
    )
    servicebus_max_message_bytes: int = Field(
        default=245_760,
        ge=1,
        le=104_857_600,
        description="Larger messages are refused. The tier's limit counts ids too: stay below it.",
    )
