"""What an application holds without an engine: a queue's client, a session's, and one for dead letters."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypedDict, Unpack

from pydantic import SecretStr

from queue_runtime.providers.bodies import BodyCipher, openable
from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.errors import (
    CryptoError,
    DeadLetterError,
    ErrorContext,
    MessageTooLarge,
    QueueError,
    SessionLockLost,
    UnsupportedOperation,
)
from queue_runtime.providers.message import Delivery, Message, QueueName, SessionId
from queue_runtime.providers.naming import BotQueues
from queue_runtime.providers.port import (
    Address,
    Capabilities,
    CountsMessages,
    HeldSession,
    Provider,
    QueueCounts,
    Sent,
)
from queue_runtime.providers.redrive import redriven
from queue_runtime.providers.registry import cipher_from_settings, provider_from_settings
from queue_runtime.providers.settings import ProviderSettings
from queue_runtime.providers.settling import KnownReceipts, Settling

__all__ = ["DeadLetterClient", "QueueClient", "SessionClient"]

DEFAULT_TIMEOUT_S = 30.0


class SettingsOverrides(TypedDict, total=False):
    """Settings that are passed and not read from environment or file: see `ProviderSettings`."""

    config: Path
    provider: str
    queue_name: str
    environment: str
    queue_prefix: str
    bots: tuple[BotQueues, ...]
    bot: str
    receive_timeout_s: float
    telemetry: bool
    memory_address: str
    memory_queues: tuple[str, ...]
    memory_kind: str
    sqs_region: str
    sqs_endpoint_url: str
    sqs_queue_urls: tuple[str, ...]
    sqs_owner_account: str
    sqs_dead_letter_queue: str
    sqs_visibility_timeout_s: int
    sqs_max_message_bytes: int
    sqs_longest_poll_s: int
    encryption_enabled: bool
    encryption_keys: SecretStr
    encryption_key_file: Path
    encryption_key_ttl_s: float
    encryption_plain: Literal["allow", "allow-with-alert", "reject"]
    encryption_max_age_s: float
    encryption_skew_s: float
    encryption_track_nonces: bool
    encryption_nonce_ttl_s: float
    servicebus_connection_string: SecretStr
    servicebus_lock_s: float
    servicebus_max_deliveries: int
    servicebus_dead_letters_expired: bool
    servicebus_deduplicates: bool
    servicebus_max_message_bytes: int


class QueueClient(Settling):
    """A provider's queues in the hands of an application. Many tasks may use it, on the loop that entered it.

    Use it as an async context manager: entering opens the provider, leaving closes it. `timeout_s` is how long receives
    wait unless they are told, in seconds. Names may be bare strings; they are validated here.

    With a `cipher` bodies are encrypted on the way out and opened on the way in. What does not open is put aside: see
    `receive_batch`. `peek` and dead letters show bodies as they travel.
    """

    def __init__(
        self, provider: Provider, *, timeout_s: float = DEFAULT_TIMEOUT_S, cipher: BodyCipher | None = None
    ) -> None:
        super().__init__(provider, KnownReceipts())
        self._timeout_s = timeout_s
        self._cipher = cipher
        self._capabilities: dict[QueueName, Capabilities] = {}

    @classmethod
    def from_settings(cls, **overrides: Unpack[SettingsOverrides]) -> Self:
        """Make a client of the provider that the overrides name, or the environment, or the file of settings.

        Raises:
            InvalidSettings: settings cannot be right; names all of them, and nothing was started.
            ConfigurationError: the file cannot be read, or the provider cannot be made.
        """
        settings = ProviderSettings.load(**overrides)
        cipher = cipher_from_settings(settings)
        return cls(provider_from_settings(settings), timeout_s=settings.receive_timeout_s, cipher=cipher)

    async def __aenter__(self) -> Self:
        """Open the provider."""
        await self._provider.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the provider; what was not settled is delivered again when its lock ends."""
        if self._cipher is not None:
            await self._cipher.close()
        await self._provider.close()

    async def send(self, queue: str, message: Message, *, at: datetime | None = None) -> Sent:
        """Send one message; `at`, an aware datetime, holds it back until then.

        Raises:
            QueueError: it was not accepted; after a transient one it may have been, and the same message may be sent
                again: its id stays the same.
        """
        (answer,) = await self.send_batch(queue, [message], at=at)
        if isinstance(answer, QueueError):
            raise answer
        return answer

    async def send_batch(
        self, queue: str, messages: Sequence[Message], *, at: datetime | None = None
    ) -> list[Sent | QueueError]:
        """Send any number of messages, and answer one by one in the order given: a refusal costs the others nothing.

        What is too large for the queue is refused here, without a call, as is what cannot be encrypted.

        Raises:
            QueueNotFound, AuthenticationFailed, ConnectionFailed: nothing was sent.
        """
        if not messages:
            return []
        name = QueueName(queue)
        limit = (await self._capabilities_of(name)).max_message_bytes
        due = None if at is None else Timestamp.from_datetime(at)
        sealed = messages if self._cipher is None else await _sealed(self._cipher, name, messages, due)
        ready = [
            m if isinstance(m, QueueError) or m.size_bytes <= limit else _too_large(name, m, limit) for m in sealed
        ]
        sent = iter(await self._provider.send(name, [m for m in ready if isinstance(m, Message)], at=due))
        return [next(sent) if isinstance(m, Message) else m for m in ready]

    async def cancel(self, queue: str, sent: Sent) -> None:
        """Call off a message that was sent for later.

        Raises:
            MessageNotFound: it is due already, or unknown.
        """
        (refused,) = await self._provider.cancel_scheduled(QueueName(queue), [sent.provider_id or sent.message_id])
        if refused is not None:
            raise refused

    async def receive(self, queue: str, *, timeout_s: float | None = None) -> Delivery | None:
        """Wait for one message; None at the time-out."""
        deliveries = await self.receive_batch(queue, 1, timeout_s=timeout_s)
        return deliveries[0] if deliveries else None

    async def receive_batch(self, queue: str, max_messages: int, *, timeout_s: float | None = None) -> list[Delivery]:
        """Wait for at least one message, and take up to `max_messages`; an empty list at the time-out.

        A body that does not open is logged, and dead-lettered, or handed back while its key is missing.

        Raises:
            CryptoError: all that was received did not open; the first of the errors.
        """
        wait_s = self._timeout_s if timeout_s is None else timeout_s
        source = Address(QueueName(queue))
        received = await self._provider.receive(source, max_messages, wait_s)
        return await openable(self._provider, source, self._cipher, received)

    async def accept_session(
        self, queue: str, session_id: str | None = None, *, timeout_s: float | None = None
    ) -> SessionClient | None:
        """Lock the named session, or the next free one that has messages; None if there is none in time.

        Raises:
            SessionLocked: somebody else holds the named one.
            UnsupportedOperation: the queue has no sessions.
        """
        name = QueueName(queue)
        wait_s = self._timeout_s if timeout_s is None else timeout_s
        wanted = None if session_id is None else SessionId(session_id)
        held = await self._provider.accept_session(name, wanted, wait_s)
        if held is None:
            return None
        return SessionClient(self._provider, self._known, name, held, self._timeout_s, self._cipher)

    async def peek(self, queue: str, max_messages: int = 1, *, after_sequence: int = 0) -> list[Delivery]:
        """Look at messages without taking them.

        Raises:
            UnsupportedOperation: this broker does not let one look.
        """
        return await self._provider.peek(Address(QueueName(queue)), max_messages, after_sequence)

    def dead_letters(self, queue: str) -> DeadLetterClient:
        """Return the client of a queue's dead letters."""
        return DeadLetterClient(self._provider, self._known, QueueName(queue), self._timeout_s, self._cipher)

    async def counts(self, queue: str) -> QueueCounts:
        """Count a queue's messages by state.

        Raises:
            UnsupportedOperation: this broker does not tell.
        """
        if not isinstance(self._provider, CountsMessages):
            operation, why = "counts", f"provider {self._provider.name!r} does not tell"
            raise UnsupportedOperation(operation, why)
        return await self._provider.counts(QueueName(queue))

    async def _capabilities_of(self, queue: QueueName) -> Capabilities:
        known = self._capabilities.get(queue)
        if known is None:
            known = self._capabilities[queue] = await self._provider.capabilities(queue)
        return known


