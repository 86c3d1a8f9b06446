"""What processes used and hold, from the kernel's own accounting: /proc/PID/stat and status."""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

TICKS: Final = os.sysconf("SC_CLK_TCK")
_RESIDENT: Final = re.compile(r"^VmRSS:\s+(\d+) kB$", re.MULTILINE)

Pids = Mapping[str, int]
"""The processes by name; what they start belongs to them, also when it has ended."""


def cpu_s(pids: Pids) -> dict[str, float]:
    """Return the CPU seconds that each process has used since it began.

    A process's children count for it, the dead ones too, unless they are named themselves: so
    PostgreSQL is all of its backends, and a supervisor is itself alone.
    """
    children, named = _children(), set(pids.values())
    return {name: _tree_s(pid, children, named) for name, pid in pids.items()}


def used_s(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Return what each used in between."""
    return {name: after[name] - before[name] for name in before if name in after}


def by_kind(figures: Mapping[str, float]) -> dict[str, float]:
    """Add up the replicas of one kind: gateway-1, gateway-2."""
    sums: dict[str, float] = {}
    for name, figure in figures.items():
        kind = re.sub(r"-\d+$", "", name)
        sums[kind] = sums.get(kind, 0.0) + figure
    return sums


def resident_mb(pids: Pids) -> dict[str, float]:
    """Return what each process holds in memory, of a tree the root's alone."""
    found = {}
    for name, pid in pids.items():
        text = Path(f"/proc/{pid}/status").read_text()
        match = _RESIDENT.search(text)
        found[name] = int(match[1]) / 1_024 if match else 0.0
    return found


def _tree_s(pid: int, children: Mapping[int, list[int]], named: set[int]) -> float:
    own = _ticks(pid)
    below = (child for child in children.get(pid, ()) if child not in named)
    return own / TICKS + sum(_tree_s(child, children, named) for child in below)


def _ticks(pid: int) -> int:
    """Return the ticks of a process and of those of its children that ended."""
    fields = _stat(pid)
    return sum(map(int, fields[11:15])) if fields else 0


def _children() -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for pid in _all():
        fields = _stat(pid)
        if fields:
            found.setdefault(int(fields[1]), []).append(pid)
    return found


def _all() -> Iterable[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _stat(pid: int) -> list[str]:
    """Return the fields after the name, which may hold spaces; none if it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
