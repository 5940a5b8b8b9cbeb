"""Which provider, and how to reach it. One of the two places that read the environment (the other is the engine's)."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Self, cast

from pydantic import AliasChoices, Field, ValidationInfo, field_validator
from pydantic import ValidationError as PydanticError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from queue_runtime.providers.encryption_settings import EncryptionFields
from queue_runtime.providers.errors import InvalidSettings
from queue_runtime.providers.message import QueueName
from queue_runtime.providers.naming import BotQueues, QueueRegistry, check_queue_name
from queue_runtime.providers.servicebus_settings import ServiceBusFields
from queue_runtime.providers.settings_file import read_section

__all__ = ["LayeredSettings", "ProviderSettings"]

logger = logging.getLogger("queue_runtime.settings")

DEFAULT, PASSED = "default", "passed"


class _ByName(PydanticBaseSettingsSource):
    """Another source, with each value under its field's name: so that layers meet whatever an operator calls them."""

    def __init__(self, settings_cls: type[BaseSettings], inner: PydanticBaseSettingsSource) -> None:
        super().__init__(settings_cls)
        self._inner = inner

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[object, str, bool]:
        return self._inner.get_field_value(field, field_name)

    def __call__(self) -> dict[str, object]:
        names = {
            alias: name
            for name, field in self.settings_cls.model_fields.items()
            if isinstance(field.validation_alias, AliasChoices)
            for alias in field.validation_alias.choices
            if isinstance(alias, str)
        }
        return {names.get(key, key): value for key, value in self._inner().items()}


