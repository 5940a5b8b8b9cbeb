"""Key files that are being written when the process dies, or its task is cancelled."""

import asyncio
import sys
from pathlib import Path

import pytest

from queue_runtime.journal import dedup
from queue_runtime.journal.dedup import KeyFiles, damaged_key_files
from tests.journal.key_examples import batch, found, names


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rest for a moment only: what is tested here is not how long the loop waits."""
    monkeypatch.setattr(dedup, "_REST_S", 0)


DIE_AT = """
import asyncio, os, sys
from pathlib import Path
from queue_runtime.journal import dedup
from queue_runtime.journal.dedup import KeyFiles
from queue_runtime.journal.settled_keys import KeyBatch, SettledKey, key_digest

folder, left = Path(sys.argv[1]), int(sys.argv[2])
dedup._REST_S = 0

def count(frame, event, argument):
    # Every call of the two files, and every call into C that they make, is a place to die at.
    global left
    if event in ("call", "c_call", "c_return") and frame.f_code.co_filename.endswith(("dedup.py", "key_file.py")):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), 9)

def entries(number):
    names = [f"{number}-{key}" for key in range(3)]
    return {key_digest(name): SettledKey.of(number, key_digest(name)).pack() for name in names}

async def main():
    files = KeyFiles(folder)
    for number in range(1, 10):
        await files.seal(KeyBatch(100 * (number - 1), 100 * number, entries(number)))
        print(number, flush=True)
        await files.compact(2)
    print("end", flush=True)

import threading
threading.setprofile(count)
sys.setprofile(count)
asyncio.run(main())
"""


async def dead(folder: Path, step: int) -> list[str]:
    """Run it until its so-manieth step; return what it had said by then."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", DIE_AT, str(folder), str(step), stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    return said.decode().split()


async def test_a_death_at_any_step_loses_nothing_that_was_sealed(tmp_path: Path) -> None:
    """While files are written, merged or dropped: what had been sealed is found by the next process, without a gap."""
    step, said = 1, list[str]()
    while "end" not in said:
        folder = tmp_path / str(step)
        await asyncio.to_thread(folder.mkdir)
        said = await dead(folder, step)
        sealed = [int(number) for number in said if number != "end"]

        files = await asyncio.to_thread(KeyFiles, folder)
        for number in sealed:
            if number >= 2:  # the window, of `compact(2)`
                assert [found(files, f"{number}-{key}") for key in range(3)] == [number] * 3, f"died at step {step}"
        assert files.gaps(100 * len(sealed), 2) == []
        assert [name for name in names(folder) if not name.endswith(".keys")] == []
        assert await asyncio.to_thread(damaged_key_files, folder) == {}
        for number in range(len(sealed) + 1, 10):  # the next may be there already
            await files.seal(batch(number, [f"{number}-0"], at=number))
        await files.compact(2)
        assert len(names(folder)) == 1
        files.close()
        step += 1 + step // 3

    assert step > 100


async def test_a_cancelled_sealing_ends_soon_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread stops at its next piece; the batch can be sealed again."""
    files, began, loop = KeyFiles(tmp_path), asyncio.Event(), asyncio.get_running_loop()
    rest = dedup.time.sleep

    def seen(seconds: float) -> None:
        loop.call_soon_threadsafe(began.set)
        rest(seconds)

    monkeypatch.setattr(dedup.time, "sleep", seen)
    monkeypatch.setattr(dedup, "_REST_S", 0.005)
    task = asyncio.create_task(files.seal(batch(1, range(30_000))))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert names(tmp_path) == []
    await files.seal(batch(1, ["1"], at=1))
    assert found(files, "1") == 1
    files.close()
