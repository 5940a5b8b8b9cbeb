"""The public suite that says what a provider is. Subclass it with a harness, and every provider passes the same tests.

    class TestMine(ProviderConformance):
        @pytest.fixture
        def harness(self) -> Harness:
            return MyHarness()

What a queue cannot do it declares in its `Capabilities`. A test then tries the absence, or is skipped with the reason
where an absence cannot be seen. Names carry the numbers of the requirements that they prove.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from queue_runtime.providers.conformance_delivery import DeliveryPromises
from queue_runtime.providers.conformance_harness import Desk, Harness, QueueRules
from queue_runtime.providers.conformance_keeping import KeepingPromises
from queue_runtime.providers.conformance_order import OrderPromises
from queue_runtime.providers.conformance_sessions import SessionPromises
from queue_runtime.providers.conformance_settling import SettlingPromises

__all__ = ["Desk", "Harness", "ProviderConformance", "QueueRules"]


class ProviderConformance(DeliveryPromises, SettlingPromises, KeepingPromises, OrderPromises, SessionPromises):
    """Every promise of the port. A subclass brings the fixture `harness`."""

    @pytest.fixture
    async def desk(self, harness: Harness) -> AsyncIterator[Desk]:
        """An open provider, and a fresh queue in the hands of one consumer."""
        provider = await harness.open()
        queue = await harness.make_queue(QueueRules())
        yield Desk(harness, provider, queue, await provider.capabilities(queue))
        await provider.close()
