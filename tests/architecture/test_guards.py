"""The guards of `conftest.py` guard."""

import time

import pytest
from blockbuster import BlockingError

from tests.architecture.source import ROOT


def _ours() -> None:
    """Wait on the loop, from code that lies in a folder of ours."""
    exec(compile("time.sleep(0)", str(ROOT / "journal" / "waits.py"), "exec"), {"time": time})  # noqa: S102  as ours


async def test_code_of_ours_that_blocks_the_loop_fails_its_test() -> None:
    """A blocking call that our code makes on the event loop raises."""
    with pytest.raises(BlockingError):
        _ours()


@pytest.mark.blocks_loop
async def test_a_test_may_block_its_loop_on_purpose() -> None:
    """The mark `blocks_loop` lifts the guard."""
    _ours()


def test_code_of_ours_may_block_a_thread() -> None:
    """Outside an event loop nothing is guarded."""
    _ours()
