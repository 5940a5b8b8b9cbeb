"""The place of encryption: what turns a body into what travels, and back. Who does it is found by an entry point.

Providers carry bodies as they are. What is above them - a client, an engine - asks a `BodyCipher`, if it was given one,
on the way out and on the way in.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.errors import CryptoError, QueueError
from queue_runtime.providers.message import Delivery, Message, QueueName
from queue_runtime.providers.port import Address, Provider, SettleKind, Settlement

__all__ = ["MARKER", "BodyCipher", "is_marked", "openable"]

logger = logging.getLogger("queue_runtime.encryption")

MARKER = b"QRE1"
"""What the body of an encrypted message begins with."""


def is_marked(body: bytes) -> bool:
    """Say whether a body claims to be encrypted."""
    return body.startswith(MARKER)


class BodyCipher(Protocol):
    """Encrypts bodies and opens them. May be called by many tasks of one loop; cancelling a call harms nothing."""

    async def seal(self, queue: QueueName, message: Message, *, at: Timestamp | None = None) -> Message:
        """Return the message as it travels to `queue`; `at`: it is due then, and not valid before.

        The same message sealed again is the same again, as far as this object remembers: who repeats a send repeats it.

        Raises:
            CryptoError: it cannot be encrypted; transient if the keys cannot be had for now.
        """
        ...

    async def open(self, delivery: Delivery, *, received_at: Timestamp | None = None) -> Delivery:
        """Return the delivery with the body as its sender wrote it, and what travelled as `sealed`.

        Args:
            delivery: as a provider handed it over. A plain body is returned as it is, if the policy lets it pass.
            received_at: when this message was received first; the delivery's own first hand-over unless given.

        Raises:
            CryptoError: it cannot be opened: transient while a key is missing, else for good.
        """
        ...

    async def redrive(self, queue: QueueName, dead: Message, copy: Message) -> Message:
        """Return `copy`, which a redrive makes of a dead letter of `queue`, encrypted anew; `dead` is what travelled.

        Its age begins anew. How old the dead letter is does not matter.

        Raises:
            CryptoError: the dead letter cannot be opened, or the copy not encrypted.
        """
        ...

    async def close(self) -> None:
        """Forget the keys. Twice is harmless."""
        ...


async def openable(
    provider: Provider, source: Address, cipher: BodyCipher | None, deliveries: Sequence[Delivery]
) -> list[Delivery]:
    """Open what was received, and deal with what does not open, so that one bad message does not cost the others.

    A body that can never be opened is dead-lettered with the error's name, one whose key is missing is handed back;
    both are logged. If that was all there is, the first error is raised.

    Raises:
        CryptoError: nothing of it could be opened.
    """
    if cipher is None:
        return list(deliveries)
    opened: list[Delivery] = []
    errors: list[CryptoError] = []
    for delivery in deliveries:
        try:
            opened.append(await cipher.open(delivery))
        except CryptoError as error:
            errors.append(error)
            await _put_aside(provider, source, delivery, error)
    if errors and not opened:
        raise errors[0]
    return opened


async def _put_aside(provider: Provider, source: Address, delivery: Delivery, error: CryptoError) -> None:
    kind, receipt = type(error).__name__, delivery.receipt
    if error.transient:
        settlement = Settlement(SettleKind.ABANDON, receipt, delay_s=error.retry_after_s or 0.0)
    else:
        settlement = Settlement(SettleKind.DEAD_LETTER, receipt, 0.0, kind, str(error), message=delivery.message)
    logger.error(
        "message %s of %s does not open, and is put aside (%s): %s",
        delivery.message.message_id,
        delivery.queue,
        settlement.kind,
        error,
    )
    try:
        (refused,) = await provider.settle(source, [settlement])
    except QueueError as failure:
        refused = failure
    if refused is not None:  # its lock ends by itself, and it is delivered again
        logger.warning("message %s could not be put aside: %s", delivery.message.message_id, refused)
