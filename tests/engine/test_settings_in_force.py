"""Settings that an engine hands on to what it opens itself."""

import sys
from pathlib import Path

import pytest

from queue_runtime.engine import Engine, EngineSettings
from queue_runtime.providers.memory.server import MemoryBrokerServer
from queue_runtime.providers.settings import ProviderSettings
from tests.engine.bench import QUEUE, Bench


@pytest.mark.parametrize("asked_for", [True, False])
async def test_the_process_has_a_short_switch_interval_while_an_engine_that_asked_for_it_runs(
    tmp_path: Path, *, asked_for: bool
) -> None:
    """The journal that the engine opens yields to its writer if the setting says so, and the interval is given back."""
    before = sys.getswitchinterval()
    settings = EngineSettings(queues=(QUEUE,), journal=tmp_path / "journal", journal_yield_to_writer=asked_for)
    async with MemoryBrokerServer(Bench().broker, 0) as server:
        provider = ProviderSettings(provider="memory", memory_address=server.address)
        async with Engine.from_settings(engine=settings, provider=provider):
            meanwhile = sys.getswitchinterval()

    assert (meanwhile < before) is asked_for
    assert sys.getswitchinterval() == before
