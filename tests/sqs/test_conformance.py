"""SQS keeps the port's promises: on moto, on MiniStack, and on a strict stub that keeps the service's recorded rules."""

import pytest

from queue_runtime.providers.conformance import Harness, ProviderConformance
from tests.sqs.servers import LocalServer, SqsHarness


class TestStandardOnMoto(ProviderConformance):
    @pytest.fixture
    def harness(self, moto: LocalServer) -> Harness:
        return SqsHarness(moto, is_fifo=False)


class TestStandardOnMiniStack(ProviderConformance):
    @pytest.fixture
    def harness(self, ministack: LocalServer) -> Harness:
        return SqsHarness(ministack, is_fifo=False)


class TestFifoOnMiniStack(ProviderConformance):
    @pytest.fixture
    def harness(self, ministack: LocalServer) -> Harness:
        return SqsHarness(ministack, is_fifo=True)
