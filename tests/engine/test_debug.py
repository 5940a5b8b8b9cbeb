"""The debug setting: an engine that stops holds its journal against the rules, and its state against its journal."""

import pytest

from queue_runtime.engine import Engine, EngineSettings
from queue_runtime.journal.events import AttemptStarted
from queue_runtime.plugins import Router
from queue_runtime.providers.memory import MemoryProvider
from tests.engine.bench import QUEUE, Bench


@pytest.mark.parametrize("debug_fold", [True, False])
async def test_a_stop_names_the_event_that_cannot_be(*, debug_fold: bool) -> None:
    """With the setting an impossible event fails the stop, by its position and rule; without it nobody looks for it."""
    bench = Bench()
    settings = EngineSettings(queues=(QUEUE,), debug_fold=debug_fold)
    bench.journal.append([AttemptStarted("q/ghost", 1, 1, "run", "route", alone=False)])
    async with Engine(settings, MemoryProvider(bench.broker), bench.journal, [Router()]) as engine:
        if not debug_fold:
            await engine.drain()
            return
        with pytest.raises(AssertionError, match="position 1: AttemptStarted of unknown message q/ghost"):
            await engine.drain()
        await engine.stop()