class LayeredSettings(BaseSettings):
    """Settings in layers: what is passed, else the environment, else a file, else the default.

    The file is `config`, or `QUEUE_CONFIG`; its table `section` is read. Whoever constructs a class gets pydantic's
    errors; `load` tells all of them in our words.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid", populate_by_name=True, hide_input_in_errors=True)

    section: ClassVar[str]

    config: Path | None = Field(
        default=None,
        validation_alias=AliasChoices("QUEUE_CONFIG"),
        description="A file with settings: TOML, JSON, or YAML with the extra `yaml`. See above.",
    )

    @classmethod
    def load(cls, **passed: object) -> Self:
        """Read every layer; what is passed goes first.

        Raises:
            InvalidSettings: values that cannot be right; names each with where it came from, and shows none.
            ConfigurationError: the file cannot be read.
        """
        try:
            loaded = cls.model_validate(passed)
        except PydanticError as error:
            origins = cls.origins(**passed)
            problems = [
                f"{cls._place(p['loc'], origins)}: {p['msg'].removeprefix('Value error, ')}" for p in error.errors()
            ]
            raise InvalidSettings(problems) from error
        for name in cls.model_fields:
            cls._warn_of_two_names(name)
        return loaded

    @classmethod
    def origins(cls, **passed: object) -> dict[str, str]:
        """Return where each setting's value comes from: `passed`, a variable's name, `SECTION in FILE`, or `default`.

        Raises:
            ConfigurationError: the file cannot be read.
        """
        environment = cls._environment()
        file, in_file = cls._in_file(passed, environment)
        found: dict[str, str] = {}
        for name in (*cls.model_fields, *(passed.keys() | in_file.keys()) - cls.model_fields.keys()):
            if name in passed:
                found[name] = PASSED
            elif name in environment:
                found[name] = cls._set_variables(name)[0]
            else:
                found[name] = f"{cls.section} in {file}" if name in in_file else DEFAULT
        return found

    @classmethod
    def variables(cls, name: str) -> tuple[str, ...]:
        """Return the environment's names of a setting; of two that are set the first wins."""
        alias = cls.model_fields[name].validation_alias
        own = f"{cls.model_config.get('env_prefix', '')}{name}".upper()
        listed = [str(choice) for choice in alias.choices] if isinstance(alias, AliasChoices) else []
        return tuple(listed or (own,))

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the layers in their order, for pydantic-settings."""
        del dotenv_settings, file_secret_settings  # one file is enough
        passed, environment = _ByName(settings_cls, init_settings), _ByName(settings_cls, env_settings)
        _, in_file = cls._in_file(passed(), environment())
        return passed, environment, _ByName(settings_cls, InitSettingsSource(settings_cls, dict(in_file)))

    @classmethod
    def _in_file(
        cls, passed: Mapping[str, object], environment: Mapping[str, object]
    ) -> tuple[Path | None, Mapping[str, object]]:
        named = passed.get("config") or environment.get("config")
        if not named:
            return None, {}
        file = Path(str(named))
        return file, read_section(file, cls.section)

    @classmethod
    def _environment(cls) -> Mapping[str, object]:
        return _ByName(cls, EnvSettingsSource(cls))()

    @classmethod
    def _set_variables(cls, name: str) -> list[str]:
        there = EnvSettingsSource(cls).env_vars
        return [variable for variable in cls.variables(name) if there.get(variable.lower()) is not None]

    @classmethod
    def _warn_of_two_names(cls, name: str) -> None:
        there = EnvSettingsSource(cls).env_vars
        used, *others = cls._set_variables(name) or [""]
        for other in others:
            if there[other.lower()] != there[used.lower()]:
                logger.warning("%s and %s differ, and mean one setting: %s is used", used, other, used)

    @classmethod
    def _place(cls, location: tuple[int | str, ...], origins: Mapping[str, str]) -> str:
        """Name a setting by where its value was written, for whoever has to correct it."""
        name = str(location[0]) if location else cls.section
        below = "".join(f".{part}" for part in location[1:])
        origin = origins.get(name, DEFAULT)
        if origin == DEFAULT and name in cls.model_fields:
            return f"{cls.variables(name)[0]}{below}"
        return f"{name}{below} of {origin}" if " in " in origin else f"{origin if origin != PASSED else name}{below}"


class ProviderSettings(LayeredSettings, EncryptionFields, ServiceBusFields):  # pyright: ignore[reportIncompatibleVariableOverride] - pydantic merges
    """Which broker is used. Each field is read from `QUEUE_<NAME>` unless it is passed; times are in seconds.

    Values that cannot be right raise pydantic's `ValidationError`, which names each field and never shows a value;
    nothing has been opened then. There is no default provider: one that forgets everything is no fallback.
    """

    model_config = SettingsConfigDict(env_prefix="QUEUE_")

    section: ClassVar[str] = "provider"

    provider: str = Field(min_length=1, description="Name of the provider, such as `memory`.")
    queue_name: str | None = Field(
        default=None,
        validation_alias=AliasChoices("QUEUE_NAME"),
        description="The queue, where there is one.",
    )
    environment: str | None = Field(
        default=None,
        validation_alias=AliasChoices("QUEUE_ENVIRONMENT", "ENVIRONMENT"),
        description="Where this runs, such as `production`: the second part of the names that are made.",
    )
    queue_prefix: str | None = Field(default=None, description="What every name that is made begins with.")
    bots: Annotated[tuple[BotQueues, ...], NoDecode] = Field(
        default=(), description="The bots, and what their queues are like; JSON in the environment."
    )
    bot: str | None = Field(
        default=None, description="Which of the bots this is: its queue is received from unless one is named."
    )
    receive_timeout_s: float = Field(
        default=30.0,
        gt=0,
        allow_inf_nan=False,
        validation_alias=AliasChoices("QUEUE_RECEIVE_TIMEOUT_SECONDS"),
        description="How long a client's receive waits unless it is told.",
    )
    telemetry: bool = Field(
        default=False, description="Spans, metrics and trace context of sends and receives, by OpenTelemetry."
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
        min_length=1,
        validation_alias=AliasChoices("QUEUE_SQS_REGION", "AWS_REGION"),
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
        validation_alias=AliasChoices("QUEUE_SQS_DEAD_LETTER_QUEUE", "QUEUE_DLQ_NAME"),
        description="Takes the dead letters of queues without a redrive policy.",
    )
    sqs_visibility_timeout_s: int | None = Field(
        default=None,
        ge=1,
        le=43_200,
        validation_alias=AliasChoices("QUEUE_VISIBILITY_TIMEOUT_SECONDS"),
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
        return {"inmemory": "memory", "sqs": "aws", "servicebus": "azure"}.get(value, value)

    @field_validator("memory_queues", "sqs_queue_urls", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(name.strip() for name in value.split(",") if name.strip()) if isinstance(value, str) else value

    @field_validator("queue_name", "sqs_dead_letter_queue")
    @classmethod
    def _is_a_name(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            return None
        return check_queue_name(str(info.data.get("provider", "")), QueueName(value))

    @field_validator("sqs_dead_letter_queue")
    @classmethod
    def _is_of_the_same_kind(cls, value: str | None, info: ValidationInfo) -> str | None:
        main = info.data.get("queue_name")
        if value is not None and main is not None and value.endswith(".fifo") != main.endswith(".fifo"):
            msg = f"{str(value)!r} and queue {str(main)!r} are not of one kind: both end in .fifo, or neither"
            raise ValueError(msg)
        return value

    @field_validator("bots", mode="before")
    @classmethod
    def _from_json(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return cast("object", json.loads(value))
        except (ValueError, RecursionError):
            msg = 'should be a JSON array of tables: [{"name": "merge-warden"}]'
            raise ValueError(msg) from None  # the cause would show the value

    @field_validator("bots")
    @classmethod
    def _make_good_names(cls, value: tuple[BotQueues, ...], info: ValidationInfo) -> tuple[BotQueues, ...]:
        known = info.data
        if not value or "provider" not in known or "environment" not in known or "queue_prefix" not in known:
            return value  # what is missing is told by its own name
        if known["environment"] is None:
            msg = "need an environment, which is part of their queues' names: set QUEUE_ENVIRONMENT"
            raise ValueError(msg)
        QueueRegistry(known["provider"], known["environment"], value, known["queue_prefix"])
        return value

    @field_validator("bot")
    @classmethod
    def _is_a_bot(cls, value: str | None, info: ValidationInfo) -> str | None:
        known = cast("tuple[BotQueues, ...] | None", info.data.get("bots"))
        if value is not None and known is not None and value not in {bot.name for bot in known}:
            names = ", ".join(bot.name for bot in known) or "there are none"
            msg = f"{value!r} is none of the bots: {names}"
            raise ValueError(msg)
        return value

    @field_validator("memory_queues")
    @classmethod
    def _are_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(QueueName(name) for name in value)

    @property
    def own_queue(self) -> QueueName | None:
        """The queue that is meant where none is named: `queue_name`, else that of `bot`."""
        if self.queue_name is not None:
            return QueueName(self.queue_name)
        return None if self.bot is None else self.registry.main(self.bot)

    @property
    def registry(self) -> QueueRegistry:
        """The bots and their queues."""
        return QueueRegistry(
            self.provider, self.environment or "", self.bots if self.environment else (), self.queue_prefix
        )
