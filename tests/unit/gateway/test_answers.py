"""How errors and topups are written for merchants."""

import pytest

from services.gateway import refusals
from services.gateway.merchant import replies
from services.gateway.merchant.topups import limit_headers
from shared.contracts import errors
from shared.contracts.errors import TopupError
from shared.contracts.events import TopupRequested
from shared.contracts.peers import LimitVerdict
from shared.web.problems import PROBLEMS, prefers_problem, render, said_code


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("application/problem+json", True),
        ("application/json, application/problem+json", False),
        ("application/problem+json, application/json", True),
        ("application/json;q=0.5, application/problem+json", True),
        ("application/json, application/problem+json;q=0.9", False),
        ("application/problem+json;q=0", False),
        ("application/problem+json;q=nonsense", False),
        ("text/html, application/problem+json;q=0.1, */*;q=0.1", True),
    ],
)
def test_who_gets_problem_json(accept: str, wanted: bool) -> None:
    """Only who names it, and not after plain JSON."""
    assert prefers_problem(accept) is wanted


def test_every_refusal_has_its_line_in_the_table() -> None:
    """No error of ours is answered as an unknown one."""
    ours = [
        kind
        for module in (refusals, errors)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, TopupError)
    ]
    never_answered = {"invalid_settings", "partitions_differ", "functions_unsupported"}
    never_answered |= {"not_durable"}
    of_connections = {"request_timeout", "headers_too_large"}
    assert {kind.code for kind in ours} - never_answered == set(PROBLEMS) - of_connections


def test_an_unsure_accept_is_said_as_unavailable_but_unknown() -> None:
    """The code is the documented one; what was charged is told apart."""
    status, headers, body = render("not_known", "?", accept="application/problem+json")
    assert (status, said_code("not_known")) == (503, "unavailable")
    assert (b"error-code", b"unavailable") in headers
    assert b'"charged":"unknown"' in body


def test_the_body_of_the_limit_is_exact() -> None:
    """Merchants compare it as text."""
    _, _, body = render("rate_limited", "Too many topup requests. Maximum 200 per minute.")
    expected = b'{"success":false,"error":"Too many topup requests. Maximum 200 per minute."}'
    assert body == expected


def test_limit_headers_round_up() -> None:
    """Whole seconds, and never earlier than the place is free."""
    headers = limit_headers(LimitVerdict(True, 37, 1), 200)
    assert headers == {
        "ratelimit-policy": '"customer";q=200;w=60',
        "ratelimit": '"customer";r=37;t=1',
    }
    assert limit_headers(LimitVerdict(False, 0, 59_001), 5)["ratelimit"] == '"customer";r=0;t=60'


def test_the_202_is_the_documented_one() -> None:
    """Field by field, in this order."""
    request = TopupRequested(
        customer_id="ENVIADESPENSA_001",
        phone="+525566374683",
        country="MX",
        amount_minor=1_000,
        currency="MXN",
        provider="LATCOM",
        product="XOOM_10_MXN",
        reference="order-4711",
        metadata={"till": 3},
    )
    reply = replies.of_order("0195", request, 1_795_471_200_123)
    assert reply.http_status == 202
    assert reply.encode().decode() == (
        '{"success":true,"topup_id":"0195","status":"queued","customer_id":"ENVIADESPENSA_001",'
        '"phone":"+525566374683","amount":"10.00","currency":"MXN","provider":"LATCOM",'
        '"provider_reference":null,"reason":null,"accepted_at":"2026-11-23T22:00:00.123Z",'
        '"settled_at":null,"product":"XOOM_10_MXN","reference":"order-4711","metadata":{"till":3},'
        '"expected_at":null}'
    )
