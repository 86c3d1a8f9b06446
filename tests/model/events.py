"""What a step is, and what many steps do."""

from collections.abc import Callable

from tests.model.world import FORMER, Owner, World

Step = tuple[str, int, World]
"""What a reader of the story is told, whether it is a fault, and the world after it."""
Now = Callable[[], World]
"""Gives the world as it is, to be changed."""
HELP, FAULT, RARE = 0, 1, 2
"""An end must be reachable by steps that help; a world of few faults has none of the rare ones."""


def write(now: Now) -> World:
    """Return a world whose server is about to write: from here on its replica lags."""
    w = now()
    if w.provider.replicated and not w.failed_over and w.replica is None:
        w.replica = w.data()
    return w


def conclude(w: World, name: str, answer: str) -> None:
    """Let an owner come to a verdict; it has yet to tell the server."""
    owner = w.owners[name]
    w.owners[name] = Owner(phase="end", entry=owner.entry, nonce=owner.nonce, answer=answer)


def die(w: World, name: str) -> None:
    """Kill an owner; its successor has another name."""
    w.owners[name] = Owner()
    if not w.keeps("another_life_another_owner"):
        return
    for entry, holder in w.server.entries.items():
        if holder == name:
            w.server.entries[entry] = FORMER
    if w.record is not None and w.record.owner == name:
        w.record.owner = FORMER
    if w.replica:
        record, entries, due, told = w.replica
        if record is not None and record[2] == name:
            record = (*record[:2], FORMER, *record[3:])
        entries = tuple((entry, FORMER if who == name else who) for entry, who in entries)
        w.replica = (record, entries, due, told)
