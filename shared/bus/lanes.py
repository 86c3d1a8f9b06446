"""What people do to a lane: in every partition, and never unseen over another person's head."""

import msgspec

from shared.bus.calls import Caller
from shared.bus.records import LaneState, text
from shared.bus.topups import Topups
from shared.contracts.acts import ActBy
from shared.runtime.redis import Client

_FULLY: LaneState = LaneState()


class LaneChange(msgspec.Struct, frozen=True):
    """What became of it: `held`, `taken`, `released`, `open` or `changed`; and the lane then."""

    word: str
    before: LaneState
    after: LaneState


class Lanes:
    """The lanes of one server or cluster; each is as held as its most held partition."""

    def __init__(self, client: Client, topups: Topups) -> None:
        self._topups = topups
        self._caller = Caller(client, replicas=topups.replicas)

    async def all(self) -> dict[str, LaneState]:
        """Return the lanes that were ever held; all others are open. Raises as `Topups.accept`."""
        lanes: dict[str, LaneState] = {}
        for partition in range(len(self._topups.keys)):
            for provider, state in (await self._topups.lanes(partition)).items():
                lanes[provider] = max(lanes.get(provider, _FULLY), state, key=_weight)
        return lanes

    async def hold(
        self, provider: str, *, act: ActBy, until_ms: int | None = None, replace: bool = False
    ) -> LaneChange:
        """Hold it; where somebody else does so already, only with `replace`, else `taken`."""
        until = "" if until_ms is None else until_ms
        args = [provider, act.why, act.who, until, int(replace), act.id]
        return await self._in_each("hold", args)

    async def release(
        self, provider: str, *, act: ActBy, seen_since_ms: int | None = None
    ) -> LaneChange:
        """Open it; with `seen_since_ms` only if that hold still stands, else `changed`."""
        seen = "" if seen_since_ms is None else seen_since_ms
        args = [provider, act.who, seen, act.id, act.why]
        return await self._in_each("release", args)

    async def _in_each(self, function: str, args: list[str | int]) -> LaneChange:
        """Do it in one partition after the other, all in one order: the first person has them all.

        What comes first is told: a partition that held itself may differ from the others.
        """
        changes: list[LaneChange] = []
        for names in self._topups.keys:
            reply = await self._caller.call(function, [names.lanes, names.acts], args, durable=True)
            changes.append(LaneChange(text(reply[0]), *map(_state, reply[1:])))
            if changes[-1].word == "taken":
                return changes[-1]
        return max(changes, key=lambda change: (change.word != "open", _weight(change.before)))


def _state(packed: bytes) -> LaneState:
    return msgspec.json.decode(packed, type=LaneState)


def _weight(state: LaneState) -> tuple[int, float, float]:
    """Return what orders states: open, probing, held for a while, held for good."""
    degree = {"open": 0, "probing": 1}.get(state.state, 2 if state.until else 3)
    return degree, state.until or 0, state.since or 0