class SessionClient(Settling):
    """One session, locked for this application until the lock ends or it is given back.

    Use it as an async context manager: leaving gives the session back. Every operation raises `SessionLockLost` once
    the lock is gone. The lock is not renewed by itself: call `renew_lock` well before `locked_until`.
    """

    def __init__(
        self,
        provider: Provider,
        known: KnownReceipts,
        queue: QueueName,
        held: HeldSession,
        timeout_s: float,
        cipher: BodyCipher | None = None,
    ) -> None:
        super().__init__(provider, known)
        self._queue = queue
        self._held = held
        self._timeout_s = timeout_s
        self._cipher = cipher
        self._is_closed = False

    @property
    def session_id(self) -> SessionId:
        """The session that is held."""
        return self._held.session_id

    @property
    def locked_until(self) -> datetime:
        """When the lock ends; moves with every renewal."""
        return self._held.locked_until.to_datetime()

    async def __aenter__(self) -> Self:
        """Return the client: the session is held already."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give the session back."""
        await self.close()

    async def receive(self, *, timeout_s: float | None = None) -> Delivery | None:
        """Wait for the session's next message; None at the time-out."""
        deliveries = await self.receive_batch(1, timeout_s=timeout_s)
        return deliveries[0] if deliveries else None

    async def receive_batch(self, max_messages: int, *, timeout_s: float | None = None) -> list[Delivery]:
        """Wait for at least one message of the session, and take up to `max_messages`, in order.

        What does not open is dealt with as by `QueueClient.receive_batch`.
        """
        self._check_held()
        received = await self._held.receive(max_messages, self._timeout_s if timeout_s is None else timeout_s)
        return await openable(self._provider, Address(self._queue), self._cipher, received)

    async def renew_lock(self) -> datetime:
        """Extend the session's lock, and so that of its messages; return its new end."""
        self._check_held()
        (answer,) = await self._provider.renew_sessions(self._queue, [self._held])
        if isinstance(answer, QueueError):
            raise answer
        return answer.to_datetime()

    async def get_state(self) -> bytes | None:
        """Return what was stored for the session last; None if nothing was."""
        self._check_held()
        return await self._held.get_state()

    async def set_state(self, state: bytes | None) -> None:
        """Store a value for the session; it outlives the lock and the messages. None removes it."""
        self._check_held()
        await self._held.set_state(state)

    async def close(self) -> None:
        """Give the session back. Twice is harmless; one that somebody else holds by now is left to them."""
        self._is_closed = True
        await self._held.close()

    def _check_held(self) -> None:
        if self._is_closed:
            raise SessionLockLost(self.session_id, queue=self._queue)


