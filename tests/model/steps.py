"""What may happen next in a world: each function call, each loss, each death, each tick."""

from collections.abc import Callable, Iterator
from typing import Any

from tests.model import around
from tests.model.events import RARE, Now, Step
from tests.model.hands import PHASES, death
from tests.model.world import OWNERS, World

Frozen = tuple[Any, ...]


def steps(frozen: Frozen, thaw: Callable[[Frozen], World]) -> Iterator[Step]:
    """Yield everything that may happen in this world."""
    world = thaw(frozen)

    def now() -> World:
        return thaw(frozen)

    few = world.provider.few_faults
    for step in _all(world, now):
        if not few or step[1] is not RARE:
            yield step


def _all(world: World, now: Now) -> Iterator[Step]:
    for name in OWNERS:
        owner = world.owners[name]
        yield from PHASES[owner.phase](world, name, owner, now)
        yield from death(world, name, owner, now)
    yield from around.provider(world, now)
    yield from around.upkeep(world, now)
    yield from around.people(world, now)
    yield from around.time(world, now)
    if world.provider.replicated:
        yield from around.replica(world, now)
