"""The public suite that says what a provider is. Subclass it with a harness, and every provider passes the same tests.

    class TestMine(ProviderConformance):
        @pytest.fixture
        def harness(self) -> Harness:
            return MyHarness()

What a queue cannot do it declares in its `Capabilities`. A test then tries the absence, or is skipped with the reason
where an absence cannot be seen. Names carry the numbers of the requirements that they prove; the docstring of the
subclass is what the provider is called in reports.
"""

# ruff: noqa: S101 - the suite asserts

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from queue_runtime.providers.conformance_delivery import DeliveryPromises
from queue_runtime.providers.conformance_harness import CutsTheLink, Desk, Harness, QueueRules, features
from queue_runtime.providers.conformance_keeping import KeepingPromises
from queue_runtime.providers.conformance_order import OrderPromises
from queue_runtime.providers.conformance_sessions import SessionPromises
from queue_runtime.providers.conformance_settling import SettlingPromises

__all__ = ["CutsTheLink", "Desk", "Harness", "ProviderConformance", "QueueRules"]


class ProviderConformance(DeliveryPromises, SettlingPromises, KeepingPromises, OrderPromises, SessionPromises):
    """Every promise of the port. A subclass brings the fixture `harness`."""

    @pytest.fixture
    async def desk(self, harness: Harness) -> AsyncIterator[Desk]:
        """An open provider, and a fresh queue in the hands of one consumer."""
        provider = await harness.open()
        queue = await harness.make_queue(QueueRules())
        yield Desk(harness, provider, queue, await provider.capabilities(queue))
        await provider.close()

    async def test_what_is_declared_fits_together(
        self, desk: Desk, record_property: Callable[[str, object], None]
    ) -> None:
        """A queue is of one kind, its limits leave room, and it declares no part of what it has not."""
        able = desk.capabilities
        record_property("provider", (type(self).__doc__ or type(self).__name__).rstrip("."))
        for name, value in features(desk).items():
            record_property(name, str(value))

        assert not (able.native_sessions and able.ordered_groups)
        assert not able.emulated_sessions or able.ordered_groups
        assert able.ordered or not (able.native_sessions or able.ordered_groups)
        assert able.native_sessions or not able.session_state
        assert able.scheduled_send or not able.cancel_scheduled
        assert able.max_batch > 0
        assert able.max_message_bytes > 0
        assert 0 < able.lock_s <= able.max_lock_s
