"""Which lanes may have a topup, and in which order: open ones with room first, then as set."""

from collections.abc import Sequence

from services.gateway.bus import Bus
from services.gateway.merchant.backlog import Backlog
from shared.contracts.errors import UnknownProvider
from shared.contracts.events import AUTO, TopupRequested
from shared.runtime.clock import Clock


class Routing:
    """The lanes of topups with provider AUTO; all others have the one that they name."""

    def __init__(
        self, providers: Sequence[str], *, backlog: Backlog, bus: Bus, clock: Clock
    ) -> None:
        self.providers = tuple(dict.fromkeys(providers))
        self._backlog = backlog
        self._bus = bus
        self._clock = clock

    async def lanes(self, request: TopupRequested) -> tuple[str, ...]:
        """Return the lanes that may have it, the one to begin with in front.

        A lane whose hold has run out counts as open: it opens by a topup that is tried on it.

        Raises:
            UnknownProvider: nobody here has the access of the one that is named.
        """
        if request.route is None:
            if request.provider not in self.providers:
                known = ", ".join((AUTO, *self.providers))
                raise UnknownProvider(
                    f"provider {request.provider} is not set up here; known: {known}"
                )
            return (request.provider,)
        now_ms = self._clock.now_ms()
        ready = {
            lane: self._backlog.has_room(lane)
            and (await self._bus.lane(request.customer_id, lane)).startable(now_ms)
            for lane in request.route
        }
        return tuple(sorted(request.route, key=lambda lane: not ready[lane]))
