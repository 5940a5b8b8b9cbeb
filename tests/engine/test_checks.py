"""What a queue cannot do, or does narrowly, is found before an engine works, and every finding says what to change."""

import math
from dataclasses import replace

import pytest

from queue_runtime.engine import Engine, EngineSettings
from queue_runtime.engine.checks import Inspected, Level, check, findings
from queue_runtime.journal import MemoryJournal
from queue_runtime.plugins import Router
from queue_runtime.providers import Capabilities, QueueSetup
from queue_runtime.providers.errors import ConfigurationError
from queue_runtime.providers.memory import MemoryBroker, MemoryProvider, QueueSettings
from queue_runtime.providers.message import QueueName

SETTINGS = EngineSettings(max_attempts=5, handler_timeout_s=300)
SETUP = QueueSetup(takes_dead_letters=True, dead_letters="q-dlq", retention_s=math.inf)


@pytest.fixture
async def able() -> Capabilities:
    """What a good FIFO queue can do."""
    provider = MemoryProvider(MemoryBroker({"q": QueueSettings(max_deliveries=10)}))
    await provider.open()
    return replace(await provider.capabilities(QueueName("q")), ordered_groups=True)


def levels(settings: EngineSettings, able: Capabilities, setup: QueueSetup | None = SETUP) -> dict[str, Level]:
    return {finding.what: finding.level for finding in findings(settings, "q", Inspected(able, setup))}


async def test_a_queue_that_fits_is_good_in_everything(able: Capabilities) -> None:
    """Nothing is found against it, nothing is unknown, and nothing is refused."""
    assert set(levels(SETTINGS, able).values()) == {Level.GOOD}


@pytest.mark.parametrize(
    ("changed", "what", "level"),
    [
        ({"max_deliveries": 4}, "deliveries", Level.REFUSED),
        ({"max_deliveries": 9}, "deliveries", Level.WARNING),
        ({"max_deliveries": None}, "deliveries", Level.NOTE),
        ({"max_lock_s": 299.0}, "lock", Level.REFUSED),
        ({"lock_s": 9.0}, "lock", Level.WARNING),
        ({"lock_s": 301.0}, "lock", Level.GOOD),
        ({"ordered_groups": False, "sender_order": True}, "sessions", Level.NOTE),
        ({"ordered_groups": False, "ordered": False}, "sessions", Level.NOTE),
        ({"scheduled_send": False}, "scheduling", Level.NOTE),
        ({"max_delay_s": 900.0}, "scheduling", Level.GOOD),
    ],
)
async def test_what_a_queue_can_do_is_compared_with_the_settings(
    able: Capabilities, changed: dict[str, object], what: str, level: Level
) -> None:
    """One difference changes one finding, and leaves the others as they were."""
    changed_able = replace(able, **changed)

    assert levels(SETTINGS, changed_able) == {**levels(SETTINGS, able), what: level}


@pytest.mark.parametrize(
    ("changed", "level"),
    [
        ({"ordered_groups": False, "native_sessions": True}, Level.GOOD),
        ({"ordered_groups": False, "sender_order": True}, Level.WARNING),
        ({"ordered_groups": False}, Level.WARNING),
        ({"ordered_groups": False, "ordered": False}, Level.REFUSED),
    ],
)
async def test_sessions_that_are_needed_have_to_be_offered(
    able: Capabilities, changed: dict[str, object], level: Level
) -> None:
    """With `needs_sessions` a queue without any order is refused, and one that may lose it is warned of."""
    changed_able = replace(able, **changed)

    assert levels(EngineSettings(needs_sessions=True), changed_able)["sessions"] is level


@pytest.mark.parametrize(
    ("setup", "expected"),
    [
        (None, {"dead letters": Level.UNKNOWN}),
        (replace(SETUP, takes_dead_letters=None), {"dead letters": Level.UNKNOWN, "retention": Level.GOOD}),
        (replace(SETUP, takes_dead_letters=False), {"dead letters": Level.WARNING, "retention": Level.GOOD}),
        (replace(SETUP, retention_s=None), {"dead letters": Level.GOOD, "retention": Level.UNKNOWN}),
        (replace(SETUP, retention_s=3_600.0), {"dead letters": Level.GOOD, "retention": Level.WARNING}),
    ],
)
async def test_how_a_queue_is_set_up_is_told_as_far_as_it_is_known(
    able: Capabilities, setup: QueueSetup | None, expected: dict[str, Level]
) -> None:
    """What the broker does not tell is unknown, and not good."""
    found = levels(SETTINGS, able, setup)

    assert {what: level for what, level in found.items() if what in ("dead letters", "retention")} == expected


async def test_all_that_cannot_work_is_one_error(able: Capabilities, caplog: pytest.LogCaptureFixture) -> None:
    """Every queue and every problem is named in it; warnings are logged beside it."""
    bad = Inspected(replace(able, max_deliveries=1, max_lock_s=1.0), replace(SETUP, takes_dead_letters=False))

    with pytest.raises(ConfigurationError) as raised:
        check(SETTINGS, {"one": bad, "two": bad})

    problems = str(raised.value).split("; ")
    assert [problem.split()[1] for problem in problems] == ["one", "one", "two", "two"]
    assert [message.split()[1] for message in caplog.messages] == ["one", "two"]
    assert "no place for dead letters" in caplog.text


async def test_an_engine_refuses_at_its_start_what_cannot_work() -> None:
    """Nothing is received, and the journal stays empty."""
    journal = MemoryJournal()
    provider = MemoryProvider(MemoryBroker({"q": QueueSettings(max_deliveries=2)}))

    with pytest.raises(ConfigurationError, match="queue q dead-letters after 2 deliveries, before 5 attempts"):
        async with Engine(EngineSettings(queues=("q",)), provider, journal, [Router()]):
            pytest.fail("it started")

    assert journal.position == 0
