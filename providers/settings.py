"""Which provider, and how to reach it. One of the two places that read the environment (the other is the engine's)."""

from __future__ import annotations

from typing import Annotated

from pydantic import AliasChoices, Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from queue_runtime.providers.message import QueueName

__all__ = ["ProviderSettings"]


class ProviderSettings(BaseSettings):
    """Which broker is used. Each field is read from `QUEUE_<NAME>` unless it is passed; times are in seconds.

    Values that cannot be right raise pydantic's `ValidationError`, which names each field and never shows a value;
    nothing has been opened then. There is no default provider: one that forgets everything is no fallback.
    """

    model_config = SettingsConfigDict(
        env_prefix="QUEUE_", frozen=True, extra="forbid", populate_by_name=True, hide_input_in_errors=True
    )

    provider: str = Field(min_length=1, description="Name of the provider, such as `memory`.")
    queue_name: str | None = Field(
        default=None,
        validation_alias=AliasChoices("queue_name", "QUEUE_NAME"),
        description="The queue, where there is one.",
    )
    receive_timeout_s: float = Field(
        default=30.0,
        gt=0,
        validation_alias=AliasChoices("receive_timeout_s", "QUEUE_RECEIVE_TIMEOUT_SECONDS"),
        description="How long a client's receive waits unless it is told.",
    )
    memory_address: str | None = Field(
        default=None, description="Where a memory broker of another process listens: a socket's path, or host:port."
    )
    memory_queues: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Queues that a memory broker in this process has beside `queue_name`; comma-separated."
    )
    memory_kind: str = Field(
        default="standard",
        pattern="^(standard|fifo|sessions)$",
        description="Their rules of order: `standard`, `fifo` or `sessions`.",
    )

    sqs_region: str | None = Field(
        default=None,
        validation_alias=AliasChoices("sqs_region", "QUEUE_SQS_REGION", "AWS_REGION"),
        description="Region of the queues; none leaves it to the SDK's own environment and profile.",
    )
    sqs_endpoint_url: str | None = Field(
        default=None,
        pattern="^https?://",
        description="Another service than Amazon's, such as a local one. Nothing else overrides the endpoint.",
    )
    sqs_queue_urls: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="URLs of queues whose name alone is not enough, such as another account's; comma-separated.",
    )
    sqs_owner_account: str | None = Field(
        default=None, pattern="^[0-9]{12}$", description="Account that owns the queues, if it is not the caller's own."
    )
    sqs_dead_letter_queue: str | None = Field(
        default=None,
        validation_alias=AliasChoices("sqs_dead_letter_queue", "QUEUE_SQS_DEAD_LETTER_QUEUE", "QUEUE_DLQ_NAME"),
        description="Takes the dead letters of queues without a redrive policy.",
    )
    sqs_visibility_timeout_s: int | None = Field(
        default=None,
        ge=1,
        le=43_200,
        validation_alias=AliasChoices("sqs_visibility_timeout_s", "QUEUE_VISIBILITY_TIMEOUT_SECONDS"),
        description="How long a delivery is locked; none takes each queue's own.",
    )
    sqs_max_message_bytes: int = Field(
        default=262_144, ge=1, le=1_048_576, description="Larger messages are refused, as is what the queue refuses."
    )
    sqs_longest_poll_s: int = Field(
        default=20, ge=1, le=20, description="Longest long poll; closing waits for one at most."
    )

    @field_validator("provider")
    @classmethod
    def _known_by_one_name(cls, value: str) -> str:
        return {"inmemory": "memory", "sqs": "aws"}.get(value, value)

    @field_validator("memory_queues", "sqs_queue_urls", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(name.strip() for name in value.split(",") if name.strip()) if isinstance(value, str) else value

    @field_validator("queue_name", "sqs_dead_letter_queue")
    @classmethod
    def _is_a_name(cls, value: str | None) -> str | None:
        return None if value is None else QueueName(value)

    @field_validator("memory_queues")
    @classmethod
    def _are_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(QueueName(name) for name in value)
