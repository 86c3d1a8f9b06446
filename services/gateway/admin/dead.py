"""The admin API of dead letters: list, show, redrive what was never sent, discard."""

from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.admin.acts import Admit, from_books, on_streams, read_act
from services.gateway.admin.dead_calls import (
    DISCARD,
    LETTER_SHOW,
    LETTERS,
    REDRIVE,
    Dealt,
    Event,
    LetterAct,
    LetterDealt,
    LetterList,
    LettersAsked,
    LetterShown,
    LetterWhole,
)
from services.gateway.admin.requests import read_query
from services.gateway.answers import ServedBehind
from services.gateway.peers import Ledger
from services.gateway.refusals import Conflict, NotFound
from services.gateway.rest import json_response
from shared.bus.dead import Dead, Letter, Mark
from shared.bus.records import Record
from shared.bus.topups import Topups
from shared.contracts.acts import act_by
from shared.contracts.bookable import unbookable, unbookable_id
from shared.contracts.catalogue import offer_of, product_for
from shared.contracts.errors import InvalidAmount, InvalidRequest, UnknownProvider
from shared.contracts.events import TopupRequested, decode_request
from shared.contracts.ids import mask_digits, mask_phone
from shared.contracts.instants import timestamp
from shared.contracts.packing import unpack
from shared.contracts.streams import partition_of
from shared.runtime.redis import Client

_EXAMPLE: Final = '{"reason": "written by a test"}'
_SHOWN_CHARACTERS_MAX: Final = 2_000
_UNREADABLE: Final = (msgspec.MsgspecError, ValueError, RecursionError)
_ENDED: Final = {
    "": "its record cannot be read",
    "succeeded": "it has been paid",
    "failed": "it has ended as failed, and its merchant was told so",
    "unresolved": "it may have been sent: resolve it, on evidence",
}


class DeadRoutes:
    """What operators may do about what was put aside for them."""

    def __init__(
        self,
        client: Client,
        topups: Topups,
        ledger: Ledger,
        *,
        admit: Admit,
        deliver_before_ms: int,
    ) -> None:
        self._topups = topups
        self._dead = Dead(client, topups)
        self._ledger = ledger
        self._admit = admit
        self._deliver_before_ms = deliver_before_ms

    def served(self) -> list[ServedBehind]:
        """Return the calls that are answered here."""
        return [
            ServedBehind(LETTERS, self._list),
            ServedBehind(LETTER_SHOW, self._show),
            ServedBehind(REDRIVE, self._redrive),
            ServedBehind(DISCARD, self._discard),
        ]

    async def _list(self, request: Request) -> Response:
        self._admit(request)
        asked = read_query(request, LettersAsked, example="?limit=100&all=true")
        found = await on_streams(
            self._dead.newest(count_max=asked.limit, with_done=asked.all == "true")
        )
        return json_response(200, LetterList(letters=[_shown(letter) for letter in found]))

    async def _show(self, request: Request) -> Response:
        self._admit(request)
        letter = await self._letter(request)
        whole = LetterWhole(
            letter=_shown(letter),
            payload=_payload(letter),
            source=letter.source,
            history=await self._history(letter),
        )
        return json_response(200, whole)

    async def _discard(self, request: Request) -> Response:
        who = self._admit(request)
        asked = await read_act(request, LetterAct, example=_EXAMPLE)
        letter = await self._letter(request)
        reply = await on_streams(self._dead.discard(letter, act=act_by(who, why=asked.reason)))
        return _dealt(letter, reply)

    async def _redrive(self, request: Request) -> Response:
        who = self._admit(request)
        asked = await read_act(request, LetterAct, example=_EXAMPLE)
        letter = await self._letter(request)
        order = self._order(letter)
        booked = await from_books(
            self._ledger.topup(letter.topup_id, customer_id=order.customer_id),
            hint="nothing was done",
        )
        if booked is not None:
            raise Conflict(_kept(letter, _ENDED.get(booked.status, "it is in the books already")))
        reply = await on_streams(
            self._dead.redrive(
                letter,
                order,
                deliver_before_ms=self._deliver_before_ms,
                act=act_by(who, why=asked.reason),
            )
        )
        return _dealt(letter, reply)

    async def _letter(self, request: Request) -> Letter:
        name: str = request.path_params["letter"]
        letter = await on_streams(self._dead.find(name))
        if letter is None:
            raise NotFound(f"There is no dead letter {name[:40]!r}; look with: topup dead list")
        return letter

    def _order(self, letter: Letter) -> TopupRequested:
        """Return the request that a letter holds, if it can be accepted at all."""
        if letter.mark is not None:
            raise Conflict(_done_before(letter, letter.mark))
        if letter.source is not None:
            again = f"`topup replay --from {letter.source} --to {letter.source}`"
            raise Conflict(_kept(letter, f"it is the books' copy; book it again with {again}"))
        if letter.sent != "no":
            raise Conflict(_kept(letter, "it may have been sent"))
        order = _sellable(letter)
        if partition_of(order.customer_id, len(self._topups.keys)) != letter.partition:
            raise Conflict(_kept(letter, "it was in another customer's partition"))
        return order

    async def _history(self, letter: Letter) -> list[Event]:
        found = await on_streams(self._dead.of_topup(letter.partition, letter.topup_id))
        others = found if any(one.entry == letter.entry for one in found) else [letter, *found]
        events = [
            Event(at=timestamp(one.at_ms), what=f"put aside: {_cause(one)}") for one in others
        ]
        for one in others:
            if one.mark is not None:
                said = f"{one.name} {one.mark.what} by {one.mark.by}: {one.mark.why}"
                events.append(Event(at=timestamp(int(one.mark.at)), what=said))
        events.sort(key=lambda event: event.at or "")
        if unbookable_id(letter.topup_id) is None:
            (record,) = await on_streams(self._topups.look(letter.partition, [letter.topup_id]))
            state = record.state.value if isinstance(record, Record) else "not there"
            events.append(Event(at=None, what=f"its record now: {state}"))
        return events


