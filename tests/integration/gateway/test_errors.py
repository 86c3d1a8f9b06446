"""The API's error table, row by row, over real HTTP."""

import asyncio
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any

import pytest

from services.gateway import metrics
from shared.contracts.keys import draw_key
from tests.integration.gateway.house import PLAIN, House
from tests.integration.gateway.ledger_stand import MERCHANT, SECRET, api_key

pytestmark = pytest.mark.integration

Row = tuple[dict[str, Any], int, str, str]
TOPUP = f"/api/{MERCHANT}/topup"
JSON = "application/json"
UNKNOWN_ID = "0195b8a0-0000-7000-8000-000000000000"


def row(status: int, code: str, says: str, **request: Any) -> Row:
    """Return one row: a request, and how it is refused."""
    return request, status, code, says


ROWS = {
    "not json": row(400, "invalid_json", "not JSON", data=b"{"),
    "nothing": row(400, "invalid_json", "not JSON", data=b""),
    "NaN": row(400, "invalid_json", "not JSON", data=b'{"amount": NaN}'),
    "Infinity": row(400, "invalid_json", "not JSON", data=b'{"amount": -Infinity}'),
    "wrong type": row(400, "invalid_request", "$.phone", json={**PLAIN, "phone": 5}),
    "amount is no amount": row(400, "invalid_request", "amount", json={**PLAIN, "amount": True}),
    "unknown field": row(400, "invalid_request", "`sum`", json={**PLAIN, "sum": 1}),
    "a field twice": row(
        400,
        "invalid_request",
        "'amount'",
        data=b'{"amount": 10, "\\u0061mount": 20, "phone": "1", "provider": "LATCOM"}',
    ),
    "missing field": row(400, "invalid_request", "`phone`", json={"amount": 10}),
    "two keys": row(
        400,
        "invalid_request",
        "differ",
        json={**PLAIN, "reference": "a"},
        headers={"Idempotency-Key": "b"},
    ),
    "bad key": row(400, "invalid_request", "Idempotency-Key", headers={"Idempotency-Key": "a b"}),
    "no api key": row(401, "unauthorized", "x-api-key", headers={"x-api-key": ""}),
    "wrong api key": row(401, "unauthorized", "x-api-key", headers={"x-api-key": "tk_test_x"}),
    "another customer": row(403, "forbidden", "x-customer-id", headers={"x-customer-id": "OTHER"}),
    "another merchant": row(403, "forbidden", "merchant", path="/api/other/topup"),
    "no scope": row(403, "forbidden", "topup:write", headers={"x-api-key": "reader"}),
    "no such path": row(404, "not_found", "nothing at this path", path="/api/x/y/z"),
    "no such topup": row(
        404, "not_found", "No topup", method="GET", path=f"/api/{MERCHANT}/topups/{UNKNOWN_ID}"
    ),
    "not an id": row(404, "not_found", "", method="GET", path=f"/api/{MERCHANT}/topups/7"),
    "wrong method": row(405, "method_not_allowed", "POST only", method="PUT"),
    "too large": row(413, "too_large", "16384 bytes", data=b" " * 16_385),
    "too large, in chunks": row(413, "too_large", "16384 bytes", chunks=3_000),
    "not said to be json": row(
        415, "unsupported_media_type", JSON, data=b"{}", headers={"content-type": "text/plain"}
    ),
    "a form": row(
        415,
        "unsupported_media_type",
        JSON,
        data=b"{}",
        headers={"content-type": "application/x-www-form-urlencoded"},
    ),
    "no phone of Mexico": row(422, "invalid_phone", "5566374683", json={**PLAIN, "phone": "123"}),
    "not sold": row(422, "invalid_amount", "10, 20, or whole", json={**PLAIN, "amount": 15}),
    "too exact": row(422, "invalid_amount", "decimals", json={**PLAIN, "amount": "10.001"}),
    "nobody": row(422, "unknown_provider", "LATCOM", json={**PLAIN, "provider": "ACME"}),
    "not set up here": row(
        422,
        "unknown_provider",
        "DTONE is not set up here; known: AUTO, LATCOM",
        json={**PLAIN, "provider": "DTONE"},
    ),
    "admin, wrong key": row(
        401,
        "unauthorized",
        "x-admin-key",
        method="GET",
        path="/api/admin/queue-stats",
        headers={"x-admin-key": "no"},
    ),
    "admin, wrong method": row(405, "method_not_allowed", "GET", path="/api/admin/metrics"),
}


