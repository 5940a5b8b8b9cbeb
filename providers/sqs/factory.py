"""How settings become an SQS provider."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from queue_runtime.providers.errors import ConfigurationError, ValidationError
from queue_runtime.providers.message import QueueName
from queue_runtime.providers.port import Provider
from queue_runtime.providers.settings import ProviderSettings
from queue_runtime.providers.sqs.provider import SqsProvider
from queue_runtime.providers.sqs.settings import SqsSettings

__all__ = ["from_settings", "sqs_settings"]


def from_settings(settings: ProviderSettings) -> Provider:
    """Make a provider, unopened.

    Raises:
        ConfigurationError: a queue's URL does not end in a queue's name.
    """
    return SqsProvider(sqs_settings(settings))


def sqs_settings(settings: ProviderSettings) -> SqsSettings:
    """Return what of the settings is for SQS.

    Raises:
        ConfigurationError: a queue's URL does not end in a queue's name.
    """
    return SqsSettings(
        region=settings.sqs_region,
        endpoint_url=settings.sqs_endpoint_url,
        queue_urls=_by_name(settings.sqs_queue_urls),
        owner_account=settings.sqs_owner_account,
        dead_letter_queue=settings.sqs_dead_letter_queue or _of_bot(settings),
        visibility_s=settings.sqs_visibility_timeout_s,
        max_message_bytes=settings.sqs_max_message_bytes,
        longest_poll_s=settings.sqs_longest_poll_s,
    )


def _of_bot(settings: ProviderSettings) -> str | None:
    """Return the queue that takes dead letters by the convention of names, where this is one of the bots."""
    return None if settings.bot is None else settings.registry.dead_letters(settings.bot)


def _by_name(urls: Sequence[str]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for url in urls:
        try:
            found[QueueName(url.rstrip("/").rpartition("/")[2])] = url
        except ValidationError as error:
            msg = f"queue URL {url!r} does not end in the name of a queue: copy it from the queue's page"
            raise ConfigurationError(msg) from error
    return found
