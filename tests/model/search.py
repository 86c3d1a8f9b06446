"""Walks through everything that may happen, and tells the shortest way to what must not."""

import marshal
import time
from collections import deque
from collections.abc import Collection
from typing import Any

import msgspec

from tests.model.events import HELP
from tests.model.steps import steps
from tests.model.world import Provider, World, canonical

Frozen = tuple[Any, ...]


class Found(msgspec.Struct, frozen=True):
    """What a search found: how much it saw, and what went wrong, if anything, as a story."""

    states: int
    transitions: int
    seconds: float
    broken: str = ""
    story: tuple[str, ...] = ()
    complete: bool = True


def search(  # noqa: C901 - one loop, and what it keeps of where it came from
    provider: Provider, off: Collection[str] = (), *, states_max: int = 10**9
) -> Found:
    """Search breadth first, so that the first story is a shortest one."""
    began = time.monotonic()
    off = frozenset(off)

    def thaw(frozen: Frozen) -> World:
        return World.thaw(provider, off, frozen)

    first = _packed(World.first(provider, off))
    came_from: dict[bytes, bytes | None] = {first: None}
    helped_by: dict[bytes, list[bytes]] = {}
    ended: list[bytes] = []
    waiting = deque([first])
    transitions = 0

    def found(broken: str, path: list[bytes], last: str = "", *, complete: bool = True) -> Found:
        story = _story(provider, off, path, last) if broken else ()
        seconds = time.monotonic() - began
        return Found(len(came_from), transitions, seconds, broken, story, complete)

    while waiting:
        here = waiting.popleft()
        for label, fault, world in steps(marshal.loads(here), thaw):
            transitions += 1
            broken = world.broken()
            if broken:
                return found(broken, _path(came_from, here), label)
            there = _packed(world)
            if there not in came_from:
                came_from[there] = here
                waiting.append(there)
                if world.ended:
                    ended.append(there)
            if fault is HELP:
                helped_by.setdefault(there, []).append(here)
        if len(came_from) > states_max:
            return found("", [], complete=False)
    stranded = _stranded(came_from, helped_by, ended)
    if stranded is not None:
        return found("stranded: no step leads to an end", _path(came_from, stranded))
    return found("", [])


def _stranded(
    seen: dict[bytes, bytes | None],
    helped_by: dict[bytes, list[bytes]],
    ended: list[bytes],
) -> bytes | None:
    """Return the first state from which no step without a fault leads to an end."""
    fine = set(ended)
    todo = list(ended)
    while todo:
        for before in helped_by.get(todo.pop(), ()):
            if before not in fine:
                fine.add(before)
                todo.append(before)
    return next((state for state in seen if state not in fine), None)


def _packed(world: World) -> bytes:
    """Return the name of all worlds like this one: small, and quick to look up."""
    return marshal.dumps(canonical(world.freeze()), 2)


def _path(came_from: dict[bytes, bytes | None], last: bytes) -> list[bytes]:
    path = [last]
    while (before := came_from[path[-1]]) is not None:
        path.append(before)
    return path[::-1]


def _story(
    provider: Provider, off: frozenset[str], path: list[bytes], last: str
) -> tuple[str, ...]:
    """Tell a path again with names that stay the same from line to line."""

    def thaw(frozen: Frozen) -> World:
        return World.thaw(provider, off, frozen)

    here = World.first(provider, off).freeze()
    told = []
    for target in path[1:]:
        for label, _, world in steps(here, thaw):
            frozen = world.freeze()
            if marshal.dumps(canonical(frozen), 2) == target:
                told.append(label)
                here = frozen
                break
        else:
            raise AssertionError("two worlds that are one by name differ in what may happen")
    for label, _, world in steps(here, thaw):
        if last and (broken := world.broken()):
            return (*told, f"{label}  <- {broken}")
    return tuple(told)
