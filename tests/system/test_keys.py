"""What an operator does with customers and keys, and how soon every gateway knows."""

import json
from functools import partial
from typing import Any

import aiohttp
import pytest
from redis import Redis

from shared.contracts.keys import hash_of, id_of, is_well_formed
from tests.system.stack import Stack, until

pytestmark = [pytest.mark.system, pytest.mark.long]

GATEWAYS = 3
NO_TOPUP = "0195b8a0-0000-7000-8000-000000000000"
SOON_S = 10.0  # far less than what passes until gateways ask for all keys by themselves
NOBODY_LISTENS = "redis://127.0.0.1:1/0"


def ok(stack: Stack, *words: str) -> str:
    """Run a command that must succeed; return what it printed."""
    done = stack.topup(*words)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def customer(stack: Stack, name: str) -> str:
    """Make a customer of this name, and return its id."""
    ok(stack, "customers", "create", name, "--merchant", name.lower())
    return name


def draw(stack: Stack, name: str, *more: str) -> dict[str, Any]:
    """Draw a key for the customer."""
    key: dict[str, Any] = json.loads(ok(stack, "keys", "create", name, "--json", *more))
    return key


def listed(stack: Stack, *words: str) -> dict[str, dict[str, Any]]:
    """Return the keys that `topup keys list --json` knows, by id."""
    rows = json.loads(ok(stack, "keys", "list", "--json", *words))
    return {row["id"]: row for row in rows}


async def asked(stack: Stack, secret: str, merchant: str) -> dict[str, int]:
    """Return what each of the gateways answers to the key: 404 if it lets it in, else 401."""
    statuses: dict[str, int] = {}
    while len(statuses) < GATEWAYS:
        connector = aiohttp.TCPConnector(limit=1)  # one connection stays at one gateway
        async with aiohttp.ClientSession(stack.url, connector=connector) as session:
            async with session.get("/health") as health:
                gateway = (await health.json())["instance"]["id"]
            path = f"/api/{merchant}/topups/{NO_TOPUP}"
            async with session.get(path, headers={"x-api-key": secret}) as answer:
                statuses[gateway] = answer.status
    return statuses


async def until_all(stack: Stack, secret: str, merchant: str, status: int) -> None:
    """Wait until every gateway answers so."""

    async def so() -> bool:
        return set((await asked(stack, secret, merchant)).values()) == {status}

    await until(so, within_s=SOON_S)


async def test_a_key_is_drawn_used_and_revoked(stack: Stack) -> None:
    """It works on every gateway, and stops on every gateway, whose connections were just cut."""
    name = customer(stack, "REVOKED")
    key = draw(stack, name, "--label", "web shop")
    assert is_well_formed(key["key"])
    assert key["id"] == id_of(hash_of(key["key"]))
    assert listed(stack, name)[key["id"]]["works"]
    await until_all(stack, key["key"], "revoked", 404)
    state = json.loads((stack.folder / "state.json").read_text())
    with Redis.from_url(state["environment"]["REDIS_URL"]) as valkey:
        valkey.client_kill_filter(_type="normal", skipme=True)
        said = ok(stack, "keys", "revoke", key["id"], "--yes")
    assert key["id"] in said
    await until_all(stack, key["key"], "revoked", 401)
    assert listed(stack, name) == {}
    assert listed(stack, name, "--all")[key["id"]]["revoked_at"] is not None


async def test_a_key_is_rotated_with_a_grace(stack: Stack) -> None:
    """Both work meanwhile; then the old one ends by itself."""
    name = customer(stack, "ROTATED")
    old = draw(stack, name, "--scope", "topup:read", "--label", "reports")
    new = json.loads(ok(stack, "keys", "rotate", old["id"], "--grace", "4s", "--json"))
    assert (new["scopes"], new["label"]) == (["topup:read"], "reports")
    await until_all(stack, new["key"], "rotated", 404)
    assert listed(stack, name)[old["id"]]["expires_at"] is not None
    await until_all(stack, old["key"], "rotated", 401)
    assert set(listed(stack, name)) == {new["id"]}
    again = stack.topup("keys", "rotate", old["id"], "--yes")
    assert again.returncode == 2
    assert "was revoked or replaced already" in again.stderr


async def test_a_customer_is_disabled_and_enabled(stack: Stack) -> None:
    """All its keys stop, and work again, on every gateway."""
    name = customer(stack, "PAUSED")
    keys = [draw(stack, name)["key"] for _ in range(2)]
    for words, status in ((("disable", name, "--yes"), 401), (("enable", name), 404)):
        ok(stack, "customers", *words)
        for key in keys:
            await until_all(stack, key, "paused", status)


async def test_a_limit_holds_from_the_next_request_on(stack: Stack) -> None:
    """And the default again after it."""
    name = customer(stack, "LIMITED")
    key = draw(stack, name)["key"]
    body = {"phone": "5566374683", "amount": 10, "provider": "LATCOM"}

    async def post() -> tuple[int, str]:
        async with stack.session.post(
            f"{stack.url}/api/limited/topup", json=body, headers={"x-api-key": key}
        ) as answer:
            return answer.status, await answer.text()

    async def answered(wanted: tuple[int, str]) -> bool:
        status, text = await post()
        return status == wanted[0] and wanted[1] in text

    await until(partial(answered, (202, "topup_id")), within_s=SOON_S)
    ok(stack, "customers", "limit", name, "2")
    await until(partial(answered, (429, "Maximum 2 per minute.")), within_s=SOON_S)
    ok(stack, "customers", "limit", name, "--default")
    await until(partial(answered, (202, "topup_id")), within_s=SOON_S)


async def test_the_last_use_is_shown(stack: Stack) -> None:
    """After a while, without a write for each request."""
    name = customer(stack, "USED")
    used, idle = draw(stack, name), draw(stack, name)
    await until_all(stack, used["key"], "used", 404)

    async def known() -> bool:
        return bool(listed(stack, name)[used["id"]]["last_used_at"])

    await until(known, within_s=60, each_s=0.5)
    assert listed(stack, name)[idle["id"]]["last_used_at"] is None
    shown = json.loads(ok(stack, "customers", "show", name, "--json"))
    assert shown["last_used_at"] is not None


async def test_what_cannot_be_announced_is_said(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is done, the exit status is 1, and repeating it tells the gateways."""
    name = customer(stack, "UNTOLD")
    key = draw(stack, name)
    await until_all(stack, key["key"], "untold", 404)
    with monkeypatch.context() as cut:
        cut.setenv("REDIS_URL", NOBODY_LISTENS)
        revoked = stack.topup("keys", "revoke", key["id"], "--yes")
        created = stack.topup("keys", "create", name, "--json")
    for done in (revoked, created):
        assert done.returncode == 1
        assert "it is done, but could not be announced" in done.stderr
        assert "within 60 s" in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert "repeat this command" in revoked.stderr
    assert set(listed(stack, name)) == {json.loads(created.stdout)["id"]}
    ok(stack, "keys", "revoke", key["id"], "--yes")
    await until_all(stack, key["key"], "untold", 401)


async def test_no_key_is_anywhere_but_where_it_was_shown(stack: Stack) -> None:
    """Neither in a log nor in the data folder nor in the database's files."""
    name = customer(stack, "SECRETIVE")
    key = draw(stack, name)["key"]
    await until_all(stack, key, "secretive", 404)
    ok(stack, "keys", "rotate", id_of(hash_of(key)), "--yes")
    await until_all(stack, key, "secretive", 401)
    needle = key.removeprefix("topup_")[6:].encode()
    for path in stack.folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert needle not in path.read_bytes(), path
