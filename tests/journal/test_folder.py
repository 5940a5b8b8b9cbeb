"""A journal's folder: who may read it, who owns it, and what it takes to begin one."""

import asyncio
import os
import signal
import stat
import sys
from pathlib import Path

import pytest

from queue_runtime.journal.errors import JournalCorrupt, JournalError, JournalOwned, JournalUnavailable
from queue_runtime.journal.log import SqliteJournal
from queue_runtime.journal.settings import JournalSettings
from queue_runtime.journal.state import fold
from tests.journal.examples import SEGMENT, image, life, read, started, write

OPEN_AND_WAIT = """
import asyncio, os, signal, sys
from pathlib import Path
from queue_runtime.journal import SqliteJournal

async def main():
    journal = await SqliteJournal.open(Path(sys.argv[1]))
    if sys.argv[2:] == ["fork"] and os.fork() == 0:
        os.write(1, b"child %d\\n" % os.getpid())  # in one piece: its parent writes too
        for fd in (0, 1, 2):
            os.close(fd)  # or else its parent's end is not seen
        signal.pause()
    os.write(1, b"open\\n")
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def python(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", *arguments, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )


async def said(process: asyncio.subprocess.Process, lines: int = 1) -> list[str]:
    assert process.stdout is not None
    return [(await process.stdout.readline()).decode().strip() for _ in range(lines)]


async def test_nobody_but_the_owner_can_read_a_journal(tmp_path: Path) -> None:
    """The folder is 0700 and every file in it 0600, whatever the umask."""
    before = os.umask(0)
    try:
        journal = await SqliteJournal.open(tmp_path / "deep" / "journal")
        await journal.wait(journal.append(life(1)))
        await journal.snapshot(fold(life(1)))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in journal_files(tmp_path / "deep" / "journal")}
        await journal.close()
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "deep" / "journal").stat().st_mode) == 0o700
    assert set(modes) == {"lock", "head", SEGMENT, f"{SEGMENT}-wal", f"{SEGMENT}-shm", "newest.snapshot"}
    assert set(modes.values()) == {0o600}


def journal_files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_a_folder_that_was_open_to_others_is_shut(tmp_path: Path) -> None:
    """Opening an existing journal takes its folder away from everybody else."""
    await write(tmp_path / "journal", [started(1)])
    (tmp_path / "journal").chmod(0o755)

    await write(tmp_path / "journal", [started(2)])

    assert stat.S_IMODE((tmp_path / "journal").stat().st_mode) == 0o700


async def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    """Neither the folder nor a file in it may be a link: whoever can move a link chooses where we write."""
    await write(tmp_path / "real", [started(1)])
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(JournalError, match="symbolic link"):
        await SqliteJournal.open(tmp_path / "link")

    for name in ("head", "lock"):
        folder = image(tmp_path / "real", f"with-linked-{name}")
        (folder / name).rename(tmp_path / f"elsewhere-{name}")
        (folder / name).symlink_to(tmp_path / f"elsewhere-{name}")
        with pytest.raises(JournalUnavailable, match="cannot be used"):
            await SqliteJournal.open(folder)


async def test_what_is_no_journal_is_left_alone(tmp_path: Path) -> None:
    """A file, and a folder that holds other things, are refused and keep their modes."""
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir(mode=0o755)
    (tmp_path / "folder" / "mine").write_text("mine")

    for name in ("file", "folder"):
        with pytest.raises(JournalError, match=r"name (a|an empty) folder"):
            await SqliteJournal.open(tmp_path / name)

    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o755
    assert [path.name for path in journal_files(tmp_path / "folder")] == ["mine"]


async def test_another_database_is_refused(tmp_path: Path) -> None:
    """A segment that is a database of something else, or of a newer layout, is not touched."""
    import sqlite3  # noqa: PLC0415 - one test alone

    for pragma, match in (("application_id = 7", "something else"), ("user_version = 99", "upgrade")):
        folder = tmp_path / match.replace(" ", "-")
        await write(folder, [started(1)])
        connection = sqlite3.connect(folder / SEGMENT)
        connection.execute(f"PRAGMA {pragma}")
        connection.commit()
        connection.close()
        with pytest.raises(JournalError, match=match):
            await SqliteJournal.open(folder)


async def test_a_journal_that_a_crash_left_half_made_is_made_again(tmp_path: Path) -> None:
    """A process that dies while it makes a journal leaves nothing that the next one stumbles over."""
    await (await SqliteJournal.open(tmp_path / "journal")).close()
    made = ("lock", "head", SEGMENT)
    for count in range(len(made)):
        folder = image(tmp_path / "journal", f"made-{count}")
        for name in made[count:]:
            (folder / name).unlink()
        await write(folder, [started(1)])
        assert await read(folder) == [started(1)]
    empty = image(tmp_path / "journal", "empty")
    (empty / SEGMENT).write_bytes(b"")
    await write(empty, [started(1)])
    assert await read(empty) == [started(1)]


# --- the owner -------------------------------------------------------------------------------------------------------


async def test_K32_a_second_journal_of_the_same_process_is_refused(tmp_path: Path) -> None:
    """One writer, also within a process; the error names it, and its end frees the journal."""
    journal = await SqliteJournal.open(tmp_path / "journal")
    with pytest.raises(JournalOwned, match="stop that one") as caught:
        await SqliteJournal.open(tmp_path / "journal")
    await journal.close()

    assert (caught.value.pid, caught.value.host) == (os.getpid(), os.uname().nodename)
    await (await SqliteJournal.open(tmp_path / "journal")).close()


async def test_a_killed_owner_is_followed_at_once(tmp_path: Path) -> None:
    """While another process lives its journal is owned, and named so; after SIGKILL it is free."""
    owner = await python(OPEN_AND_WAIT, str(tmp_path / "journal"))
    assert await said(owner) == ["open"]
    with pytest.raises(JournalOwned) as caught:
        await SqliteJournal.open(tmp_path / "journal")
    owner.kill()
    await owner.communicate()

    assert caught.value.pid == owner.pid
    await (await SqliteJournal.open(tmp_path / "journal")).close()


async def test_a_forked_child_does_not_hold_the_journal(tmp_path: Path) -> None:
    """A child that outlives its killed parent keeps nobody from the journal."""
    owner = await python(OPEN_AND_WAIT, str(tmp_path / "journal"), "fork")
    lines = await said(owner, 2)
    (child,) = [int(line.split()[1]) for line in lines if line.startswith("child")]
    owner.kill()
    await owner.communicate()

    await (await SqliteJournal.open(tmp_path / "journal")).close()
    os.kill(child, signal.SIGKILL)  # it lived until now, or this raises


# --- the head --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("synchronous", ["FULL", "NORMAL"])
async def test_a_database_short_of_the_kept_head_is_corrupt(tmp_path: Path, synchronous: str) -> None:
    """A database that lost what was acknowledged is a sound database: the head beside it tells."""
    settings = JournalSettings(synchronous="FULL" if synchronous == "FULL" else "NORMAL")
    await write(tmp_path / "journal", life(1), settings=settings)
    older = image(tmp_path / "journal", "older")
    await write(tmp_path / "journal", life(2), settings=settings)
    (older / "head").write_bytes((tmp_path / "journal" / "head").read_bytes())

    with pytest.raises(JournalCorrupt, match="6 was acknowledged") as caught:
        await SqliteJournal.open(older)

    assert caught.value.position == 4


async def test_a_head_that_is_gone_is_corrupt(tmp_path: Path) -> None:
    """Without its head nothing proves the end of a journal; with one of its slots, that slot does."""
    await write(tmp_path / "journal", life(1), life(2))
    for number, damaged in enumerate((b"", b"x" * 1_024)):
        folder = image(tmp_path / "journal", f"damaged-{number}")
        (folder / "head").write_bytes(damaged)
        with pytest.raises(JournalCorrupt, match="nothing proves"):
            await SqliteJournal.open(folder)
    (tmp_path / "journal" / "head").unlink()
    with pytest.raises(JournalCorrupt, match="is gone"):
        await SqliteJournal.open(tmp_path / "journal")


async def test_a_head_torn_by_a_power_cut_is_read_from_its_other_slot(tmp_path: Path) -> None:
    """Slots are written in turn: whichever is torn, the other one is whole, and the journal opens."""
    await write(tmp_path / "journal", life(1), life(2))
    content = (tmp_path / "journal" / "head").read_bytes()
    for start in (0, 512):
        folder = image(tmp_path / "journal", f"torn-{start}")
        (folder / "head").write_bytes(content[: start + 20] + b"\x00" * 32 + content[start + 52 :])
        assert await read(folder) == [*life(1), *life(2)]


async def test_in_normal_mode_the_head_is_kept_at_the_end(tmp_path: Path) -> None:
    """NORMAL syncs no commit, so the head waits for the sync of the close: it never speaks of what may be gone."""
    journal = await SqliteJournal.open(tmp_path / "journal", JournalSettings(synchronous="NORMAL"))
    before = (tmp_path / "journal" / "head").read_bytes()
    await journal.wait(journal.append(life(1)))
    meanwhile = (tmp_path / "journal" / "head").read_bytes()
    await journal.close()

    assert before == meanwhile != (tmp_path / "journal" / "head").read_bytes()
