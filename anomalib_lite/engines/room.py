"""How much room this machine has: processors, and free memory. Limits of a container count."""

from __future__ import annotations

import os
from pathlib import Path

CONTAINER = Path("/sys/fs/cgroup")


def cores() -> int:
    """Processors that this process may use."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, period = (*_limit("cpu.max"), "max", "max")[:2]
    return usable if "max" in (quota, period) else max(1, min(usable, int(quota) // int(period)))


def free() -> int | None:
    """Bytes of memory that nothing uses; None where the system does not say."""
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        found = 1024 * int(lines["MemAvailable"].split()[0])
    except (OSError, KeyError, ValueError):
        return None
    limit, used = _limit("memory.max"), _limit("memory.current")
    return min(found, max(0, int(limit[0]) - int(used[0]))) if limit and used and limit[0] != "max" else found


def _limit(name: str) -> list[str]:
    """A limit of the container that this process is in; empty where there is none."""
    try:
        return (CONTAINER / name).read_text().split()
    except OSError:
        return []
