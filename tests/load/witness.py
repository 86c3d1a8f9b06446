"""Reads the streams while they are written: what is trimmed and has expired was seen before."""

from collections.abc import Set as AbstractSet

from msgspec.structs import replace

from tests.chaos.sources import LANE, OUTCOMES, Client, Streams, entries


class Witness:
    """All that was ever on the lane and among the outcomes, if it reads on often enough."""

    def __init__(self) -> None:
        self._places = {LANE: "-", OUTCOMES: "-"}
        self._accepted_ms: dict[str, int] = {}
        self._settled_ms: dict[str, int] = {}
        self._outcomes: dict[str, list[str]] = {}

    def read_on(self, client: Client) -> None:
        """Read what has come since the last time."""
        for entry, fields in entries(client, LANE, after=self._places[LANE]):
            self._places[LANE] = f"({entry}"
            at_ms = int(fields.get("at") or entry.partition("-")[0])
            self._accepted_ms.setdefault(fields["id"], at_ms)
        for entry, fields in entries(client, OUTCOMES, after=self._places[OUTCOMES]):
            self._places[OUTCOMES] = f"({entry}"
            self._outcomes.setdefault(fields["id"], []).append(fields["state"])
            self._settled_ms.setdefault(fields["id"], int(entry.partition("-")[0]))

    @property
    def settled(self) -> int:
        """How many topups have ended."""
        return len(self._outcomes)

    def has_heard(self, topups: AbstractSet[str]) -> bool:
        """Tell whether each of these has ended."""
        return self._outcomes.keys() >= topups

    def complete(self, streams: Streams) -> Streams:
        """Return what the streams say, and what they have forgotten; of records, their ends."""
        ended = {topup_id: states[-1] for topup_id, states in self._outcomes.items()}
        return replace(
            streams,
            records=ended | streams.records,
            requested=set(self._accepted_ms) | streams.requested,
            outcomes=self._outcomes,
            accepted_ms=self._accepted_ms,
            settled_ms=self._settled_ms,
        )
