"""From a merchant's bytes to an order: exact money, one key, a real phone, or a named refusal."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.merchant.phones import WRITTEN_PATTERN, e164, parsed
from services.gateway.merchant.rules import Order, idempotency_key, read_order
from services.gateway.refusals import InvalidJson
from shared.contracts.catalogue import OFFERS
from shared.contracts.errors import InvalidAmount, InvalidPhone, InvalidRequest, UnknownProvider

PLAIN = {"phone": "5566374683", "amount": 10, "provider": "LATCOM"}
COUNTRIES = sorted({offer.country for offer in OFFERS.values()})
VISIBLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=255)


def found_or_refused(read: Callable[[str, str], str], written: str, country: str) -> str:
    """Return the phone, or why there is none."""
    try:
        return read(written, country)
    except InvalidPhone as refusal:
        return str(refusal)


def order(key: str | None = None, /, **changes: Any) -> Order:
    """Read the plain request with changes."""
    return order_of(json.dumps({**PLAIN, **changes}), key)


def order_of(text: str, key: str | None = None) -> Order:
    """Read exactly this text."""
    return read_order(text.encode(), customer_id="C", key_header=key)


def with_amount(token: str) -> Order:
    """Read a request whose amount is exactly this JSON token."""
    return order_of(f'{{"phone": "5566374683", "amount": {token}, "provider": "LATCOM"}}')


class TestAmounts:
    """Money is read exactly or not at all."""

    @pytest.mark.parametrize(
        ("token", "minor"),
        [
            ("10", 1_000),
            ("10.0", 1_000),
            ("10.00", 1_000),
            ("10.000", 1_000),
            ("1e1", 1_000),
            ("2E+1", 2_000),
            ('"10"', 1_000),
            ('"10.5"', None),
            ('"10.00"', 1_000),
            ('"1\\u0030"', 1_000),
            ("2000", 200_000),
            ('"0000030"', 3_000),
        ],
    )
    def test_forms_that_are_read(self, token: str, minor: int | None) -> None:
        """A number in any JSON form, or a string in the documented one."""
        if minor is None:
            with pytest.raises(InvalidAmount, match="10, 20, or whole pesos"):
                with_amount(token)
        else:
            assert with_amount(token).request.amount_minor == minor

    @pytest.mark.parametrize(
        "token",
        [
            "0",
            "-0",
            "-10",
            "0.00",
            "10.001",
            "10.0000000000000000000000000000000000000001",
            "1e400",
            "1e-400",
            "1e999999999999999999999",
            "1234567890",
            "9" * 400,
            '"1e1"',
            '" 10"',
            '"10,00"',
            '"+10"',
            '"10."',
            '"10.001"',
            '""',
            '"\u0661\u0660"',
        ],
    )
    def test_numbers_that_no_amount_can_be(self, token: str) -> None:
        """Understood, but not possible: nothing is rounded to make it so."""
        with pytest.raises(InvalidAmount, match="amount"):
            with_amount(token)

    @pytest.mark.parametrize("token", ["true", "null", "[10]", '{"minor": 10}', '"\\ud800"'])
    def test_what_is_no_amount(self, token: str) -> None:
        """Another type is named as such."""
        with pytest.raises((InvalidRequest, InvalidJson)):
            with_amount(token)

    @pytest.mark.parametrize("token", ["NaN", "Infinity", "-Infinity", "010", "0x10", "1_0", ".5"])
    def test_what_is_no_json(self, token: str) -> None:
        """JSON knows no such numbers."""
        with pytest.raises(InvalidJson):
            with_amount(token)

    @given(st.integers(30, 2_000), st.integers(0, 12), st.booleans())
    def test_any_way_of_writing_gives_the_same_money(
        self, pesos: int, zeros: int, exponent: bool
    ) -> None:
        """Trailing zeros and exponents change nothing."""
        token = f"{pesos}." + "0" * zeros if zeros else str(pesos)
        if exponent:
            token = f"{Decimal(pesos).scaleb(-3)}e3"
        assert with_amount(token).request.amount_minor == pesos * 100

    @given(st.decimals(allow_nan=False, allow_infinity=False))
    def test_no_amount_is_ever_changed(self, value: Decimal) -> None:
        """Whatever number comes: it is taken for exactly what it is, or refused."""
        try:
            read = with_amount(str(value))
        except (InvalidAmount, InvalidJson):
            return
        assert Decimal(read.request.amount_minor) == value * 100


class TestKeys:
    """One key, however it is written."""

    @given(VISIBLE.filter(lambda key: not key.startswith('"')))
    def test_quoted_and_bare_are_the_same_key(self, key: str) -> None:
        """As a structured-field string or as it stands."""
        quoted = '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'
        assert idempotency_key(key, None) == key
        assert idempotency_key(quoted, None) == key
        assert idempotency_key(quoted, key) == key
        assert idempotency_key(None, key) == key

    @pytest.mark.parametrize(
        "header", ["", '""', '"', '"a', '"a"b"', '"a\\x"', "a b", "a\tb", "ä", "x" * 256, "a, b"]
    )
    def test_what_is_no_key(self, header: str) -> None:
        """A key that we would not recognise again is refused, not repaired."""
        with pytest.raises(InvalidRequest, match="Idempotency-Key must be"):
            idempotency_key(header, None)

    def test_two_different_keys(self) -> None:
        """Header and body must mean the same."""
        with pytest.raises(InvalidRequest, match="differ"):
            idempotency_key('"a"', "b")

    def test_a_bad_reference_is_named(self) -> None:
        """The text says which of the two is wrong."""
        with pytest.raises(InvalidRequest, match="reference must be"):
            order(reference="two words")

    def test_no_key_is_no_key(self) -> None:
        """Without one every request is a topup of its own."""
        assert order().key_hash == ""
        assert order().request.reference is None

    def test_keys_of_two_customers_never_meet(self) -> None:
        """The hash holds the customer."""
        raw = json.dumps(PLAIN).encode()
        hashes = {read_order(raw, customer_id=c, key_header="k").key_hash for c in ("A", "B")}
        assert len(hashes) == 2


class TestPhones:
    """Digits in, E.164 out."""

    @pytest.mark.parametrize(
        "phone",
        [
            "5566374683",
            "+525566374683",
            "+5215566374683",
            "+52 1 55 6637 4683",
            "55 6637 4683",
            "(55) 6637-4683",
            "525566374683",
        ],
    )
    def test_ways_to_write_one_phone(self, phone: str) -> None:
        """All of these ring at the same place, so they are the same sale."""
        read = order(phone=phone)
        assert read.request.phone == "+525566374683"
        assert read.fingerprint == order().fingerprint

    @pytest.mark.parametrize(
        "phone",
        [
            "",
            "55663746",
            "55663746830",
            "+12025550123",
            "0000000000",
            "8001234567",
            "+529001234567",
            "phone",
            "5566374683 ext. 5",
            "5566374683\x00",
            "\u0665\u0665\u0666\u0666\u0663\u0667\u0664\u0666\u0668\u0663",
            "9" * 5_000,
        ],
    )
    def test_what_is_no_phone_of_the_country(self, phone: str) -> None:
        """Refused with an example."""
        with pytest.raises(InvalidPhone, match="for example 5566374683"):
            order(phone=phone)

    def test_a_refused_phone_is_not_repeated(self) -> None:
        """What stands in an error ends in somebody's log."""
        with pytest.raises(InvalidPhone) as refusal:
            order(phone="5599999999999")
        assert "99999" not in str(refusal.value)

    @given(
        st.from_regex(rf"\A{WRITTEN_PATTERN}\Z") | st.from_regex(r"\A(\+?52)?[0-9]{7,12}\Z"),
        st.sampled_from(COUNTRIES),
    )
    def test_the_short_way_to_a_phone_finds_what_the_long_one_does(
        self, written: str, country: str
    ) -> None:
        """Whatever is written."""
        assert found_or_refused(e164, written, country) == found_or_refused(
            parsed, written, country
        )

    @pytest.mark.parametrize("code", ["", "+52", "52", "0052"])
    def test_the_short_way_knows_each_area(self, code: str) -> None:
        """Also those of services, and those that no area has."""
        for area in range(1_000):
            written = f"{code}{area:03}6374683"
            short = found_or_refused(e164, written, "MX")
            assert short == found_or_refused(parsed, written, "MX")


