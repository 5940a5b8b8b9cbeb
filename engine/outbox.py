"""Sends what completed handlers sent through their context, and what the journal holds until it is due."""

from __future__ import annotations

import logging
from datetime import timedelta

from queue_runtime.engine.answers import as_queue_error
from queue_runtime.engine.background import Background
from queue_runtime.engine.batches import Batches
from queue_runtime.engine.core import Core
from queue_runtime.engine.effects import Send
from queue_runtime.engine.inputs import SendConfirmed, SendFailed
from queue_runtime.engine.recording import record_events
from queue_runtime.engine.settings import EngineSettings
from queue_runtime.journal.events import Outgoing, SendCancelled, SendScheduled
from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.errors import QueueError
from queue_runtime.providers.message import Message, QueueName
from queue_runtime.providers.port import Provider, Sent

__all__ = ["Outbox", "as_message"]

logger = logging.getLogger("queue_runtime.engine")

_RETRY_S = 1.0


class Outbox:
    """Performs `Send`. A message that its broker can never take is journaled as failed, and reported at level error."""

    def __init__(self, core: Core, provider: Provider, settings: EngineSettings) -> None:
        self._background = Background()
        self._core = core
        self._provider = provider
        self._settings = settings
        self._batches: dict[str, Batches[Send]] = {}
        self._max_delays: dict[str, float | None] = {}
        self._watched: set[str] = set()

    def perform(self, effect: Send) -> None:
        """Send with the next batch to the same queue."""
        queue = effect.message.queue
        batches = self._batches.get(queue)
        if batches is None:
            batches = self._batches[queue] = self._batches_for(QueueName(queue))
        batches.add(effect)

    def _batches_for(self, queue: QueueName) -> Batches[Send]:
        async def call(effects: list[Send]) -> None:
            await self._send(queue, effects)

        return Batches(call, self._settings.receive_batch, self._settings.settle_max_age_s)

    async def _send(self, queue: QueueName, effects: list[Send]) -> None:
        await self._core.outage.over()
        now = self._core.now()
        immediate = [effect for effect in effects if (effect.message.due_at or 0) <= now]
        later = [effect for effect in effects if (effect.message.due_at or 0) > now]
        if immediate:
            await self._send_now(queue, immediate, None)
        for effect in later:
            due_at = Timestamp(effect.message.due_at or 0)
            if await self._broker_holds(queue, (due_at - now) / 1_000_000):
                await self._send_now(queue, [effect], due_at)
            else:
                self._hold(effect, due_at)

    async def _send_now(self, queue: QueueName, effects: list[Send], at: Timestamp | None) -> None:
        answers = await self._try(queue, [as_message(effect.message) for effect in effects], at)
        for effect, answer in zip(effects, answers, strict=True):
            self._answered(effect, answer)
        self._core.pump()

    async def _try(self, queue: QueueName, messages: list[Message], at: Timestamp | None) -> list[Sent | QueueError]:
        try:
            return await self._provider.send(queue, messages, at=at)
        except Exception as error:  # noqa: BLE001 - whatever it is, the messages stay owed
            return [as_queue_error(self._provider.name, error)] * len(messages)

    def _answered(self, effect: Send, answer: Sent | QueueError) -> None:
        now = self._core.now()
        if isinstance(answer, Sent):
            self._core.done(effect)
            self._core.submit(effect.key, SendConfirmed(now, effect.index, answer.provider_id or ""))
        elif answer.transient:
            logger.warning(
                "sending %s to %s is tried again: %s", effect.message.message_id, effect.message.queue, answer
            )
            self._core.wakeups.retry(effect, answer.retry_after_s or _RETRY_S)
        else:
            message_id, queue = effect.message.message_id, effect.message.queue
            logger.error("message %s of %s can never be sent to %s: %s", message_id, effect.key, queue, answer)
            self._core.done(effect)
            kind = type(answer).__name__
            self._core.submit(effect.key, SendFailed(now, effect.index, kind, str(answer), transient=False))

    # --- sends that the broker cannot hold ---

    async def _broker_holds(self, queue: QueueName, delay_s: float) -> bool:
        if queue not in self._max_delays:
            try:
                capabilities = await self._provider.capabilities(queue)
            except QueueError:
                return True  # the send itself will say what is wrong
            self._max_delays[queue] = capabilities.max_delay_s if capabilities.scheduled_send else 0.0
        longest_s = self._max_delays[queue]
        return longest_s is None or delay_s <= longest_s

    def _hold(self, effect: Send, due_at: Timestamp) -> None:
        """Let the journal keep it, and count it as sent, in one commit. If that fails, the send is owed as before."""
        message, now = effect.message, self._core.now()
        self._core.done(effect)
        scheduled = SendScheduled(message.message_id, now, due_at, message)
        self._core.submit(effect.key, SendConfirmed(now, effect.index, ""), scheduled, is_awaited=True)
        self._watch(message.message_id, due_at)

    def watch_all(self) -> None:
        """Send everything that the journal holds when it is due: at start-up, and when the state was folded anew."""
        for key, scheduled in self._core.state.scheduled.items():
            self._watch(key, scheduled.due_at)

    def _watch(self, key: str, due_at: int) -> None:
        if key not in self._watched:
            self._watched.add(key)
            self._core.timers.at(due_at, lambda: self._background.start(self._due(key)))

    async def _due(self, key: str) -> None:
        await self._core.outage.over()
        scheduled = self._core.state.scheduled.get(key)
        self._watched.discard(key)
        if scheduled is None:
            return  # the journal could not take it: it is still owed as a send
        self._watched.add(key)
        message = scheduled.message
        (answer,) = await self._try(QueueName(message.queue), [as_message(message)], None)
        if isinstance(answer, QueueError) and answer.transient:
            self._watched.discard(key)
            self._watch(key, self._core.now() + round((answer.retry_after_s or _RETRY_S) * 1_000_000))
            return
        why = "sent"
        if isinstance(answer, QueueError):
            logger.error("scheduled message %s can never be sent to %s: %s", message.message_id, message.queue, answer)
            why = f"failed: {type(answer).__name__}: {answer}"
        await record_events(self._core, SendCancelled(key, self._core.now(), why))
        self._watched.discard(key)

    async def idle(self) -> None:
        """Return when nothing is under way."""
        for batches in tuple(self._batches.values()):
            await batches.idle()

    async def stop(self) -> None:
        """Drop what is under way: it stays owed, and the next run does it."""
        await self._background.stop()
        for batches in self._batches.values():
            await batches.stop()


def as_message(outgoing: Outgoing) -> Message:
    """Return what was journaled as the message that the port takes."""
    ttl_us = outgoing.time_to_live_us
    return Message(
        outgoing.body,
        message_id=outgoing.message_id,
        session_id=outgoing.session_id,
        correlation_id=outgoing.correlation_id,
        content_type=outgoing.content_type,
        attributes=outgoing.attributes,
        time_to_live=None if ttl_us is None else timedelta(microseconds=ttl_us),
    )
