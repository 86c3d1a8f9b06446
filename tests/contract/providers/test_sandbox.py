"""The sandbox itself: its book is what other tests believe, so it must be right."""

import http.client
import json
import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ops.ports import free_port
from services.dispatcher.providers.adapter import Delivered
from tests.contract.providers.kit import LATCOM
from tests.contract.providers.peers import until
from tests.contract.providers.sales import Attempt, sale
from tests.contract.providers.sandboxes import ACCESS, Sandbox, run, sandbox

pytestmark = pytest.mark.integration

ORDER: dict[str, Any] = {
    "targetMSISDN": "5512345123",
    "dist_transid": "ref",
    "operator": "TELEFONICA",
    "country": "MEXICO",
    "currency": "MXN",
    "amount": 10,
    "productId": "XOOM_10_MXN",
    "skuID": "0",
    "service": 2,
}


def token_of(provider: Sandbox) -> str:
    """Log in."""
    names = ("username", "password", "dist_api", "user_uid")
    login = {name: ACCESS[f"LATCOM_{name.upper()}"] for name in names}
    return str(provider.ask("POST", "/api/dislogin", login)["access"])


def order_status(provider: Sandbox, order: object, authorization: str) -> int:
    """Order with this authorization; return the HTTP status."""
    connection = http.client.HTTPConnection("127.0.0.1", provider.port, timeout=10)
    try:
        headers = {"authorization": authorization}
        connection.request("POST", "/api/tn/fast", json.dumps(order), headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "none"),
        ("PORT", "70000"),
        ("SANDBOX_LATENCY", "fast"),
        ("SANDBOX_LATENCY", "90-10"),
        ("SANDBOX_DEDUPES", "maybe"),
        ("SANDBOX_INQUIRY", "2"),
        ("SANDBOX_TOKEN_LIFE", "5"),
        ("LATCOM_PASSWORD_FILE", "/nowhere/at/all"),
    ],
)
def test_a_wrong_setting_is_one_line_and_status_2(name: str, value: str) -> None:
    process = run(**{"PORT": str(free_port()), name: value})
    _, said = process.communicate(timeout=20)
    assert process.returncode == 2
    assert said.count("\n") == 1
    assert said.startswith(f"{name} is {value!r}, ")
    assert f"for example {name}=" in said


def test_its_health_looks_like_that_of_a_service(provider: Sandbox) -> None:
    health = provider.ask("GET", "/health")
    assert (health["status"], health["service"]) == ("healthy", "sandbox")
    assert set(health["instance"]) == {"id", "memory", "pid"}
    assert health["instance"]["pid"] == provider.process.pid
    assert health["uptime"] >= 0
    assert health["version"]


async def test_a_killed_sandbox_still_knows_what_it_paid(tmp_path: Path) -> None:
    file, port = tmp_path / "folder" / "book", free_port()
    paid, refused = [sale() for _ in range(20)], sale("902")
    with sandbox(port, SANDBOX_BOOK=str(file)) as first:
        adapter = LATCOM.adapter(first.url)
        for wanted in (*paid, refused):
            await adapter.send(wanted, Attempt(wanted.topup_id))
        await adapter.close()
        first.ask("POST", "/wallet", {"amount": 12.5})
        before = first.book()
        first.kill()
    with file.open("ab") as torn:
        torn.write(b'["paid","half-a-li')
    with sandbox(port, SANDBOX_BOOK=str(file)) as second:
        after = second.book()
        assert after["references"] == before["references"]
        assert (after["paid"], after["wallet"]) == (20, 12.5)
        adapter = LATCOM.adapter(second.url)
        again = sale()
        assert isinstance(await adapter.send(again, Attempt(again.topup_id)), Delivered)
        await adapter.close()
    with sandbox(port, SANDBOX_BOOK=str(file)) as third:
        assert third.book()["paid"] == 21, "the torn line spoiled nothing after it"


async def test_a_client_that_goes_away_is_paid_for_all_the_same() -> None:
    with sandbox(SANDBOX_LATENCY="200") as provider:
        body = json.dumps(ORDER).encode()
        head = (
            f"POST /api/tn/fast HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token_of(provider)}"
            f"\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", provider.port)) as client:
            client.sendall(head.encode() + body)
            await until(lambda: provider.book("ref")["running"] == 1)
            assert provider.book("ref")["paid"] == 0
        await until(lambda: provider.book("ref")["paid"] == 1)


def test_it_takes_only_its_own_tokens_and_whole_orders(provider: Sandbox) -> None:
    token = token_of(provider)

    assert order_status(provider, ORDER, "Bearer nonsense") == 401
    assert order_status(provider, ORDER, token) == 401
    assert order_status(provider, {**ORDER, "targetMSISDN": "12"}, f"Bearer {token}") == 400
    assert order_status(provider, {**ORDER, "dist_transid": ""}, f"Bearer {token}") == 400
    assert order_status(provider, {**ORDER, "amount": "ten"}, f"Bearer {token}") == 400
    assert order_status(provider, [], f"Bearer {token}") == 400
    assert "ref" not in provider.book()["references"]
    assert order_status(provider, ORDER, f"Bearer {token}") == 200


async def test_a_token_lives_as_long_as_it_was_told() -> None:
    with sandbox(SANDBOX_TOKEN_LIFE="50ms") as provider:
        authorization = f"Bearer {token_of(provider)}"
        await until(lambda: order_status(provider, ORDER, authorization) == 401)


def test_a_wrong_control_is_told_what_would_do(provider: Sandbox) -> None:
    assert '{"amount": 500}' in provider.ask("POST", "/wallet", {"money": 5})["message"]
    assert '{"unauthorized": 1}' in provider.ask("POST", "/faults", {"unknown": 5})["message"]


def test_its_port_is_its_own(provider: Sandbox) -> None:
    second = run(PORT=str(provider.port))
    _, said = second.communicate(timeout=20)
    assert second.returncode == 1
    assert said.startswith("sandbox cannot start: ")
    assert said.count("\n") == 1


def test_its_book_is_of_plain_numbers(provider: Sandbox) -> None:
    book = msgspec.json.encode(provider.book())
    assert b'"at_once_max":' in book
    assert b'"paid":"' not in book
