"""Batches of keys, and what is found of them."""

from collections.abc import Iterable
from pathlib import Path

from queue_runtime.journal.dedup import KeyFiles
from queue_runtime.journal.settled_keys import KeyBatch, SettledKey, key_digest


def entries(names: Iterable[object], at: int) -> dict[bytes, bytes]:
    """Pack keys; the digest of a key stands for that of its body."""
    return {key_digest(str(name)): SettledKey.of(at, key_digest(str(name))).pack() for name in names}


def batch(number: int, names: Iterable[object], at: int = 0) -> KeyBatch:
    """The `number`-th batch, counted from 1; each covers 100 positions."""
    return KeyBatch(100 * (number - 1), 100 * number, entries(names, at))


async def seal_all(files: KeyFiles, batches: int, keys: int = 3) -> None:
    """Seal batches of keys that are called `batch-number`; what is of batch n was settled at n."""
    for number in range(1, batches + 1):
        await files.seal(batch(number, (f"{number}-{key}" for key in range(keys)), at=number))


def found(files: KeyFiles, name: object) -> int | None:
    """When the key was settled, by the files; checks its body."""
    known = files.find(key_digest(str(name)))
    if known is None:
        return None
    assert known.may_be_of(key_digest(str(name)))
    return known.at


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