class DeadLetterClient(Settling):
    """The dead letters of one queue: look at them, complete them to be rid of them, or send them again.

    Their bodies are as they travelled: one that was encrypted still is, for it may be here because it does not open.
    """

    def __init__(
        self,
        provider: Provider,
        known: KnownReceipts,
        queue: QueueName,
        timeout_s: float,
        cipher: BodyCipher | None = None,
    ) -> None:
        super().__init__(provider, known)
        self._source = Address(queue, dead_letters=True)
        self._timeout_s = timeout_s
        self._cipher = cipher

    async def receive(self, *, timeout_s: float | None = None) -> Delivery | None:
        """Wait for one dead letter; None at the time-out."""
        deliveries = await self.receive_batch(1, timeout_s=timeout_s)
        return deliveries[0] if deliveries else None

    async def receive_batch(self, max_messages: int, *, timeout_s: float | None = None) -> list[Delivery]:
        """Wait for at least one dead letter, and take up to `max_messages`."""
        wait_s = self._timeout_s if timeout_s is None else timeout_s
        return await self._provider.receive(self._source, max_messages, wait_s)

    async def peek(self, max_messages: int = 1, *, after_sequence: int = 0) -> list[Delivery]:
        """Look at dead letters without taking them."""
        return await self._provider.peek(self._source, max_messages, after_sequence)

    async def redrive(self, delivery: Delivery) -> Sent:
        """Send a dead letter to its queue again, under a new id, and then remove it from the dead letters.

        A crash between the two leaves the dead letter; redriving it again sends the same copy under the same id. With a
        cipher the copy is encrypted anew, so that its age and its key are today's.

        Raises:
            DeadLetterError: it was not sent, or could not be removed; it is still a dead letter.
        """
        queue, dead, was_sent = self._source.queue, delivery.as_sent, False
        try:
            copy = redriven(dead)
            if self._cipher is not None:
                copy = await self._cipher.redrive(queue, dead, copy)
            (answer,) = await self._provider.send(queue, [copy])
            if isinstance(answer, QueueError):
                raise answer
            was_sent = True
            await self.complete(delivery)
        except QueueError as error:
            message = delivery.message
            context = ErrorContext(self._source.queue, message.message_id, message.session_id, "redrive")
            raise DeadLetterError(message.message_id, error, was_sent=was_sent, context=context) from error
        return answer


async def _sealed(
    cipher: BodyCipher, queue: QueueName, messages: Sequence[Message], due: Timestamp | None
) -> list[Message | QueueError]:
    sealed: list[Message | QueueError] = []
    for message in messages:
        try:
            sealed.append(await cipher.seal(queue, message, at=due))
        except CryptoError as error:
            sealed.append(error)
    return sealed


def _too_large(queue: QueueName, message: Message, limit: int) -> MessageTooLarge:
    context = ErrorContext(queue, message.message_id, message.session_id, "send")
    return MessageTooLarge(message.size_bytes, limit, context=context)
