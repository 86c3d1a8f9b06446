"""The story of one topup, and the search for it; for people who have a question about one sale."""

import re
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from redis.exceptions import RedisError
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.admin.acts import from_books
from services.gateway.admin.story_calls import (
    EVIDENCE,
    FIND,
    FIND_CHARACTERS_MAX,
    STORY,
    Match,
    Matches,
    Moved,
    Story,
)
from services.gateway.admin.timeline import record_of, timeline
from services.gateway.answers import ServedBehind
from services.gateway.merchant.phones import e164
from services.gateway.peers import Ledger, PeerSilent
from services.gateway.refusals import Forbidden, NotFound, Unavailable
from services.gateway.requests import TOPUP_ID_PATTERN
from services.gateway.rest import json_response
from shared.bus.records import Record, UnreadableRecord
from shared.bus.topups import Topups
from shared.bus.whereabouts import Copy, Whereabouts, copies, find
from shared.contracts.catalogue import OFFERS
from shared.contracts.errors import InvalidPhone, InvalidRequest
from shared.contracts.ids import mask_phone
from shared.contracts.instants import timestamp
from shared.contracts.money import format_amount
from shared.contracts.peers import TopupRow
from shared.contracts.states import MERCHANT_STATUS, State
from shared.contracts.stories import Dossier, Found, Sought
from shared.contracts.streams import partition_of
from shared.runtime.clock import Clock
from shared.runtime.redis import Client

_TOPUP_ID: Final = re.compile(TOPUP_ID_PATTERN)
_EXAMPLE: Final = "for example ?find=5566374683"

PartT = TypeVar("PartT")


class Stories:
    """Asks the record and the books, each alone: where one is silent, the other still tells."""

    def __init__(self, client: Client, topups: Topups, ledger: Ledger, clock: Clock) -> None:
        self._client = client
        self._topups = topups
        self._ledger = ledger
        self._clock = clock

    async def find(self, text: str) -> Matches:
        """Return the topups that somebody may mean by it."""
        unknown: dict[str, str] = {}
        sought = sought_by(text)
        found = await _or_unknown("books", self._ledger.find(sought), unknown) or Found(
            [], has_more=False
        )
        rows = [_of_row(row) for row in found.rows]
        topup_id = sought.topup_id
        if topup_id is not None and all(row.topup_id != topup_id for row in rows):
            place = await _or_unknown("record", self._whereabouts(topup_id), unknown)
            rows = [*([_of_record(place.record)] if place else []), *rows]
        if not rows and unknown:
            raise _unavailable(unknown)
        return Matches(data=rows, has_more=found.has_more, unknown=unknown)

    async def story(self, topup_id: str) -> Story | None:
        """Return all that is known of it; None where nobody knows it."""
        unknown: dict[str, str] = {}
        found = await _or_unknown("record", self._whereabouts(topup_id), unknown)
        booked = await _or_unknown("books", self._ledger.dossier(topup_id), unknown)
        if found is None and booked is None:
            if unknown:
                raise _unavailable(unknown)
            return None
        dead = await _or_unknown("dead", self._copies(topup_id, found, booked), unknown)
        return self._told(found, booked, dead or [], unknown)

    async def evidence(self, topup_id: str) -> bytes | None:
        """Return the signed file; None where it is not booked.

        Raises:
            Forbidden, Unavailable: the ledger has no key for it; it is silent.
        """
        packed = await from_books(self._ledger.evidence(topup_id))
        if packed is not None and packed.content is None:
            raise Forbidden("Evidence is off: EVIDENCE_KEY is not set for the ledger")
        return None if packed is None else packed.content

    async def _whereabouts(self, topup_id: str) -> Whereabouts | None:
        return await find(self._client, self._topups, topup_id)

    async def _copies(
        self, topup_id: str, found: Whereabouts | None, booked: Dossier | None
    ) -> list[Copy]:
        if found is not None:
            partition, since_ms = found.partition, found.record.accepted_at_ms
        else:
            assert booked is not None, "one of the two has it"
            partition = partition_of(booked.topup.customer_id, len(self._topups.keys))
            since_ms = booked.topup.accepted_at_ms
        return await copies(self._client, self._topups, partition, topup_id, since_ms=since_ms)

    def _told(
        self,
        found: Whereabouts | None,
        booked: Dossier | None,
        dead: list[Copy],
        unknown: dict[str, str],
    ) -> Story:
        match = _of_record(found.record) if found is not None else None
        if match is None:
            assert booked is not None, "one of the two has it"
            match = _of_row(booked.topup)
        reason = found.record.reason if found else booked.topup.reason if booked else None
        product = found.record.request.product if found else booked.topup.product if booked else ""
        return Story(
            topup_id=match.topup_id,
            at=timestamp(self._clock.now_ms()),
            status=match.status,
            reason=reason,
            customer_id=match.customer_id,
            phone=match.phone,
            amount=match.amount,
            currency=match.currency,
            provider=match.provider,
            product=product,
            reference=match.reference,
            provider_reference=match.provider_reference,
            record=None if found is None else record_of(found),
            timeline=timeline(found, booked, dead),
            postings=[] if booked is None else _moved(booked),
            set_aside=0 if booked is None else booked.set_aside,
            unknown=unknown,
        )


