"""Pulls messages from queues without sessions of the broker, never more than there is room for."""

from __future__ import annotations

from queue_runtime.engine.answers import as_queue_error
from queue_runtime.engine.core import Core
from queue_runtime.engine.credit import Credit
from queue_runtime.engine.intake import Intake
from queue_runtime.engine.patience import Patience
from queue_runtime.engine.settings import EngineSettings
from queue_runtime.providers.message import QueueName
from queue_runtime.providers.port import Address, Provider

__all__ = ["Receiver"]


class Receiver:
    """Receives from one queue. `run` ends when it is cancelled."""

    def __init__(
        self, core: Core, provider: Provider, intake: Intake, credit: Credit, settings: EngineSettings
    ) -> None:
        self._core = core
        self._provider = provider
        self._intake = intake
        self._credit = credit
        self._settings = settings

    async def run(self, queue: QueueName) -> None:
        """Receive for ever. Cancelling loses nothing: the provider gives back what the broker hands over meanwhile."""
        source = Address(queue)
        patience = Patience(self._core, queue)
        while True:
            await self._core.outage.over()
            room = await self._credit.take(self._settings.receive_batch)
            try:
                deliveries = await self._provider.receive(source, room, self._settings.receive_wait_s)
            except Exception as error:  # noqa: BLE001 - nobody else would read this queue
                await patience.failed(as_queue_error(self._provider.name, error))
                continue
            else:
                patience.succeeded()
                self._intake.accept(deliveries)
            finally:
                self._credit.give(room)
