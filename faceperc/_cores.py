"""How many processor cores there are to work with."""

from __future__ import annotations

import os
from pathlib import Path


def cores() -> int:
    """Processor cores that this process may use, as the system counts them."""
    return len(_allowed())


def physical_cores() -> int:
    """The same without the second thread of a core, which adds little to arithmetic.

    Only Linux tells which threads share a core; elsewhere it is ``cores()``.
    """
    shared = set()
    for core in _allowed():
        path = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list")
        try:
            shared.add(path.read_text().strip())
        except OSError:
            return cores()
    return len(shared)


def _allowed() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))
