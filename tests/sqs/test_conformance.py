"""SQS keeps the port's promises: on moto, on MiniStack, and on a stub that keeps the service's recorded rules.

Where a server is not as the service is, its adoption says so, and the stub covers the case.
"""

from collections.abc import Mapping
from typing import ClassVar

import pytest

from queue_runtime.providers.conformance import Harness, ProviderConformance
from tests.sqs.servers import LocalServer, SqsHarness
from tests.sqs.strict import StrictServer

TWICE = "moto hands one message to two receives that run at the same time"


class TestStandardOnMoto(ProviderConformance):
    """SQS, standard, on moto."""

    departures: ClassVar[Mapping[str, str]] = {
        "test_K19_a_burst_loses_nothing": TWICE,
        "test_L18_many_tasks_share_one_provider": TWICE,
    }

    @pytest.fixture
    def harness(self, moto: LocalServer) -> Harness:
        return SqsHarness(moto, is_fifo=False)


class TestStandardOnMiniStack(ProviderConformance):
    """SQS, standard, on MiniStack."""

    @pytest.fixture
    def harness(self, ministack: LocalServer) -> Harness:
        return SqsHarness(ministack, is_fifo=False)


LATE_DELETES = "MiniStack deletes with a receipt whose lock ended; the service refuses"
WHOLE_GROUPS = "MiniStack blocks a group while any message of it is in flight; the service blocks later ones only"


class TestFifoOnMiniStack(ProviderConformance):
    """SQS, FIFO, on MiniStack."""

    departures: ClassVar[Mapping[str, str]] = {
        "test_K03_L06_a_late_receipt_completes_nothing_unless_declared": LATE_DELETES,
        "test_K02_locks_that_end_together_return_in_order": LATE_DELETES,
        "test_an_expired_dead_letter_receipt_is_refused_unless_declared": LATE_DELETES,
        "test_a_released_head_is_delivered_while_later_ones_are_in_flight": WHOLE_GROUPS,
        "test_renewing_one_of_a_session_does_not_keep_the_others": WHOLE_GROUPS,
    }

    @pytest.fixture
    def harness(self, ministack: LocalServer) -> Harness:
        return SqsHarness(ministack, is_fifo=True)


class TestStandardOnTheStub(ProviderConformance):
    """SQS, standard, on a stub with the service's recorded rules."""

    @pytest.fixture
    def harness(self, strict: StrictServer) -> Harness:
        return SqsHarness(strict, is_fifo=False)


class TestFifoOnTheStub(ProviderConformance):
    """SQS, FIFO, on a stub with the service's recorded rules."""

    @pytest.fixture
    def harness(self, strict: StrictServer) -> Harness:
        return SqsHarness(strict, is_fifo=True)


def test_departures_name_tests_of_the_suite() -> None:
    """A departure whose test was renamed would excuse nothing, and hide that."""
    names = {*TestStandardOnMoto.departures, *TestFifoOnMiniStack.departures}
    assert all(hasattr(ProviderConformance, name) for name in names)
