"""LATCOM's request to the byte: amounts are exact, and no float is ever in between."""

from decimal import ROUND_HALF_UP, Decimal

import msgspec
import pytest

from services.dispatcher.providers import ProviderSettings, providers
from services.dispatcher.providers.latcom import Latcom, provider_url
from services.dispatcher.providers.latcom_wire import OFFER, order_body, wire_amount
from services.dispatcher.providers.sandbox import SandboxLatcom
from shared.contracts.errors import InvalidSettings
from tests.contract.providers.sales import sale


class Settings(msgspec.Struct, frozen=True):
    """The dispatcher's settings, as far as providers read them."""

    environment: str = "development"
    latcom_url: str = "http://127.0.0.1:9"
    latcom_username: str = "u"
    latcom_password: str = "p"
    latcom_dist_api: str = "d"
    latcom_user_uid: str = "x"
    latcom_timeout_ms: int = 45_000
    latcom_token_life_ms: int = 240_000
    sandbox_dedupes: bool = False
    sandbox_inquiry: bool = False


def test_the_order_is_what_latcom_reads() -> None:
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


@pytest.mark.parametrize(
    "url",
    [
        "http://provider.example",
        "http://10.0.0.1:8080",
        "http://127.0.0.1.example",
        "ftp://127.0.0.1",
        "provider.example",
        "",
        "https://",
        "https://name:word@provider.example",
        "https://provider.example?token=word",
        "https://provider.example:port",
        "https://provider..example",
        f"https://{'a' * 64}.example",
        "https://xn--zzzzzz.example",
    ],
)
def test_a_url_that_would_show_credentials_is_refused_in_one_line(url: str) -> None:
    with pytest.raises(InvalidSettings, match="for example LATCOM_URL=https://") as refused:
        provider_url(url)
    assert "LATCOM_URL" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "word" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    ["https://provider.example/base", "http://127.0.0.1:1", "http://[::1]:1", "http://localhost"],
)
def test_https_anywhere_and_http_at_home_will_do(url: str) -> None:
    assert str(provider_url(url)).rstrip("/") == url


def test_latcom_promises_nothing_whatever_the_settings() -> None:
    made: ProviderSettings = Settings()
    adapter = providers(made)["LATCOM"]
    assert type(adapter) is Latcom
    facts = adapter.facts
    assert (facts.name, facts.dedupes_on_reference, facts.inquiry) == ("LATCOM", False, False)
    assert (facts.answer_timeout_ms, facts.refusal_covers) == (45_000, False)


def test_what_the_sandbox_can_do_more_is_never_believed_of_the_real_one() -> None:
    made = providers(Settings(sandbox_dedupes=True, sandbox_inquiry=True))["LATCOM"]
    assert isinstance(made, SandboxLatcom)
    for wrong in (
        Settings(sandbox_dedupes=True, latcom_url="https://provider.example"),
        Settings(sandbox_inquiry=True, latcom_url="https://provider.example"),
        Settings(sandbox_dedupes=True, environment="production"),
    ):
        with pytest.raises(InvalidSettings, match="SANDBOX_DEDUPES and SANDBOX_INQUIRY"):
            providers(wrong)
