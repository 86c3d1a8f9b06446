"""Walks through everything that may happen, and tells the shortest way to what must not."""

import marshal
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from typing import Any

import msgspec

from tests.model import lanes
from tests.model.events import HELP
from tests.model.steps import steps
from tests.model.world import Provider, World, canonical

Frozen = tuple[Any, ...]
Thaw = Callable[[Frozen], Any]


class Play(msgspec.Struct, frozen=True):
    """What is searched: how it begins, what may happen, and by which name a state is known."""

    first: Any
    thaw: Thaw
    steps: Callable[[Frozen, Thaw], Iterator[tuple[str, int, Any]]]
    canonical: Callable[[Frozen], Frozen]


def play_of(what: Provider | lanes.Terms, off: Collection[str]) -> Play:
    """Return the life of one topup at such a provider, or that of one lane."""
    off = frozenset(off)
    if isinstance(what, Provider):
        provider = what
        first = World.first(provider, off)
        return Play(first, lambda frozen: World.thaw(provider, off, frozen), steps, canonical)
    terms = what
    street = lanes.Street(terms, off)
    thaw = lambda frozen: lanes.Street.thaw(terms, off, frozen)  # noqa: E731 - as above
    return Play(street, thaw, lanes.steps, lambda frozen: frozen)


class Found(msgspec.Struct, frozen=True):
    """What a search found: how much it saw, and what went wrong, if anything, as a story."""

    states: int
    transitions: int
    seconds: float
    broken: str = ""
    story: tuple[str, ...] = ()
    complete: bool = True


def search(  # noqa: C901 - one loop, and what it keeps of where it came from
    what: Provider | lanes.Terms, off: Collection[str] = (), *, states_max: int = 10**9
) -> Found:
    """Search breadth first, so that the first story is a shortest one."""
    began = time.monotonic()
    play = play_of(what, off)
    first = _packed(play, play.first)
    came_from: dict[bytes, bytes | None] = {first: None}
    helped_by: dict[bytes, list[bytes]] = {}
    ended: list[bytes] = []
    waiting = deque([first])
    transitions = 0

    def found(broken: str, path: list[bytes], last: str = "", *, complete: bool = True) -> Found:
        story = _story(play, path, last) if broken else ()
        seconds = time.monotonic() - began
        return Found(len(came_from), transitions, seconds, broken, story, complete)

    while waiting:
        here = waiting.popleft()
        for label, fault, world in play.steps(marshal.loads(here), play.thaw):
            transitions += 1
            broken = world.broken()
            if broken:
                return found(broken, _path(came_from, here), label)
            there = _packed(play, world)
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


def _packed(play: Play, world: Any) -> bytes:
    """Return the name of all worlds like this one: small, and quick to look up."""
    return marshal.dumps(play.canonical(world.freeze()), 2)


def _path(came_from: dict[bytes, bytes | None], last: bytes) -> list[bytes]:
    path = [last]
    while (before := came_from[path[-1]]) is not None:
        path.append(before)
    return path[::-1]


def _story(play: Play, path: list[bytes], last: str) -> tuple[str, ...]:
    """Tell a path again with names that stay the same from line to line."""
    here = play.first.freeze()
    told = []
    for target in path[1:]:
        for label, _, world in play.steps(here, play.thaw):
            frozen = world.freeze()
            if marshal.dumps(play.canonical(frozen), 2) == target:
                told.append(label)
                here = frozen
                break
        else:
            raise AssertionError("two worlds that are one by name differ in what may happen")
    for label, _, world in play.steps(here, play.thaw):
        if last and (broken := world.broken()):
            return (*told, f"{label}  <- {broken}")
    return tuple(told)
