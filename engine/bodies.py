"""Bodies between the journal and a handler: the one holds them as they travel, the other as their sender wrote them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from queue_runtime.engine.outbox import as_message
from queue_runtime.journal.events import Outgoing
from queue_runtime.plugins.encryption import Envelope
from queue_runtime.providers.bodies import BodyCipher, is_marked
from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.errors import ErrorContext, KeyNotFound
from queue_runtime.providers.message import Delivery, QueueName

__all__ = ["Bodies"]


class Bodies:
    """Opens what was received for each attempt, and encrypts what an attempt sends before it is journaled.

    Without a cipher nothing is encrypted, and a body that came encrypted fails its attempt for want of a key: a handler
    is never given what it could only misread.
    """

    def __init__(self, cipher: BodyCipher | None) -> None:
        self._cipher = cipher

    def pass_through(self, body: bytes) -> bool:
        """True if there is nothing to be done, so that nobody need wait for it."""
        return self._cipher is None and not is_marked(body)

    async def opened(self, delivery: Delivery, received_at: Timestamp) -> Delivery:
        """Return the delivery as a handler is to see it. `received_at`: its first receipt, as the journal holds it.

        Raises:
            CryptoError: transient while a key is missing, else for good.
        """
        if self._cipher is None:
            sent = delivery.message
            context = ErrorContext(delivery.queue, sent.message_id, sent.session_id, "decrypt")
            raise KeyNotFound(Envelope.parse(sent.body, context).key_id, context=context)
        return await self._cipher.open(delivery, received_at=received_at)

    async def sealed(self, outgoing: Sequence[Outgoing]) -> tuple[Outgoing, ...]:
        """Return what an attempt sent as it is to travel, and to be journaled.

        Raises:
            CryptoError: there is no key to encrypt with, for now.
        """
        cipher = self._cipher
        if cipher is None:
            return tuple(outgoing)
        sealed: list[Outgoing] = []
        for item in outgoing:
            due_at = None if item.due_at is None else Timestamp(item.due_at)
            message = await cipher.seal(QueueName(item.queue), as_message(item), at=due_at)
            sealed.append(replace(item, body=message.body))
        return tuple(sealed)

    async def close(self) -> None:
        """Forget the keys."""
        if self._cipher is not None:
            await self._cipher.close()