async def _chunks(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b" " * 1_000


async def ask(home: House, gateway: str, request: dict[str, Any], **more: str) -> Any:
    """Send the plain request with the row's changes."""
    how = dict(request)
    method, path = how.pop("method", "POST"), how.pop("path", TOPUP)
    headers = {"x-api-key": SECRET, "content-type": JSON, **more, **how.pop("headers", {})}
    if "chunks" in how:
        how["data"] = _chunks(how.pop("chunks"))
    if method in ("POST", "PUT") and "data" not in how:
        how.setdefault("json", PLAIN)
    return await home.ask(method, gateway + path, headers=headers, **how)


async def test_each_row(home: House, subtests: pytest.Subtests) -> None:
    """Status, code and text; as JSON, and as problem+json for who asks for it."""
    home.ledger.keys.append(api_key("reader", scopes=["topup:read"]))
    gateway = await home.gateway()
    for name, (request, status, code, says) in ROWS.items():
        with subtests.test(msg=name):
            answer = await ask(home, gateway, request)
            assert (answer.status, answer.code) == (status, code)
            assert answer.headers["content-type"] == JSON
            assert answer.json.keys() == {"success", "error"}
            assert answer.json["success"] is False
            assert says in answer.json["error"]
            problem = await ask(home, gateway, request, accept="application/problem+json")
            assert problem.headers["content-type"] == "application/problem+json"
            assert problem.json["status"] == status
            assert problem.json["code"] == code
            assert problem.json["charged"] == "no"
            assert problem.json["detail"] == answer.json["error"]


async def test_invalid_requests_take_no_place_and_leave_nothing(home: House) -> None:
    """All rows again, then the whole limit is still there."""
    gateway = await home.gateway(rate_limit_per_minute=1)
    for request, *_ in ROWS.values():
        await ask(home, gateway, request)
    assert (await home.admin(gateway, "queue-stats")).json["total"] == 0
    assert (await home.post(gateway)).status == 202


async def test_an_unknown_key_and_a_revoked_one_look_the_same(home: House) -> None:
    """Nobody learns which keys exist, or could; only operators see how many were mistyped."""
    revoked = draw_key()
    home.ledger.keys.append(api_key(revoked, active=False))
    gateway = await home.gateway()
    before = refused_keys()
    answers = [
        await home.post(gateway, x_api_key=secret)
        for secret in (draw_key(), revoked, revoked[:-1], "")
    ]
    assert {answer.status for answer in answers} == {401}
    assert len({answer.body for answer in answers}) == 1
    after = refused_keys()
    assert {why: after[why] - before[why] for why in after} == {
        "unknown": 2,
        "malformed": 1,
        "none": 1,
    }


def refused_keys() -> dict[str, float]:
    """Return how many requests had no working key, by why."""
    counted = metrics.KEYS_REFUSED
    return {why: counted.labels(why)._value.get() for why in ("unknown", "malformed", "none")}


async def test_another_request_under_the_same_key(home: House, gateway: str) -> None:
    """422, whoever comes second; the first topup stays as it is."""
    first = await home.post(gateway, key="k")
    other = await home.post(gateway, {**PLAIN, "amount": 20}, key="k")
    assert (other.status, other.code) == (422, "idempotency_mismatch")
    assert (await home.show(gateway, first.json["topup_id"])).json["amount"] == "10.00"


async def test_without_an_admin_key_the_admin_api_is_off(home: House) -> None:
    """Never open, not even for an empty key."""
    gateway = await home.gateway(admin_key=None)
    for given in ({}, {"x-admin-key": ""}, {"x-admin-key": "None"}):
        answer = await home.ask("GET", f"{gateway}/api/admin/metrics", headers=given)
        assert (answer.status, answer.code) == (403, "forbidden")


async def test_a_large_body_is_refused_unread(home: House, gateway: str) -> None:
    """The connection is closed, and the answer still arrives."""
    answer = await ask(home, gateway, {"data": BytesIO(b" " * 3_000_000)})
    assert answer.status == 413
    assert answer.headers["connection"] == "close"


async def test_who_sends_before_it_listens_still_hears_why(gateway: str) -> None:
    """A close on unread bytes would reset the answer away."""
    size = 200_000
    host, port = gateway.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST {TOPUP} HTTP/1.1\r\nhost: x\r\nx-api-key: {SECRET}\r\ncontent-type: {JSON}\r\n"
    writer.write(f"{head}content-length: {size}\r\n\r\n".encode())
    for _ in range(size // 1_000):
        writer.write(b" " * 1_000)
        await writer.drain()
    assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")
    assert await reader.read()  # to its orderly end
    writer.close()
    await writer.wait_closed()
