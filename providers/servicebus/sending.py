"""How messages are sent: in batches as large as the service takes, one session a batch, and for later one by one."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from azure.servicebus import ServiceBusMessage, ServiceBusMessageBatch
from azure.servicebus.exceptions import MessageSizeExceededError

from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.errors import MessageNotFound, MessageTooLarge, QueueError, QueueNotFound
from queue_runtime.providers.message import Message, QueueName
from queue_runtime.providers.port import Sent
from queue_runtime.providers.servicebus.errors import About, error_of
from queue_runtime.providers.servicebus.links import Links, Outlet, in_our_words
from queue_runtime.providers.servicebus.settings import MAX_BATCH, ServiceBusSettings
from queue_runtime.providers.servicebus.wire import wire_of

__all__ = ["Sender"]

SEND_S = 30.0  # the SDK's own tries included


@dataclass(frozen=True, slots=True)
class _Batch:
    numbers: list[int]
    content: ServiceBusMessageBatch


class Sender:
    """Sends for one provider."""

    def __init__(self, links: Links, settings: ServiceBusSettings) -> None:
        self._links = links
        self._settings = settings

    async def send(
        self, queue: QueueName, messages: Sequence[Message], at: Timestamp | None
    ) -> list[Sent | QueueError]:
        """Send, and answer item by item in the order given.

        Raises:
            QueueNotFound: there is no such queue.
        """
        outlet = self._links.outlet(queue)
        limit = self._settings.max_message_bytes
        answers: dict[int, Sent | QueueError] = {}
        fitting: list[int] = []
        for number, message in enumerate(messages):
            if message.size_bytes > limit:
                context = About("send", queue, message=message).context
                answers[number] = MessageTooLarge(message.size_bytes, limit, context=context)
            else:
                fitting.append(number)
        async with outlet.turn:
            if at is not None:
                for number in fitting:
                    answers[number] = await self._schedule(queue, outlet, messages[number], at)
            else:
                await self._send(queue, outlet, messages, fitting, answers)
        for answer in answers.values():
            if isinstance(answer, QueueNotFound):
                raise answer
        return [answers[number] for number in range(len(messages))]

    async def _send(
        self,
        queue: QueueName,
        outlet: Outlet,
        messages: Sequence[Message],
        fitting: Sequence[int],
        answers: dict[int, Sent | QueueError],
    ) -> None:
        """Send in batches. Nothing of a session goes behind a message of it that may yet be sent."""
        by_session: dict[str | None, list[int]] = {}
        for number in fitting:
            by_session.setdefault(messages[number].session_id, []).append(number)
        for numbers in by_session.values():
            waiting = numbers
            while waiting:
                batch, waiting = await self._packed(queue, outlet, messages, waiting, answers)
                if batch is None:
                    continue
                about = About("send", queue, message=messages[batch.numbers[0]], limit=self._limit, timeout_s=SEND_S)
                try:
                    await in_our_words(about, outlet.sender.send_messages(batch.content, timeout=SEND_S), SEND_S + 5)
                except QueueError as error:
                    answers.update((number, error) for number in batch.numbers)
                    if error.transient:
                        answers.update((number, error) for number in waiting)
                        break
                else:
                    answers.update((number, Sent(messages[number].message_id, None)) for number in batch.numbers)

    @property
    def _limit(self) -> int:
        return self._settings.max_message_bytes

    async def _packed(
        self,
        queue: QueueName,
        outlet: Outlet,
        messages: Sequence[Message],
        numbers: list[int],
        answers: dict[int, Sent | QueueError],
    ) -> tuple[_Batch | None, list[int]]:
        """Put as many messages into a batch as it takes; what cannot be sent at all is answered."""
        about = About("send", queue, message=messages[numbers[0]], limit=self._limit, timeout_s=SEND_S)
        try:
            content = await in_our_words(about, outlet.sender.create_message_batch(), SEND_S)
        except QueueError as error:
            answers.update((number, error) for number in numbers)
            return None, []
        inside: list[int] = []
        for place, number in enumerate(numbers):
            if len(inside) == MAX_BATCH:
                return _Batch(inside, content), numbers[place:]
            try:
                content.add_message(wire_of(messages[number]))
            except MessageSizeExceededError as error:
                if inside:
                    return _Batch(inside, content), numbers[place:]
                answers[number] = error_of(About("send", queue, message=messages[number], limit=self._limit), error)
            except (ValueError, TypeError) as error:
                answers[number] = error_of(About("send", queue, message=messages[number]), error)
            else:
                inside.append(number)
        return (_Batch(inside, content) if inside else None), []

    async def _schedule(self, queue: QueueName, outlet: Outlet, message: Message, at: Timestamp) -> Sent | QueueError:
        about = About("send", queue, message=message, limit=self._limit, timeout_s=SEND_S)
        wire: ServiceBusMessage = wire_of(message)
        try:
            call = outlet.sender.schedule_messages(wire, at.to_datetime(), timeout=SEND_S)
            (number,) = await in_our_words(about, call, SEND_S + 5)
        except QueueError as error:
            return error
        return Sent(message.message_id, str(number))

    async def cancel(self, queue: QueueName, provider_ids: Sequence[str]) -> list[QueueError | None]:
        """Call off what was sent for later, one by one: in one request a wrong number would cost the others."""
        outlet = self._links.outlet(queue)
        answers: list[QueueError | None] = []
        about = About("cancel", queue, timeout_s=SEND_S)
        async with outlet.turn:
            for provider_id in provider_ids:
                answer: QueueError | None = MessageNotFound(provider_id, context=about.context)
                if provider_id.isascii() and provider_id.isdecimal() and len(provider_id) < len(str(1 << 63)):
                    answer = await self._cancel(about, outlet, provider_id)
                answers.append(answer)
        return answers

    async def _cancel(self, about: About, outlet: Outlet, provider_id: str) -> QueueError | None:
        try:
            await in_our_words(about, outlet.sender.cancel_scheduled_messages(int(provider_id), timeout=SEND_S))
        except MessageNotFound:
            return MessageNotFound(provider_id, context=about.context)
        except QueueError as error:
            return error
        return None
