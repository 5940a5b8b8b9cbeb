"""Repairing a journal by the command line, and holding it against what a log says."""

import asyncio
from pathlib import Path

import pytest

from queue_runtime.journal import JournalReader
from queue_runtime.journal.events import OperatorActed
from queue_runtime.providers.memory import MemoryBroker, QueueSettings
from queue_runtime.providers.memory.server import MemoryBrokerServer
from queue_runtime.tools.control_commands import user_name
from tests.journal.examples import life, tampering, write
from tests.tools.site import QUEUE, Site

pytestmark = pytest.mark.blocks_loop  # these tests read files and start processes

KEY = {"QUEUE_ENGINE_JOURNAL_HEAD_KEY": "a key of sixteen or more"}


@pytest.fixture
async def damaged(tmp_path: Path) -> Path:
    """A folder with a journal of three lives, the last of which is damaged."""
    await write(tmp_path / "journal", life(1), life(2), life(3))
    with tampering(tmp_path / "journal") as connection:
        connection.execute("UPDATE events SET data = x'00' WHERE position = 8")
    return tmp_path


async def test_nothing_is_repaired_unless_somebody_wants_it(damaged: Path) -> None:
    """Where nobody can be asked and no `--yes` is given, what would be lost is printed, and the exit code is 2."""
    site = Site(damaged, MemoryBroker({}), "")
    before = (damaged / "journal" / "head").read_bytes()

    code, out, errors = await site.call("journal", "repair", "--accept-loss-after", "6")

    assert code == 2
    assert "kept up to position 6; positions 7 to 9 are lost" in out
    assert "--yes" in errors
    assert (damaged / "journal" / "head").read_bytes() == before
    code, _, errors = await site.call("journal", "repair", "--accept-loss-after", "7", "--yes")
    assert code == 1
    assert "good up to 6; pass --accept-loss-after 6" in errors


async def test_an_engine_starts_on_a_repaired_journal(damaged: Path) -> None:
    """`repair --yes` tells where the originals are, journals who did it, and the engine runs again; with a key too."""
    (damaged / "bot.py").write_text("from queue_runtime.plugins import Router\nplugins = [Router()]\n")
    broker = MemoryBroker({QUEUE: QueueSettings(max_deliveries=100)})
    async with MemoryBrokerServer(broker, 0) as server:
        site = Site(damaged, broker, server.address, **KEY)
        async with site.engine() as engine:
            assert await asyncio.wait_for(engine.wait(), 30) == 1

        code, out, errors = await site.call("journal", "repair", "--accept-loss-after", "6", "--yes")

        assert code == 0, errors
        assert "damaged-" in out
        with JournalReader(damaged / "journal") as reader:
            acts = [entry.event for entry in reader.entries(names=["OperatorActed"])]
        assert [act.who for act in acts if isinstance(act, OperatorActed)] == [user_name()]
        async with site.engine():
            await site.until(ready=True)
    assert (await site.call("journal", "verify"))[0] == 0


async def test_verify_holds_a_journal_against_anchors(tmp_path: Path) -> None:
    """An anchor that the journal has is proved, another exits with 1, and what is none is refused with 2."""
    await write(tmp_path / "journal", life(1))
    site = Site(tmp_path, MemoryBroker({}), "")

    proved = await site.call("journal", "verify", "--chain-only", "--anchor", f"0:{'00' * 32}")
    refuted = await site.call("journal", "verify", "--chain-only", "--anchor", f"3:{'00' * 32}")
    mistyped = await site.call("journal", "verify", "--chain-only", "--anchor", "3")

    assert [code for code, *_ in (proved, refuted, mistyped)] == [0, 1, 2]
    assert "anchor" in refuted[1]
    assert "journal anchor POSITION:HEX" in mistyped[2].replace("\n", " ").replace("│ ", "")