class TestOrders:
    """The rest of the body."""

    def test_what_is_accepted(self) -> None:
        """Everything that the ledger needs is in the event."""
        read = order("k-1", metadata={"till": 4}, currency="MXN", country="MX")
        assert msgspec.structs.asdict(read.request) == {
            "customer_id": "C",
            "phone": "+525566374683",
            "country": "MX",
            "amount_minor": 1_000,
            "currency": "MXN",
            "provider": "LATCOM",
            "product": "XOOM_10_MXN",
            "reference": "k-1",
            "metadata": {"till": 4},
            "route": None,
        }

    @pytest.mark.parametrize(
        ("changes", "error", "says"),
        [
            ({"provider": "NOBODY"}, UnknownProvider, "known: LATCOM"),
            ({"provider": 7}, InvalidRequest, r"got `int` - at `\$.provider`"),
            ({"phone": 5566374683}, InvalidRequest, r"got `int` - at `\$.phone`"),
            ({"amounts": 1}, InvalidRequest, "unknown field `amounts`"),
            ({"currency": "USD"}, InvalidRequest, "for example MXN"),
            ({"currency": ""}, InvalidRequest, "for example MXN"),
            ({"country": "US"}, InvalidRequest, "for example MX"),
            ({"product": "GOLD"}, InvalidRequest, "XOOM_10_MXN"),
            ({"product": "XOOM_20_MXN"}, InvalidAmount, "not sold by LATCOM as XOOM_20_MXN"),
            ({"amount": 25}, InvalidAmount, "10, 20, or whole pesos from 30 to 2000"),
            ({"amount": 2001}, InvalidAmount, "10, 20, or whole pesos from 30 to 2000"),
            ({"metadata": "x"}, InvalidRequest, "metadata"),
            ({"metadata": {"a": "x" * 2_100}}, InvalidRequest, "at most 2048"),
            ({"metadata": {"a": "\0"}}, InvalidRequest, "leave it out"),
            ({"metadata": {"a": [[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}}, InvalidRequest, "deeper"),
        ],
    )
    def test_what_is_refused(
        self, changes: dict[str, Any], error: type[Exception], says: str
    ) -> None:
        """The text names the field, and what would do."""
        with pytest.raises(error, match=says):
            order(**changes)

    @pytest.mark.parametrize(
        "raw",
        [
            b"",
            b"{",
            b"\xff",
            b'{"phone": "\xff"}',
            json.dumps(PLAIN).encode() + b"x",
            b'{"metadata":{"a":' + b"[" * 9_000,
        ],
    )
    def test_what_is_not_json(self, raw: bytes) -> None:
        """However broken: a refusal, never a crash."""
        with pytest.raises(InvalidJson, match="not JSON"):
            read_order(raw, customer_id="C", key_header=None)

    @given(st.binary(max_size=200))
    def test_no_bytes_break_it(self, raw: bytes) -> None:
        """Noise is refused in our words."""
        with pytest.raises((InvalidJson, InvalidRequest)):
            read_order(raw, customer_id="C", key_header=None)

    def test_what_makes_two_requests_the_same_sale(self) -> None:
        """Phone, amount, currency, provider and product; not the key, not the metadata."""
        assert order("a").fingerprint == order("b", metadata={"x": 1}).fingerprint
        assert order().fingerprint != order(amount=20).fingerprint
        assert order().fingerprint != order(phone="5566374684").fingerprint


class TestAuto:
    """The provider is ours to choose, and the same is asked for whatever we choose."""

    def test_all_that_sell_it_are_its_route(self) -> None:
        """By their product at this amount; what is asked for names none."""
        read = order(provider="AUTO", amount=10)
        assert read.request.provider == "AUTO"
        assert read.request.product == ""
        assert read.request.route is not None
        assert read.request.route["LATCOM"] == "XOOM_10_MXN"

    def test_a_wanted_product_narrows_the_route(self) -> None:
        """It is part of what is asked for."""
        read = order(provider="AUTO", amount=10, product="XOOM_10_MXN")
        assert read.request.route == {"LATCOM": "XOOM_10_MXN"}
        assert read.request.product == "XOOM_10_MXN"
        assert read.fingerprint != order(provider="AUTO", amount=10).fingerprint

    def test_the_order_of_providers_is_not_asked_for(self) -> None:
        """A repeat is known again after the operator has changed it."""
        body = json.dumps({**PLAIN, "provider": "AUTO"}).encode()
        prints = {
            read_order(body, customer_id="C", key_header=None, providers=given).fingerprint
            for given in (tuple(OFFERS), tuple(reversed(OFFERS)))
        }
        assert len(prints) == 1

    def test_what_nobody_sells_is_told_by_who_comes_nearest(self) -> None:
        """With the amounts that would do."""
        with pytest.raises(InvalidAmount, match="it sells"):
            order(provider="AUTO", amount="10.50")
