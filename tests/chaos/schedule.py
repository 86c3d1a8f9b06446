"""What goes wrong, where and when: drawn from a seed, so that a run can be had again."""

import random
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

SERVICES: Final = ("gateway", "ratelimiter", "dispatcher", "ledger")
SERVERS: Final = ("valkey", "valkey-limits", "postgres")
LINKS: Final = (
    "merchant-gateway", "gateway-ratelimiter", "gateway-ledger", "gateway-valkey",
    "ratelimiter-limits", "dispatcher-valkey", "dispatcher-provider", "dispatcher-second-provider",
    "ledger-valkey", "ledger-postgres",
)  # fmt: skip


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of fault: whom it can hit, for how long, and how often it is drawn."""

    targets: tuple[str, ...]
    for_s: tuple[float, float] = (0.0, 0.0)
    weight: int = 1


KINDS: Final[Mapping[str, Kind]] = {
    "kill": Kind(targets=(*SERVICES, "dispatcher", "dispatcher", *SERVERS), weight=12),
    "kill_supervisor": Kind(targets=("supervisor",)),
    "stop": Kind(targets=(*SERVICES, *SERVERS), for_s=(1.0, 16.0), weight=4),
    "term": Kind(targets=SERVICES, weight=2),
    "restart": Kind(targets=("supervisor",)),
    "scale": Kind(targets=SERVICES, for_s=(2.0, 6.0), weight=2),
    "cut": Kind(targets=LINKS, for_s=(0.0, 3.0), weight=4),
    "stall": Kind(targets=LINKS, for_s=(0.5, 8.0), weight=3),
    "half_open": Kind(targets=LINKS, for_s=(0.5, 4.0), weight=2),
    "delay": Kind(targets=LINKS, for_s=(1.0, 4.0), weight=2),
    "answer_lost": Kind(targets=LINKS, for_s=(0.2, 2.0), weight=4),
    "dribble": Kind(targets=LINKS, for_s=(1.0, 3.0), weight=1),
    "isolate": Kind(
        targets=("dispatcher-valkey", "ledger-valkey", "gateway-valkey"),
        for_s=(4.0, 20.0),
        weight=2,
    ),
    "clock": Kind(targets=("gateway", "dispatcher", "ledger"), for_s=(2.0, 8.0), weight=2),
    "full_disk": Kind(targets=("valkey", "postgres"), for_s=(0.5, 3.0)),
    "out_of_memory": Kind(targets=("valkey", "valkey-limits"), for_s=(0.5, 3.0)),
    "read_only": Kind(targets=("valkey",), for_s=(0.5, 3.0)),
    "busy": Kind(targets=("valkey",), for_s=(0.5, 3.0)),
    "no_connections": Kind(targets=("postgres",), for_s=(0.5, 4.0)),
    "locked": Kind(targets=("postgres",), for_s=(0.5, 4.0)),
    "in_recovery": Kind(targets=("postgres",)),
    "wallet_empty": Kind(targets=("provider",), for_s=(0.5, 4.0)),
    "logged_out": Kind(targets=("provider",)),
}
NODES: Final[Mapping[str, Kind]] = {
    "failover": Kind(targets=("valkey",), weight=5),
    "kill_node": Kind(targets=("valkey",), weight=2),
    "stop_node": Kind(targets=("valkey",), for_s=(1.0, 12.0), weight=2),
    "move_slots": Kind(targets=("valkey",), weight=5),
}
"""What happens to the nodes of a cluster, one at a time."""
ON_A_CLUSTER: Final[Mapping[str, Kind]] = {
    **{
        name: replace(kind, targets=others)
        for name, kind in KINDS.items()
        if (others := tuple(one for one in kind.targets if not one.endswith("valkey")))
    },
    **NODES,
}
"""Nodes tell everybody where they really are, so no link can stand before them."""
KILLS: Final = frozenset({"kill", "kill_supervisor"})
"""What the figures call a kill, besides every stop that outlasts STALL."""
NETWORK: Final = frozenset(
    {"cut", "stall", "half_open", "delay", "answer_lost", "dribble", "isolate"}
)


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that goes wrong; `pick` chooses among equals, whatever runs by then."""

    at_s: float
    kind: str
    target: str
    for_s: float
    pick: int

    def __str__(self) -> str:
        """Say it as a line of a story."""
        length = f" for {self.for_s:.1f} s" if self.for_s else ""
        return f"{self.kind} {self.target}{length}"


def draw(
    seed: int,
    *,
    length_s: float,
    each_s: float,
    kinds: Sequence[str],
    known: Mapping[str, Kind] = KINDS,
) -> list[Fault]:
    """Return faults over `length_s`, one each `each_s` on average; the same for the same seed.

    `kinds` are names of those known, alone or with one target: `kill:ledger`.
    """
    chance = random.Random(seed)
    weights = [known[name.partition(":")[0]].weight for name in kinds]
    faults: list[Fault] = []
    at_s = chance.expovariate(1 / each_s)
    while at_s < length_s:
        name, _, target = chance.choices(kinds, weights)[0].partition(":")
        kind = known[name]
        faults.append(
            Fault(
                at_s=at_s,
                kind=name,
                target=target or chance.choice(kind.targets),
                for_s=chance.uniform(*kind.for_s),
                pick=chance.randrange(1 << 16),
            )
        )
        at_s += chance.expovariate(1 / each_s)
    return faults