class StoryRoutes:
    """The calls; whoever `admit` refuses gets none."""

    def __init__(self, stories: Stories, *, admit: Callable[[Request], object]) -> None:
        self._stories = stories
        self._admit = admit

    def served(self) -> list[ServedBehind]:
        """Return the calls that are answered here."""
        return [
            ServedBehind(FIND, self._find),
            ServedBehind(STORY, self._story),
            ServedBehind(EVIDENCE, self._evidence),
        ]

    async def _find(self, request: Request) -> Response:
        self._admit(request)
        given = request.query_params.getlist("find")
        if len(given) != 1 or set(request.query_params) != {"find"}:
            raise InvalidRequest(f"find must be given, once and alone; {_EXAMPLE}")
        return json_response(200, await self._stories.find(given[0]))

    async def _story(self, request: Request) -> Response:
        self._admit(request)
        topup_id = request.path_params["topup_id"]
        told = await self._stories.story(topup_id) if _TOPUP_ID.fullmatch(topup_id) else None
        if told is None:
            raise _not_found()
        return json_response(200, told)

    async def _evidence(self, request: Request) -> Response:
        self._admit(request)
        topup_id = request.path_params["topup_id"]
        packed = await self._stories.evidence(topup_id) if _TOPUP_ID.fullmatch(topup_id) else None
        if packed is None:
            raise _not_found()
        return Response(packed, media_type="application/zip")


def sought_by(text: str) -> Sought:
    """Return what to look for: an id is also looked for as a reference, and so is a phone.

    Raises:
        InvalidRequest: it can be none of these.
    """
    given = text.strip()
    if not given or len(given) > FIND_CHARACTERS_MAX or not given.isprintable():
        raise InvalidRequest(
            f"find is not an id, a reference or a phone of 1 to {FIND_CHARACTERS_MAX} printable "
            f"characters; {_EXAMPLE}"
        )
    topup_id = given.lower()
    return Sought(
        topup_id=topup_id if _TOPUP_ID.fullmatch(topup_id) else None,
        reference=given,
        phone=_phone(text),
    )


def _phone(text: str) -> str | None:
    """Return a phone of any country that is served; a + that came as a space is meant as one."""
    for country in dict.fromkeys(offer.country for offer in OFFERS.values()):
        try:
            return e164(re.sub(r"^ ", "+", text).strip(), country)
        except InvalidPhone:
            continue
    return None


async def _or_unknown(
    witness: str, asked: Awaitable[PartT], unknown: dict[str, str]
) -> PartT | None:
    try:
        return await asked
    except (PeerSilent, RedisError, OSError, UnreadableRecord) as problem:
        unknown[witness] = str(problem) or type(problem).__name__
        return None


def _not_found() -> NotFound:
    return NotFound("There is no topup with this id; /api/admin/topups?find=… looks for one")


def _unavailable(unknown: dict[str, str]) -> Unavailable:
    why = "; ".join(f"{witness}: {problem}" for witness, problem in unknown.items())
    return Unavailable(f"It was not found, but not all could be asked: {why}")


def _of_row(row: TopupRow) -> Match:
    return Match(
        topup_id=row.topup_id,
        status=MERCHANT_STATUS[State(row.status)],
        customer_id=row.customer_id,
        phone=mask_phone(row.phone),
        amount=format_amount(row.amount_minor, row.currency),
        currency=row.currency,
        provider=row.provider,
        reference=row.reference,
        provider_reference=row.provider_reference,
        accepted_at=timestamp(row.accepted_at_ms),
    )


def _of_record(record: Record) -> Match:
    request = record.request
    return Match(
        topup_id=record.id,
        status=MERCHANT_STATUS[record.state],
        customer_id=request.customer_id,
        phone=mask_phone(request.phone),
        amount=format_amount(request.amount_minor, request.currency),
        currency=request.currency,
        provider=request.provider,
        reference=request.reference,
        provider_reference=record.provider_reference,
        accepted_at=timestamp(record.accepted_at_ms),
    )


def _moved(booked: Dossier) -> list[Moved]:
    return [
        Moved(
            seq=one.seq,
            line=one.line,
            debit=one.debit,
            credit=one.credit,
            amount=format_amount(one.amount_minor, one.currency),
            currency=one.currency,
        )
        for one in booked.postings
    ]
