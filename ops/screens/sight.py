"""One topup as both servers have it at this moment; the one that is away is unknown."""

import asyncio

import msgspec

from ops.books import open_database
from ops.errors import CommandFailed
from ops.screens.figures import or_unknown
from ops.streams import open_streams
from services.ledger.dossier import Dossier, dossier
from shared.bus.records import UnreadableRecord
from shared.bus.whereabouts import Whereabouts, find
from shared.contracts.events import TopupRequested
from shared.runtime.clock import Clock


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """One look at one topup; `unknown` says why a server could not be asked."""

    topup_id: str
    at_ms: int
    found: Whereabouts | None
    booked: Dossier | None
    unknown: dict[str, str]

    @property
    def status(self) -> str:
        """As the record says, else as the books do; only for a topup that was found."""
        if self.found is not None:
            return self.found.record.state
        assert self.booked is not None, "one of the two has it"
        return self.booked.topup.status

    @property
    def request(self) -> TopupRequested:
        """What was asked for; only for a topup that was found."""
        if self.found is not None:
            return self.found.record.request
        assert self.booked is not None, "one of the two has it"
        row = self.booked.topup
        return TopupRequested(
            customer_id=row.customer_id,
            phone=row.phone,
            country=row.country,
            amount_minor=row.amount_minor,
            currency=row.currency,
            provider=row.provider,
            product=row.product,
            reference=row.reference,
            metadata=row.metadata,
        )


async def see(topup_id: str, clock: Clock) -> Sight:
    """Return what there is of it; changes nothing."""
    unknown: dict[str, str] = {}
    found, booked = await asyncio.gather(
        or_unknown("redis", lambda: _in_redis(topup_id), unknown),
        or_unknown("database", lambda: _in_the_books(topup_id), unknown),
    )
    return Sight(
        topup_id=topup_id, at_ms=clock.now_ms(), found=found, booked=booked, unknown=unknown
    )


async def _in_redis(topup_id: str) -> Whereabouts | None:
    async with open_streams() as streams:
        try:
            return await find(streams.client, streams.topups, topup_id)
        except UnreadableRecord as problem:
            raise CommandFailed(str(problem)) from None


async def _in_the_books(topup_id: str) -> Dossier | None:
    async with open_database() as database:
        return await dossier(database, topup_id)
