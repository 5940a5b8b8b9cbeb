"""Tells brokers what became of messages: settlements and releases, in batches; and what the broker answered."""

from __future__ import annotations

import json
import logging
from typing import TypeAlias

from queue_runtime.engine.answers import as_queue_error
from queue_runtime.engine.batches import Batches
from queue_runtime.engine.core import Core
from queue_runtime.engine.effects import ReleaseLease, Settle
from queue_runtime.engine.inputs import SettleConfirmed, SettleDenied
from queue_runtime.engine.routing import delivery_of
from queue_runtime.engine.settings import EngineSettings
from queue_runtime.journal.events import Disposition
from queue_runtime.journal.state import MessageState
from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.errors import QueueError
from queue_runtime.providers.message import QueueName, Receipt
from queue_runtime.providers.port import Address, Provider, SettleKind, Settlement

__all__ = ["Settler"]

logger = logging.getLogger("queue_runtime.engine")

_Request: TypeAlias = Settle | ReleaseLease
_RETRY_S = 1.0
_MAX_RECORD_CHARACTERS = 4_000  # of attempts in a dead letter's properties: brokers bound them together with the body

_KINDS = {
    Disposition.COMPLETE: SettleKind.COMPLETE,
    Disposition.ABANDON: SettleKind.ABANDON,
    Disposition.DEAD_LETTER: SettleKind.DEAD_LETTER,
    Disposition.DEFER: SettleKind.DEFER,
}


class Settler:
    """Performs `Settle` and `ReleaseLease`. One batch a queue is under way at a time: settlements keep their order."""

    def __init__(self, core: Core, provider: Provider, settings: EngineSettings) -> None:
        self._core = core
        self._provider = provider
        self._settings = settings
        self._batches: dict[str, Batches[_Request]] = {}

    def perform(self, effect: _Request) -> None:
        """Tell the broker with the next batch of the message's queue."""
        message = self._core.state.messages.get(effect.key)
        if message is None:
            self._core.done(effect)
            return
        queue = message.origin.queue
        batches = self._batches.get(queue)
        if batches is None:
            batches = self._batches[queue] = self._batches_for(QueueName(queue))
        batches.add(effect)

    def _batches_for(self, queue: QueueName) -> Batches[_Request]:
        async def call(effects: list[_Request]) -> None:
            await self._settle(Address(queue), effects)

        return Batches(call, self._settings.receive_batch, self._settings.settle_max_age_s)

    async def _settle(self, source: Address, effects: list[_Request]) -> None:
        await self._core.outage.over()
        requests: list[tuple[_Request, Settlement]] = []
        for effect in effects:
            message = self._core.state.messages.get(effect.key)
            copy = message.copy(effect.provider_id) if message is not None else None
            if message is None or copy is None or copy.receipt != effect.receipt:
                self._core.done(effect)
                self._core.perform(effect.key)  # a newer receipt, if any, is owed under another id
                continue
            receipt = Receipt(effect.receipt, effect.provider_id, Timestamp(copy.locked_until), self._provider.name)
            requests.append((effect, _settlement(effect, receipt, message, self._core.state.position)))
        if not requests:
            return
        try:
            answers = await self._provider.settle(source, [settlement for _, settlement in requests])
        except Exception as error:  # noqa: BLE001 - whatever it is, the settlements stay owed
            answers = [as_queue_error(self._provider.name, error)] * len(requests)
        now = self._core.now()
        for (effect, _), answer in zip(requests, answers, strict=True):
            self._answered(effect, answer, now)
        self._core.pump()

    def _answered(self, effect: _Request, answer: QueueError | None, now: int) -> None:
        if answer is not None and answer.transient:
            logger.warning("settling %s failed and is tried again: %s", effect.key, answer)
            self._core.wakeups.retry(effect, answer.retry_after_s or _RETRY_S)
            return
        self._core.done(effect)
        disposition = effect.disposition if isinstance(effect, Settle) else Disposition.ABANDON
        if answer is None:
            self._core.submit(effect.key, SettleConfirmed(now, effect.provider_id, disposition))
        else:
            why = f"{type(answer).__name__}: {answer}"
            self._core.submit(effect.key, SettleDenied(now, effect.provider_id, disposition, why))

    async def idle(self) -> None:
        """Return when nothing is under way."""
        for batches in tuple(self._batches.values()):
            await batches.idle()

    async def stop(self) -> None:
        """Drop what is under way: it stays owed, and the next run does it."""
        for batches in self._batches.values():
            await batches.stop()


def _settlement(effect: _Request, receipt: Receipt, message: MessageState, position: int) -> Settlement:
    if isinstance(effect, ReleaseLease):
        return Settlement(SettleKind.ABANDON, receipt, delay_s=effect.delay_us / 1_000_000)
    if effect.disposition is not Disposition.DEAD_LETTER:
        return Settlement(_KINDS[effect.disposition], receipt)
    return Settlement(
        SettleKind.DEAD_LETTER,
        receipt,
        reason=effect.reason,
        description=effect.description,
        properties=_record(message, position),
        message=delivery_of(message, receipt.provider).message,
    )


def _record(message: MessageState, position: int) -> tuple[tuple[str, str], ...]:
    """What a dead letter says of its life, beside reason and description. The journal has the rest."""
    attempts = [
        {
            "attempt": record.attempt,
            "started_at_us": record.started_at,
            "ended_at_us": record.ended_at,
            "how": record.how,
            "error_kind": record.error_kind,
        }
        for record in message.history
    ]
    while len(text := json.dumps(attempts, separators=(",", ":"))) > _MAX_RECORD_CHARACTERS:
        attempts.pop(0)
    return (
        ("queue_runtime.key", message.key),
        ("queue_runtime.error_kind", message.history[-1].error_kind if message.history else ""),
        ("queue_runtime.attempts", text),
        ("queue_runtime.journal_position", str(position)),
    )
