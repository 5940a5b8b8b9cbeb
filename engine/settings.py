"""The engine's settings. One of the two places that read the environment (the other is `providers/settings.py`)."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from queue_runtime.engine.policy import Backoff, BackoffKind, BreakerPolicy, PoisonPolicy, Policy, SessionFailure
from queue_runtime.journal.settings import JournalSettings
from queue_runtime.providers.settings import LayeredSettings

__all__ = ["EngineSettings"]

_Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_MaybeSeconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]  # 0 is none
_Count = Annotated[int, Field(ge=1)]
_Names = Annotated[tuple[str, ...], NoDecode]


class EngineSettings(LayeredSettings):
    """How an engine works. Each field is read from `QUEUE_ENGINE_<NAME>` unless it is passed.

    Units are in the names: `_s` seconds, `_bytes` bytes. Values out of range raise pydantic's `ValidationError`, which
    names each field; nothing has been opened then.
    """

    model_config = SettingsConfigDict(env_prefix="QUEUE_ENGINE_")

    section: ClassVar[str] = "engine"

    journal: Path = Field(default=Path("journal"), description="Folder of the journal; made if it is not there.")
    adopt_siblings: bool = Field(
        default=False, description="Take over the outbox, settlements and scheduled sends of idle journals beside it."
    )
    synchronous: Literal["FULL", "NORMAL"] = Field(
        default="FULL", description="FULL survives a power cut; NORMAL survives a killed process only, and is faster."
    )
    journal_segment_bytes: _Count = Field(
        default=1024 * 1024 * 1024, description="Size from which the journal goes on in a new segment."
    )
    journal_segment_age_s: _Seconds = Field(default=24 * 3_600.0, description="Age from which it does.")
    journal_retention_s: _Seconds = Field(
        default=7 * 24 * 3_600.0, description="Age from which a segment that is not written any more is dropped."
    )
    journal_retention_bytes: _Count = Field(
        default=20 * 1024 * 1024 * 1024, description="Size of the journal beyond which its oldest segments go too."
    )
    journal_archive: Path | None = Field(
        default=None, description="Folder where segments are moved instead of being dropped; one for each journal."
    )
    journal_keep_bodies: bool = Field(
        default=True, description="Keep bodies of completed messages in segments that are not written any more."
    )
    journal_yield_to_writer: bool = Field(
        default=False,
        description="Keep commits fast beside a busy event loop: shortens the process's switch interval meanwhile.",
    )
    journal_head_key: SecretStr | None = Field(
        default=None, min_length=16, description="Secret that signs the journal's head; none signs nothing."
    )
    queues: _Names = Field(default=(), description="Queues to receive from; comma-separated.")
    plugins: _Names = Field(
        default=(), description="Import paths of plugins, `package.module` or `:attribute`; comma-separated."
    )
    telemetry: bool = Field(
        default=False, description="Spans, metrics and trace context by OpenTelemetry, where the process records them."
    )
    concurrency: _Count = Field(default=100, description="Handlers that run at the same time.")
    threads: _Count = Field(default=16, description="Threads for handlers that are plain functions.")
    max_in_flight: _Count = Field(default=300, description="Messages held at the same time, waiting ones included.")
    max_in_flight_bytes: _Count = Field(default=256 * 1024 * 1024, description="Bytes of bodies held at the same time.")
    max_lane: _Count = Field(default=50, description="Messages held of one session; what exceeds it is handed back.")
    lane_release_delay_s: _Seconds = Field(default=5.0, description="How long a message handed back stays hidden.")
    reorder_wait_s: _MaybeSeconds = Field(
        default=2.0,
        description="How long a message waits for an earlier one of its sender, where no broker orders.",
    )
    receive_wait_s: _Seconds = Field(default=5.0, description="Length of one long poll.")
    receive_batch: _Count = Field(default=100, description="Messages asked for by one receive call, at most.")
    handler_timeout_s: _Seconds = Field(default=300.0, description="Time one attempt may take, unless its route says.")
    drain_s: _MaybeSeconds = Field(
        default=30.0, description="Time that running handlers are given to finish at a stop."
    )
    settle_max_age_s: _MaybeSeconds = Field(
        default=0.0, description="How long a settlement waits for others; those of one commit go together anyway."
    )
    on_unhandled: Literal["dead-letter", "complete", "release"] = Field(
        default="dead-letter", description="What becomes of a message that no plugin handles."
    )
    max_attempts: _Count = Field(default=5, description="Charged attempts before a message is dead-lettered.")
    session_failure: SessionFailure = Field(
        default=SessionFailure.SKIP, description="What becomes of a session whose head failed for good."
    )
    park_s: _Seconds = Field(default=12 * 3_600.0, description="How long a parked session waits for an operator.")
    retry_kind: BackoffKind = Field(default=BackoffKind.EXPONENTIAL, description="How the delay grows.")
    retry_initial_s: _Seconds = Field(default=1.0, description="Delay before the second attempt.")
    retry_max_s: _Seconds = Field(default=30.0, description="The longest delay.")
    retry_multiplier: float = Field(
        default=2.0, ge=1, allow_inf_nan=False, description="Growth of an exponential delay."
    )
    retry_increment_s: _MaybeSeconds = Field(default=1.0, description="Growth of a linear delay.")
    retry_jitter: float = Field(default=0.2, ge=0, le=1, description="Largest share added or taken away at random.")
    retry_hold_s: _Seconds = Field(default=300.0, description="The longest delay for which a lock is kept.")
    breaker_failures: _Count = Field(default=5, description="Consecutive transient failures that open a breaker.")
    breaker_open_s: _Seconds = Field(default=30.0, description="How long it stays open before a probe.")
    breaker_successes: _Count = Field(default=3, description="Consecutive probes that close it.")
    max_crashes: _Count = Field(default=3, description="Crashes of a message run alone before it is dead-lettered.")
    suspicion_s: _Seconds = Field(default=600.0, description="How long a message is run alone after a crash.")
    suspect_deliveries: _Count = Field(default=3, description="Deliveries to others that make a message a suspect.")
    lock_margin_s: _Seconds = Field(default=1.0, description="A lock with less time left counts as lost at a restart.")
    forget_lapsed_s: _Seconds = Field(default=900.0, description="How long a lapsed message is kept in memory.")
    idempotency_window_s: _Seconds = Field(default=24 * 3_600.0, description="How long a completed key is remembered.")
    recent_keys: _Count = Field(
        default=32_768, description="Completed keys held in memory before they are put into a key file."
    )
    snapshot_every_events: _Count = Field(
        default=250_000, description="Events after which the state is stored, so that a start need not read them."
    )
    session_receivers: _Count = Field(
        default=8, description="Sessions worked at the same time, on brokers with sessions."
    )
    needs_sessions: bool = Field(
        default=False, description="Refuse a queue that keeps no order at all, and warn of one that does not hold it."
    )
    session_idle_s: _Seconds = Field(default=5.0, description="Idle time after which a session is given back.")
    debug_fold: bool = Field(
        default=False, description="Audit the journal, and compare the live state with a fold of it, at every stop."
    )

    @field_validator("queues", "plugins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(name.strip() for name in value.split(",") if name.strip()) if isinstance(value, str) else value

    @field_validator("retry_max_s")
    @classmethod
    def _is_no_shorter(cls, value: float, info: ValidationInfo) -> float:
        initial = info.data.get("retry_initial_s")
        if initial is not None and value < initial:
            msg = f"the longest delay, {value:g} s, is shorter than the first one, {initial:g} s: raise it"
            raise ValueError(msg)
        return value

    def policy(self) -> Policy:
        """Return the policy of a route without options of its own."""
        return Policy(
            max_attempts=self.max_attempts,
            backoff=Backoff(
                kind=self.retry_kind,
                initial_s=self.retry_initial_s,
                max_s=self.retry_max_s,
                multiplier=self.retry_multiplier,
                increment_s=self.retry_increment_s,
                jitter=self.retry_jitter,
            ),
            breaker=BreakerPolicy(self.breaker_failures, self.breaker_open_s, self.breaker_successes),
            poison=PoisonPolicy(self.max_crashes, self.suspicion_s, self.suspect_deliveries),
            session_failure=self.session_failure,
            park_s=self.park_s,
            hold_s=self.retry_hold_s,
            lock_margin_s=self.lock_margin_s,
            forget_lapsed_s=self.forget_lapsed_s,
        )

    def journal_settings(self) -> JournalSettings:
        """Return how the journal is kept on disk."""
        return JournalSettings(
            synchronous=self.synchronous,
            segment_bytes=self.journal_segment_bytes,
            segment_age_s=self.journal_segment_age_s,
            retention_s=self.journal_retention_s,
            retention_bytes=self.journal_retention_bytes,
            archive_folder=self.journal_archive,
            keep_bodies=self.journal_keep_bodies,
            yield_to_writer=self.journal_yield_to_writer,
            head_key=None if self.journal_head_key is None else self.journal_head_key.get_secret_value().encode(),
        )

    def digest(self) -> str:
        """Return a short fingerprint of all values, for the journal: did the settings change between two runs?"""
        return hashlib.sha256(self.model_dump_json(exclude={"config"}).encode()).hexdigest()[:16]