def _sellable(letter: Letter) -> TopupRequested:
    """Return the request, if it is one of those that a gateway accepts."""
    try:
        order = decode_request(letter.payload)
        offer = offer_of(order.provider)
        product_for(offer, order.amount_minor, order.product)
    except (*_UNREADABLE, UnknownProvider, InvalidAmount, InvalidRequest) as problem:
        said = mask_digits(str(problem))[:200]
        raise Conflict(_kept(letter, f"what it holds cannot be sold: {said}")) from None
    wrong = unbookable_id(letter.topup_id) or unbookable(order)
    if (order.currency, order.country) != (offer.currency, offer.country):
        wrong = f"{offer.provider} does not sell there, or not for this currency"
    if letter.lane != order.provider:
        wrong = f"it was on the lane of {letter.lane[:32]}, and asks for {order.provider}"
    if wrong is not None:
        raise Conflict(_kept(letter, wrong))
    return order


def _shown(letter: Letter) -> LetterShown:
    mark = letter.mark
    return LetterShown(
        id=letter.name,
        at=timestamp(letter.at_ms),
        topup_id=mask_digits(letter.topup_id)
        if unbookable_id(letter.topup_id)
        else letter.topup_id,
        lane=letter.lane,
        cause=_cause(letter),
        redrivable=mark is None and letter.sent == "no" and letter.source is None,
        dealt_with=None
        if mark is None
        else Dealt(what=mark.what, by=mark.by, reason=mark.why, at=timestamp(int(mark.at))),
    )


def _cause(letter: Letter) -> str:
    return mask_digits(letter.reason)


def _payload(letter: Letter) -> Any:  # noqa: ANN401 - any JSON
    """Return what it holds, for people: never a phone, never without end."""
    try:
        order = msgspec.structs.asdict(decode_request(letter.payload))
        return {**order, "phone": mask_phone(order["phone"]), "metadata": None}
    except _UNREADABLE:
        pass
    try:
        raw = unpack(letter.payload)
    except ValueError:
        raw = letter.payload
    text = raw.decode(errors="replace")[: 2 * _SHOWN_CHARACTERS_MAX]
    return mask_digits(text)[:_SHOWN_CHARACTERS_MAX]


def _dealt(letter: Letter, reply: tuple[str, str]) -> Response:
    word, detail = reply
    match word:
        case "discarded" | "redriven":
            done = LetterDealt(id=letter.name, done=word, topup_id=letter.topup_id)
            return json_response(200, done)
        case "done":
            raise Conflict(_done_before(letter, msgspec.json.decode(detail, type=Mark)))
        case "none":
            raise NotFound(f"There is no dead letter {letter.name!r} any more")
        case "exists":
            raise Conflict(_kept(letter, _ENDED.get(detail, f"its topup is {detail} and goes on")))
        case "key_taken":
            raise Conflict(_kept(letter, f"its idempotency key is topup {detail}'s by now"))
        case _:
            raise Conflict(_kept(letter, "it may have been sent"))


def _kept(letter: Letter, why: str) -> str:
    return f"{letter.name} cannot be driven again: {why}; nothing was changed"


def _done_before(letter: Letter, mark: Mark) -> str:
    at = timestamp(int(mark.at))
    return f"{letter.name} was {mark.what} by {mark.by} at {at}: {mark.why}; nothing was changed"
