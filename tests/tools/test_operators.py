"""What operators ask of engines happens, end to end: through the command line, with an engine and without one."""

import asyncio
import signal
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from queue_runtime.journal import Entry, JournalReader, SqliteJournal
from queue_runtime.journal.events import LapseReason, LeaseLapsed, OperatorActed
from queue_runtime.providers.memory import MemoryBroker, MemoryProvider, QueueSettings
from queue_runtime.providers.memory.server import MemoryBrokerServer
from queue_runtime.providers.message import Message
from tests.tools.site import PATIENCE_S, QUEUE, Site

pytestmark = [pytest.mark.blocks_loop, pytest.mark.timeout(300)]  # these tests read files and start processes

LOCK_S = 600.0  # what a killed engine held is the next one's, however long the commands between them take
ASKED = ("--why", "it is back", "--who", "ann")
BOT = """
import asyncio
import time
from pathlib import Path

from queue_runtime.plugins import Router, TransientError

router = Router()
plugins = [router]
fixed = Path("fixed")

@router.on("parked", max_attempts=1, session_failure="park")
async def on_parked(event: dict) -> None:
    if not fixed.exists():
        raise TransientError("down")

@router.on("flaky")
async def on_flaky(event: dict) -> None:
    if not fixed.exists():
        raise TransientError("down")

@router.on("slow")
async def on_slow(event: dict) -> None:
    while not fixed.exists():
        await asyncio.sleep(0.02)

@router.on("stuck")
def on_stuck(event: dict) -> None:
    time.sleep(3_600)
"""


@pytest.fixture
async def site(tmp_path: Path) -> AsyncGenerator[Site]:
    """A broker whose engines are quick to retry, and whose breakers open for good."""
    (tmp_path / "bot.py").write_text(BOT)
    broker = MemoryBroker({QUEUE: QueueSettings(max_deliveries=100, lock_s=LOCK_S)})
    quick = {
        "QUEUE_ENGINE_RETRY_INITIAL_S": "0.01",
        "QUEUE_ENGINE_BREAKER_FAILURES": "2",
        "QUEUE_ENGINE_BREAKER_OPEN_S": "36000",
        "QUEUE_ENGINE_LANE_RELEASE_DELAY_S": "0.1",
    }
    async with MemoryBrokerServer(broker, 0) as server:
        yield Site(tmp_path, broker, server.address, **quick)


async def _send(site: Site, event: str, *ids: str) -> None:
    """Send messages of one session."""
    provider = MemoryProvider(site.broker)
    await provider.open()
    attributes = {"event": event}
    await provider.send(QUEUE, [Message(b"{}", message_id=one, session_id="s", attributes=attributes) for one in ids])
    await provider.close()


def _entries(site: Site, *names: str) -> list[Entry]:
    with JournalReader(site.folder / "journal") as reader:
        return [entry for entry in reader.entries() if not names or entry.name in names]


def _life(site: Site, *names: str) -> list[str]:
    """Which messages these events are about, in order."""
    return [str(entry.key).removeprefix(f"{QUEUE}/") for entry in _entries(site, *names)]


def _acts(site: Site) -> list[tuple[str, str, str, str]]:
    events = [entry.event for entry in _entries(site, "OperatorActed")]
    return [(one.who, one.why, one.action, one.target) for one in events if isinstance(one, OperatorActed)]


async def _stopped(engine: asyncio.subprocess.Process) -> None:
    engine.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(engine.wait(), PATIENCE_S) == 0


async def test_a_resumed_session_goes_on_with_its_head(site: Site) -> None:
    """The head that parked it runs again and completes, then what waited behind it; a second resume is refused."""
    await _send(site, "parked", "1", "2")
    async with site.engine() as engine:
        await site.until(parked=["webhooks/s"])
        (site.folder / "fixed").touch()
        done = await site.call("control", "resume", str(QUEUE), "s", *ASKED)
        await site.until_empty()
        again = await site.call("control", "resume", str(QUEUE), "s", *ASKED)
        await _stopped(engine)

    assert done[:2] == (0, "done\n")
    assert again[0] == 1
    assert "session 's' of 'webhooks' is not parked" in again[2]
    assert _life(site, "AttemptStarted") == ["1", "1", "2"]
    assert _life(site, "Completed") == ["1", "2"]
    assert _acts(site) == [("ann", "it is back", "resume", "webhooks/s")]


async def test_a_reset_breaker_lets_its_route_run(site: Site) -> None:
    """A breaker that would stay open for hours closes, and what waited for it runs; a wrong name is refused."""
    await _send(site, "flaky", "1")
    async with site.engine() as engine:
        await site.until(breakers={"bot.on_flaky": "open"})
        (site.folder / "fixed").touch()
        wrong = await site.call("control", "reset", "on_flaky", *ASKED)
        done = await site.call("control", "reset", "bot.on_flaky", *ASKED)
        await site.until_empty()
        await site.until(breakers={})
        await _stopped(engine)

    assert done[:2] == (0, "done\n")
    assert wrong[0] == 1
    assert "route 'on_flaky' has no open breaker" in wrong[2]
    assert _life(site, "Completed") == ["1"]
    assert _acts(site) == [("ann", "it is back", "reset", "bot.on_flaky")]


