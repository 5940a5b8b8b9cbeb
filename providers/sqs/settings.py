"""How the service is reached, and the numbers that it sets itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["LONGEST_DELAY_S", "LONGEST_LOCK_S", "MAX_BATCH", "MAX_BATCH_BYTES", "PROVIDER", "SqsSettings"]

PROVIDER = "aws"

# Source: the service model of SQS (API version 2012-11-05) and the developer guide's quotas, read November 2026.
MAX_BATCH = 10
MAX_BATCH_BYTES = 1_048_576
LONGEST_DELAY_S = 900
LONGEST_LOCK_S = 43_200  # counts from the receive


@dataclass(frozen=True, slots=True)
class SqsSettings:
    """How a provider reaches its queues.

    Credentials are the SDK's own affair: environment, profile, container or instance role, in its order.

    Attributes:
        region: None leaves it to the SDK's environment and profile.
        endpoint_url: another service than Amazon's, such as a local one. Nothing else overrides the endpoint.
        queue_urls: by queue name, where the name alone is not enough.
        owner_account: the account that owns queues which are given by name, if it is not the caller's own.
        dead_letter_queue: takes dead letters of queues without a redrive policy.
        visibility_s: how long a delivery is locked, in whole seconds; None takes each queue's own.
        max_message_bytes: bodies and attributes above this are refused, as above what the queue takes.
        longest_poll_s: 1 to 20; closing the provider waits for as long as this at most.
    """

    region: str | None = None
    endpoint_url: str | None = None
    queue_urls: Mapping[str, str] = field(default_factory=dict[str, str])
    owner_account: str | None = None
    dead_letter_queue: str | None = None
    visibility_s: int | None = None
    max_message_bytes: int = 262_144
    longest_poll_s: int = 20
