"""Whose lane exists, and what of an access is refused before anything is opened."""

from typing import Any

import pytest

from services.dispatcher.providers import providers
from services.dispatcher.providers.addresses import provider_url
from services.dispatcher.providers.dtone import Dtone
from services.dispatcher.providers.latcom import Latcom
from services.dispatcher.providers.reloadly import Reloadly
from services.dispatcher.providers.sandbox import SandboxLatcom
from services.dispatcher.settings import DispatcherSettings
from shared.contracts.access import ACCESS
from shared.contracts.catalogue import OFFERS
from shared.contracts.errors import InvalidSettings
from shared.runtime.settings import load

AT_HOME = "http://127.0.0.1:9"
LATCOM = {"LATCOM_URL": AT_HOME, **dict.fromkeys(ACCESS["LATCOM"].login, "x")}
RELOADLY = {"RELOADLY_URL": AT_HOME, **dict.fromkeys(ACCESS["RELOADLY"].login, "x")}
DTONE = {"DTONE_URL": AT_HOME, **dict.fromkeys(ACCESS["DTONE"].login, "1")}


def settings(**environ: str) -> DispatcherSettings:
    """Return the settings of a dispatcher with this access."""
    others = {"INSTANCE_PORT": "8081", "REDIS_URL": "redis://127.0.0.1:1", "LEDGER_URL": AT_HOME}
    return load(DispatcherSettings, others | environ)


@pytest.mark.parametrize(
    ("environ", "lanes"),
    [
        (LATCOM, {"LATCOM": Latcom}),
        (DTONE, {"DTONE": Dtone}),
        (RELOADLY | DTONE, {"RELOADLY": Reloadly, "DTONE": Dtone}),
        (
            LATCOM | RELOADLY | DTONE,
            {"LATCOM": Latcom, "RELOADLY": Reloadly, "DTONE": Dtone},
        ),
    ],
)
def test_a_lane_exists_where_its_access_is_set(
    environ: dict[str, str], lanes: dict[str, type]
) -> None:
    made = providers(settings(**environ))
    assert {name: type(adapter) for name, adapter in made.items()} == lanes
    assert [adapter.facts.name for adapter in made.values()] == list(lanes)


def test_what_is_sold_has_an_adapter_and_an_access() -> None:
    assert list(OFFERS) == list(ACCESS)
    assert all(offer.provider == name for name, offer in OFFERS.items())


@pytest.mark.parametrize("name", [n for access in ACCESS.values() for n in access.variables[:-1]])
def test_half_an_access_is_refused_and_what_is_missing_is_named(name: str) -> None:
    everything = LATCOM | RELOADLY | DTONE
    with pytest.raises(InvalidSettings) as refused:
        settings(**{**everything, name: ""})
    assert str(refused.value).startswith(f"{name} must be set for {name.partition('_')[0]}")
    assert f"for example {name}=" in str(refused.value)


def test_a_dispatcher_without_a_lane_is_refused() -> None:
    with pytest.raises(InvalidSettings, match="LATCOM_URL, RELOADLY_URL, DTONE_URL: none is set"):
        settings()


@pytest.mark.parametrize(
    "environ",
    [
        {**LATCOM, "LATCOM_URL": "http://10.0.0.1"},
        {**RELOADLY, "RELOADLY_URL": "http://10.0.0.1"},
        {**RELOADLY, "RELOADLY_AUTH_URL": "http://10.0.0.1"},
        {**DTONE, "DTONE_URL": "http://10.0.0.1"},
    ],
)
def test_no_credentials_go_out_in_the_open(environ: dict[str, str]) -> None:
    with pytest.raises(InvalidSettings, match="_URL is plain http to another machine"):
        providers(settings(**environ))


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
    with pytest.raises(InvalidSettings, match="for example DTONE_URL=https://") as refused:
        provider_url(url, "DTONE_URL")
    assert str(refused.value).startswith("DTONE_URL ")
    assert "\n" not in str(refused.value)
    assert "word" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    ["https://provider.example/base", "http://127.0.0.1:1", "http://[::1]:1", "http://localhost"],
)
def test_https_anywhere_and_http_at_home_will_do(url: str) -> None:
    assert str(provider_url(url, "DTONE_URL")).rstrip("/") == url


def test_latcom_promises_nothing_whatever_the_settings() -> None:
    facts = providers(settings(**LATCOM))["LATCOM"].facts
    assert (facts.name, facts.dedupes_on_reference, facts.inquiry) == ("LATCOM", False, False)
    assert (facts.answer_timeout_ms, facts.refusal_covers) == (45_000, False)


def test_what_the_sandbox_can_do_more_is_never_believed_of_the_real_one() -> None:
    modes: dict[str, Any] = {"SANDBOX_DEDUPES": "on", "SANDBOX_INQUIRY": "on"}
    made = providers(settings(**LATCOM, **RELOADLY, **modes))
    assert isinstance(made["LATCOM"], SandboxLatcom)
    assert not made["RELOADLY"].facts.dedupes_on_reference
    for wrong in (
        {"SANDBOX_DEDUPES": "on", "LATCOM_URL": "https://provider.example"},
        {"SANDBOX_INQUIRY": "on", "LATCOM_URL": "https://provider.example"},
        {"SANDBOX_DEDUPES": "on", "ENVIRONMENT": "production"},
    ):
        with pytest.raises(InvalidSettings, match="SANDBOX_DEDUPES and SANDBOX_INQUIRY"):
            providers(settings(**{**LATCOM, **wrong}))