async def test_what_is_released_comes_back_from_the_broker(site: Site) -> None:
    """What waits behind a running head is handed back last first, and is delivered again and run in order."""
    await _send(site, "slow", "1", "2", "3")
    async with site.engine() as engine:
        await site.until(running=1, in_flight=3)
        wrong = await site.call("control", "release", str(QUEUE), "t", *ASKED)
        done = await site.call("control", "release", str(QUEUE), "s", *ASKED)
        (site.folder / "fixed").touch()
        await site.until_empty()
        await _stopped(engine)

    lapses = [entry.event for entry in _entries(site, "LeaseLapsed")]
    by_operator = [e.key for e in lapses if isinstance(e, LeaseLapsed) and e.why is LapseReason.OPERATOR]
    assert done[:2] == (0, "done\n")
    assert wrong[0] == 1
    assert "nothing waits in session 't' of 'webhooks'" in wrong[2]
    assert by_operator == ["webhooks/3", "webhooks/2"]
    assert sorted(_life(site, "Redelivered")) == ["2", "3"]
    assert _life(site, "Completed") == ["1", "2", "3"]
    assert _acts(site) == [("ann", "it is back", "release", f"webhooks/{number}") for number in (3, 2)]


async def test_a_release_of_nothing_but_a_running_head_is_refused(site: Site) -> None:
    """An attempt that runs cannot be handed back, and nobody is told that it was."""
    await _send(site, "slow", "1")
    async with site.engine():
        await site.until(running=1)
        refused = await site.call("control", "release", str(QUEUE), "s", *ASKED)

    assert refused[0] == 1
    assert "nothing waits" in refused[2]
    assert _acts(site) == []


async def test_without_an_engine_a_resume_is_left_to_the_next_run(site: Site) -> None:
    """The tool takes the lock and journals who and why; the next engine runs the head of the session again."""
    await _send(site, "parked", "1", "2")
    async with site.engine() as engine:
        await site.until(parked=["webhooks/s"])
        engine.kill()
        await engine.wait()
        wrong = await site.call("control", "resume", str(QUEUE), "t", *ASKED)
        done = await site.call("control", "resume", str(QUEUE), "s", *ASKED)
    (site.folder / "fixed").touch()
    async with site.engine() as engine:
        await site.until_empty()
        await _stopped(engine)
    code, verdict, _ = await site.call("journal", "verify", "journal")

    assert done[:2] == (0, "journaled: no engine runs, the next one does it\n")
    assert wrong[0] == 1
    assert "is not parked" in wrong[2]
    assert _life(site, "Completed") == ["1", "2"]
    assert _acts(site) == [("ann", "it is back", "resume", "webhooks/s")]
    assert code == 0, verdict


async def test_without_an_engine_a_reset_is_left_to_the_next_run(site: Site) -> None:
    """The next engine finds the breaker closed, and runs its route at once."""
    await _send(site, "flaky", "1")
    async with site.engine() as engine:
        await site.until(breakers={"bot.on_flaky": "open"})
        engine.kill()
        await engine.wait()
        done = await site.call("control", "reset", "bot.on_flaky", *ASKED)
    (site.folder / "fixed").touch()
    async with site.engine() as engine:
        await site.until_empty()
        await _stopped(engine)

    assert done[0] == 0
    assert _life(site, "Completed") == ["1"]
    assert _acts(site) == [("ann", "it is back", "reset", "bot.on_flaky")]


async def test_without_an_engine_a_dead_letter_is_left_to_the_next_run(site: Site) -> None:
    """The message that waited is not run; the next engine tells the broker."""
    await _send(site, "slow", "1", "2")
    async with site.engine() as engine:
        await site.until(running=1, in_flight=2)
        engine.kill()
        await engine.wait()
        running = await site.call("control", "dead-letter", f"{QUEUE}/1", *ASKED)
        done = await site.call("control", "dead-letter", f"{QUEUE}/2", *ASKED)
    (site.folder / "fixed").touch()
    async with site.engine() as engine:
        await site.until_empty()
        await _stopped(engine)

    assert done[0] == 0
    assert "does not wait here" in running[2]
    assert _life(site, "Completed") == ["1"]
    assert site.broker.counts(QUEUE).dead_letters == 1
    assert "2" not in _life(site, "AttemptStarted")


async def test_without_an_engine_the_rest_is_refused_in_words(site: Site) -> None:
    """What needs an engine says so; so do a folder without a journal, in which none is made, and one that is in use."""
    release = await site.call("control", "release", str(QUEUE), "s", *ASKED)
    status = await site.call("control", "status")
    nowhere = await site.call("control", "resume", str(QUEUE), "s", *ASKED)
    was_made = (site.folder / "journal").exists()
    journal = await SqliteJournal.open(site.folder / "journal")
    owned = await site.call("control", "resume", str(QUEUE), "s", *ASKED)
    await journal.close()

    assert [release[0], status[0], nowhere[0], owned[0]] == [1, 1, 1, 1]
    assert "needs a running engine" in release[2]
    assert "no engine answers" in status[2]
    assert "there is no journal in journal" in nowhere[2]
    assert not was_made
    assert "process" in owned[2]


async def test_a_second_sigterm_stops_an_engine_at_once(site: Site) -> None:
    """The drain that waits for a stuck handler is left; its attempt is in the journal for the next run."""
    await _send(site, "stuck", "1")
    async with site.engine() as engine:
        await site.until(running=1)
        engine.send_signal(signal.SIGTERM)
        await site.until(ready=False, running=1)
        assert engine.returncode is None
        engine.send_signal(signal.SIGTERM)
        await asyncio.wait_for(engine.wait(), 10)

    assert _entries(site)[-1].name == "AttemptStarted"
