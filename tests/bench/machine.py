"""The machine, as far as it explains figures: nothing that names it."""

import os
import platform
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

_SYNCS = 50


def machine() -> dict[str, object]:
    """Describe cores, versions, the file system that was written to, and how long it takes to sync."""
    return {
        "architecture": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "file_system": _file_system(Path(tempfile.gettempdir()).resolve()),
        "fdatasync_ms": round(_sync_ms(), 3),
        "load_before": round(os.getloadavg()[0], 2),
    }


def _file_system(folder: Path) -> str:
    """Return the type of the mount that holds `folder`."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    return max((len(at), kind) for at, kind in mounts if folder.is_relative_to(at))[1]


def _sync_ms() -> float:
    """Return how long 4 KB take to be synced, in the median: figures mean little where this is nothing."""
    took: list[float] = []
    with tempfile.TemporaryFile() as file:
        for _ in range(_SYNCS):
            file.write(bytes(4_096))
            file.flush()
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - began) * 1e3)
    return statistics.median(took)
