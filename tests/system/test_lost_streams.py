"""Valkey comes back with less than it had: nothing is paid again, and nobody is told wrong."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from redis import Redis

from ops.embedded import Running as Server
from tests.system.stack import UNLIMITED, Running, Stack, check_books, until

pytestmark = [pytest.mark.system, pytest.mark.long]

FINAL = {"succeeded", "failed", "unresolved"}
SETTINGS = {"SANDBOX_LATENCY": "1500", "LATCOM_TIMEOUT": "10s", "STALL": "5s"}
"""Slow enough that the ledger books each request long before its topup is paid."""


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Server]:
    """A Valkey that a test may take away."""
    server = Server.valkey(tmp_path / "valkey")
    yield server
    server.stop()


@pytest.fixture
async def stack(tmp_path: Path, valkey: Server) -> AsyncIterator[Stack]:
    """`make run` on it."""
    running = Running(tmp_path / "topup", {**UNLIMITED, **SETTINGS, "REDIS_URL": valkey.url})
    async with Stack(running) as stack:
        yield stack
    running.stop()


async def post(stack: Stack, key: str) -> tuple[int, dict[str, Any]]:
    """Ask once, as a merchant whose connection may break; every third may have several lanes.

    Those are refused twice, so that the first lane gives them away.
    """
    several = key[-1] in "369"
    sold = {"provider": "AUTO", "phone": "5566374902"} if several else {}
    try:
        return await stack.post(key=key, **sold)
    except (OSError, aiohttp.ClientError):
        return 0, {}


async def insist(stack: Stack, key: str) -> str:
    """Ask with the same key until it is taken; return the id that was told."""
    while True:
        status, body = await post(stack, key)
        if status in (200, 202):
            return str(body["topup_id"])
        await asyncio.sleep(0.2)


async def until_held(stack: Stack) -> None:
    """Wait until the lane is held because of the loss."""

    async def held() -> bool:
        lane = (await stack.queue()).get("lanes", {}).get("LATCOM", {})
        return bool(lane.get("reason") == "streams_lost")

    await until(held)


async def until_nothing_runs(stack: Stack) -> None:
    """Wait until the provider has answered all that it was asked."""

    async def quiet() -> bool:
        book = await stack.book()
        return not any(entry["running"] for entry in book["references"].values())

    await until(quiet)


async def check_refused_until_reconciled(stack: Stack) -> None:
    """Merchants are told that nothing was accepted, operators what to do."""

    async def surely_nothing() -> bool:
        status, body = await stack.post(key="while-it-is-lost")
        assert (status, body["success"]) == (503, False)
        return "Nothing was accepted" in body["error"]

    await until(surely_nothing)
    _, health = await stack.get("/health")
    assert health["status"] == "degraded"
    assert "topup reconcile streams" in health["services"]["queue"]["problem"]
    doctor = stack.topup("doctor")
    assert doctor.returncode == 1
    assert "run `topup reconcile streams`" in doctor.stdout


def reconcile(stack: Stack, *flags: str) -> str:
    """Run the command; return what it says."""
    done = stack.topup("reconcile", "streams", *flags)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def test_an_older_copy_of_the_data_pays_nothing_again(
    stack: Stack, valkey: Server, tmp_path: Path
) -> None:
    """What was queued and in flight in the copy has been paid since; each repeat finds it so."""
    keys = [f"order-{number}" for number in range(90)]
    topups = await asyncio.gather(*(insist(stack, key) for key in keys))
    data, older = tmp_path / "valkey" / "appendonlydir", tmp_path / "older"
    shutil.copytree(data, older)
    await stack.until_settled(90, within_s=60)
    assert await check_books(stack, topups) == {"succeeded": 90}

    async def all_booked() -> bool:
        return bool((await stack.get("/api/admin/metrics"))[1]["total_transactions"] == 90)

    await until(all_booked)
    asked = (await stack.book())["paid"]
    valkey.kill()
    shutil.rmtree(data)
    shutil.copytree(older, data)
    valkey.revive()
    await until_held(stack)
    await check_refused_until_reconciled(stack)
    assert await check_books(stack, topups) == {"succeeded": 90}, "told from the books meanwhile"
    assert "nothing was changed" in reconcile(stack, "--dry-run")
    assert "restored as succeeded" in reconcile(stack, "--yes")
    assert await asyncio.gather(*(insist(stack, key) for key in keys)) == topups
    assert await check_books(stack, topups) == {"succeeded": 90}
    new = await insist(stack, "another-order")
    await until(lambda: _settled(stack, new))
    assert (await stack.book())["paid"] == asked + 1
    assert "nothing is lost" in reconcile(stack, "--yes")
    verified = stack.topup("ledger", "verify")
    assert verified.returncode == 0, verified.stdout


async def test_an_emptied_server_forgets_no_payment_and_no_key(
    stack: Stack, valkey: Server
) -> None:
    """Merchants insist through it all: each key is paid at most once, each answer is true."""
    keys = [f"order-{number}" for number in range(150)]
    told: dict[str, list[str]] = {key: [] for key in keys}

    async def sell(key: str, after_s: float) -> None:
        await asyncio.sleep(after_s)  # so that some are sold before, some in, some after the loss
        told[key].append(await insist(stack, key))

    selling = asyncio.gather(*(sell(key, number / 50) for number, key in enumerate(keys)))

    async def some_are_paid() -> bool:
        return bool((await stack.book())["paid"] >= 5)

    await until(some_are_paid)
    with Redis.from_url(valkey.url) as client:
        client.flushall()
    await until_held(stack)
    await check_refused_until_reconciled(stack)
    await until_nothing_runs(stack)
    reconcile(stack, "--yes")
    await selling
    for key in keys:  # repeated once more, when everything is over
        told[key].append(await insist(stack, key))
    for key in keys:
        await _check_key(stack, set(told[key]), told[key][-1])
    verified = stack.topup("ledger", "verify")
    assert verified.returncode == 0, verified.stdout


async def _check_key(stack: Stack, told: set[str], last: str) -> None:
    """Its last topup ends, and of all that it was told at most one was paid."""
    await until(lambda: _settled(stack, last), within_s=60)
    paid = {topup: (await stack.book(topup)).get("paid", 0) for topup in told}
    assert sum(paid.values()) <= 1, paid
    state = (await stack.status_of(last))["status"]
    assert not (state == "succeeded" and not paid[last])
    assert not (state == "failed" and paid[last])
    for gone in told - {last}:
        assert not paid[gone], "of what was never booked, nothing was paid"


async def _settled(stack: Stack, topup: str) -> bool:
    return (await stack.status_of(topup)).get("status") in FINAL
