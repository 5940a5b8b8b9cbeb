"""Rounds in turn: every variant once, then every variant again, because machines drift."""

import asyncio
import gc
import math
import tempfile
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import TypeAlias, TypeVar

from tests.bench.figures import Round

K = TypeVar("K")
T = TypeVar("T")

Measure: TypeAlias = Callable[[Path], Coroutine[object, object, T]]
"""One round of a variant, in a folder of its own."""


def once(measure: Measure[T]) -> T:
    """Run one round in a new event loop and an empty folder, beside no garbage of the round before."""
    gc.collect()
    gc.freeze()  # what was prepared is not this round's to look through
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_run(measure, Path(folder)))


async def _run(measure: Measure[T], folder: Path) -> T:
    return await measure(folder)


def alternating(variants: Mapping[K, Measure[Round]], rounds: int, until: float = math.inf) -> dict[K, list[Round]]:
    """Run every variant in turn, `rounds` times over, or until `until` on the monotonic clock; once in any case."""
    results: dict[K, list[Round]] = {name: [] for name in variants}
    for number in range(rounds):
        if number and time.monotonic() > until:
            break
        for name, measure in variants.items():
            results[name].append(once(measure))
    return results
