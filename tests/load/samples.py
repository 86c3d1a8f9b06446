"""What each process holds, looked at from outside: the kernel's figures, and what is in Valkey."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from tests.chaos.house import House
from tests.chaos.sources import LANE, OUTCOMES, PREFIX, Client

MEMORY: Final = "memory MB"
DATA: Final = "data MB"
FILES: Final = "files"
CONNECTIONS: Final = "connections"
_ANONYMOUS: Final = re.compile(r"^RssAnon:\s+(\d+) kB$", re.MULTILINE)
"""What a process has for itself: libraries and shared buffers would only blur it."""

Figures = dict[tuple[str, str], float]
"""By process and quantity."""


async def processes(house: House) -> dict[str, int]:
    """Return the pid of each process, by name."""
    rows = {row.id: row.pid for row in await house.replicas() if row.pid is not None}
    servers = {name: server.pid for name, server in house.servers.items()}
    return rows | servers | house.own_processes()


def look(pids: Mapping[str, int]) -> Figures:
    """Return what each process holds; of PostgreSQL all of its processes together."""
    return {
        (name, quantity): figure
        for name, pid in pids.items()
        for quantity, figure in _held([pid, *_children(pid)] if name == "postgres" else [pid])
    }


def look_inside(client: Client) -> Figures:
    """Return how much there is of each thing on the streams' Valkey."""
    found = {
        "lane": client.xlen(LANE),
        "outcomes": client.xlen(OUTCOMES),
        "dead letters": client.xlen(f"{PREFIX}dead"),
        "parked": client.zcard(f"{PREFIX}waiting"),
        "alive": client.zcard(f"{PREFIX}alive"),
        "instances": client.hlen(f"{PREFIX}instances"),
        "consumers": sum(
            group["consumers"]
            for stream in (LANE, OUTCOMES)
            for group in client.xinfo_groups(stream)
        ),
        "keys": client.dbsize(),
        DATA: client.info("memory")["used_memory"] / 1_048_576,
    }
    return {("streams", name): float(count) for name, count in found.items()}


def _held(pids: Iterable[int]) -> Iterable[tuple[str, float]]:
    memory = files = connections = 0
    for pid in pids:
        folder = Path(f"/proc/{pid}")
        try:
            anonymous = _ANONYMOUS.search((folder / "status").read_text())
            targets = [_target(link) for link in (folder / "fd").iterdir()]
        except OSError:  # it has ended
            continue
        memory += int(anonymous[1]) if anonymous else 0
        files += len(targets)
        connections += sum(target.startswith("socket:") for target in targets)
    return [(MEMORY, memory / 1_024), (FILES, files), (CONNECTIONS, connections)]


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:  # closed meanwhile
        return ""


def _children(pid: int) -> list[int]:
    try:
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
    except OSError:
        return []
