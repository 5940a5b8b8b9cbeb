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

    @field_validator("provider")
    @classmethod
    def _known_by_one_name(cls, value: str) -> str:
        return "memory" if value == "inmemory" else value

    @field_validator("memory_queues", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(name.strip() for name in value.split(",") if name.strip()) if isinstance(value, str) else value

    @field_validator("queue_name")
    @classmethod
    def _is_a_name(cls, value: str | None) -> str | None:
        return None if value is None else QueueName(value)

    @field_validator("memory_queues")
    @classmethod
    def _are_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(QueueName(name) for name in value)
