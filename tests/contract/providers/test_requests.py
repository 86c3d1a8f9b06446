"""Each provider's paying request to the byte: amounts are exact, and no float is in between."""

import base64
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest

from services.dispatcher.providers.adapter import Refused
from services.dispatcher.providers.latcom_wire import OFFER, order_body, wire_amount
from tests.contract.providers import peers
from tests.contract.providers.kit import DTONE, KITS, RELOADLY, Kit
from tests.contract.providers.peers import FIRST, Peer, Seen
from tests.contract.providers.sales import sale
from tests.contract.providers.test_answers import send

BODIES: Mapping[str, bytes] = {
    "LATCOM": b'{"targetMSISDN":"5512345123","dist_transid":"topup-of-ours","operator":'
    b'"TELEFONICA","country":"MEXICO","currency":"MXN","amount":10,"productId":"XOOM_10_MXN","skuID":"0",'
    b'"service":2}',
    "RELOADLY": b'{"operatorId":9001,"amount":10,"useLocalAmount":true,"customIdentifier":'
    b'"topup-of-ours-1","recipientPhone":{"countryCode":"MX","number":"+525512345123"}}',
    "DTONE": b'{"external_id":"topup-of-ours-1","product_id":20153,"calculation_mode":'
    b'"DESTINATION_AMOUNT","destination":{"unit_type":"CURRENCY","unit":"MXN","amount":10},'
    b'"auto_confirm":true,"credit_party_identifier":{"mobile_number":"+525512345123"}}',
}


async def asked(kit: Kit, **fields: Any) -> list[Seen]:
    """Return what one attempt for our topup puts on the wire."""
    async with Peer(peers.tells({})) as peer:
        await send(kit, peer.url, **fields)
    return peer.requests


async def test_the_paying_request_is_what_the_provider_reads(kit: Kit) -> None:
    *before, paying = await asked(kit)
    assert (paying.method, paying.path) == ("POST", kit.paying)
    assert paying.body == BODIES[kit.name]
    assert paying.headers["content-type"] == "application/json"
    assert len(before) == len(kit.free)
    assert all(seen.path.startswith(path) for seen, path in zip(before, kit.free, strict=True))


async def test_reloadly_is_asked_for_a_token_of_its_audience_and_for_the_operator() -> None:
    login, operator, paying = await asked(RELOADLY)
    assert login.body == (
        b'{"client_id":"client-id-of-ours","client_secret":"client\\"secret-of-ours",'
        b'"grant_type":"client_credentials","audience":"http://%s"}'
        % login.headers["host"].encode()
    )
    assert operator.path == (
        "/operators/auto-detect/phone/+525512345123/countries/MX"
        "?includeBundles=false&includeData=false&includePin=false"
    )
    for seen in (operator, paying):
        assert seen.headers["accept"] == "application/com.reloadly.topups-v1+json"
        assert seen.headers["authorization"] == f"Bearer {peers.TOKEN}"


async def test_dt_one_is_shown_the_keys_in_each_request() -> None:
    (paying,) = await asked(DTONE)
    scheme, _, pair = paying.headers["authorization"].partition(" ")
    assert scheme == "Basic"
    assert base64.b64decode(pair).decode() == 'api-key-of-ours:api"secret-of-ours'


@pytest.mark.parametrize(
    "wrong",
    [
        {"supportsLocalAmounts": False},
        {"supportsLocalAmounts": None},
        {"bundle": True},
        {"data": True},
        {"pin": True},
        {"destinationCurrencyCode": "USD"},
        {"localMinAmount": 10.01},
        {"localMaxAmount": 9.99},
        {"localMaxAmount": None},
        {"denominationType": "FIXED", "localFixedAmounts": [20, 30]},
        {"denominationType": "FIXED", "localFixedAmounts": None},
    ],
)
async def test_what_the_phones_operator_does_not_take_is_not_ordered(
    wrong: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    start = "/operators/auto-detect/phone/"
    monkeypatch.setitem(FIRST, start, {**FIRST[start], **wrong})  # type: ignore[dict-item]
    async with Peer(peers.tells({})) as peer:
        answer, attempt = await send(RELOADLY, peer.url)
        assert isinstance(answer, Refused)
        assert (answer.kind, answer.code, attempt.looked) == ("final", "not_sold", 0)
        assert RELOADLY.paying not in peer.paths()


async def test_a_reference_that_dt_one_has_no_room_for_is_not_ordered() -> None:
    long = DTONE.sale(topup_id="t" * 39)
    adapter = DTONE.adapter("http://127.0.0.1:9")
    answer = await adapter.send(long, DTONE.attempt(long))
    assert isinstance(answer, Refused)
    assert answer.code == "not_sold"


@pytest.mark.parametrize("kit", KITS[1:], ids=lambda kit: kit.name)
@pytest.mark.parametrize("number", [1, 999])
def test_the_reference_of_an_attempt_fits(kit: Kit, number: int) -> None:
    wanted = kit.sale(topup_id="019a0000-0000-7000-8000-000000000001")
    assert len(kit.reference(wanted, number)) <= 40


def test_latcoms_range_goes_out_without_the_tax_in_it() -> None:
    wanted = sale("683", product="TFE_MXN_20_TO_2000", amount_minor=3_000)
    assert order_body(wanted, "ref-1") == (
        b'{"targetMSISDN":"5512345683","dist_transid":"ref-1","operator":"TELEFONICA",'
        b'"country":"MEXICO","currency":"MXN","amount":25.86,"productId":"TFE_MXN_20_TO_2000",'
        b'"skuID":"0","service":2}'
    )


@pytest.mark.parametrize(
    ("minor", "text"), [(1_000, "10"), (2_000, "20"), (3_000, "25.86"), (11_600, "100")]
)
def test_amounts_are_plain_numbers(minor: int, text: str) -> None:
    (product,) = (product for product in OFFER.products if product.takes(minor))
    assert wire_amount(product, minor, "MXN") == text


def test_every_amount_of_the_range_is_rounded_half_up_to_the_cent() -> None:
    product = OFFER.products[-1]
    for minor in range(product.minor_min, product.minor_max + 1, product.minor_step):
        exact = Decimal(minor) / Decimal(116)
        wanted = exact.quantize(Decimal("0.01"), ROUND_HALF_UP)
        assert Decimal(wire_amount(product, minor, "MXN")) == wanted
