"""The owner's walk-through, to the letter, on `make run`."""

import asyncio
import json
import stat
from pathlib import Path

import psycopg
import pytest

from shared.runtime.redis import Client
from tests.system.stack import Stack, accept, until
from tests.system.walk import walk

pytestmark = pytest.mark.system


@pytest.mark.settings(RATE_LIMIT_PER_MINUTE="200")
async def test_the_owner_walks_through(stack: Stack) -> None:
    """Health, fifty at once, queue-stats, metrics: what the deployment guide says is seen."""
    walked = await walk(stack)
    assert walked.gateways == {"gateway-1", "gateway-2", "gateway-3"}
    assert walked.dispatchers == {"dispatcher-1", "dispatcher-2", "dispatcher-3"}


@pytest.mark.settings(RATE_LIMIT_PER_MINUTE="200", fresh=True)
async def test_250_in_a_row_are_200_accepted_and_50_refused(stack: Stack) -> None:
    """One limit over three gateways, with the owner's exact sentence."""
    answers = [await stack.post() for _ in range(250)]
    assert [status for status, _ in answers] == [202] * 200 + [429] * 50
    sentence = {
        "success": False,
        "error": "Too many topup requests. Maximum 200 per minute.",
    }
    assert all(body == sentence for _, body in answers[200:])


@pytest.mark.settings(SANDBOX_LATENCY="2000", DRAIN_TIMEOUT="60s")
async def test_sixty_at_once_and_never_sixty_one(stack: Stack) -> None:
    """Three dispatchers with twenty slots each fill them all, by the provider's own count."""
    await asyncio.gather(*(stack.post() for _ in range(150)))

    async def full() -> bool:
        return bool((await stack.queue())["active"] == 60)

    await until(full)
    await stack.until_settled(150, within_s=60)
    assert (await stack.book())["at_once_max"] == 60


async def test_a_repeat_is_never_a_second_topup(stack: Stack) -> None:
    """The same key at once on three gateways makes one topup, paid once."""
    answers = await asyncio.gather(*(stack.post(key="order-1") for _ in range(30)))
    assert {status for status, _ in answers} <= {200, 202}
    ids = {body["topup_id"] for _, body in answers}
    assert len(ids) == 1
    await stack.until_settled(1)
    assert (await stack.book(ids.pop()))["paid"] == 1
    status, body = await stack.post(key="order-1", amount=20)
    assert (status, body["success"]) == (422, False)


async def test_ps_lists_every_part(stack: Stack) -> None:
    """`topup ps --json` names each replica and server, with pid and ports."""
    rows = stack.ps()
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["service"]] = counts.get(row["service"], 0) + 1
        assert set(row) >= {
            "service", "id", "pid", "port", "instance_port", "state", "restarts"
        }, json.dumps(row)  # fmt: skip
    assert counts == {
        "gateway": 3, "ratelimiter": 1, "dispatcher": 3, "ledger": 1, "sandbox": 1,
        "valkey": 1, "valkey-limits": 1, "postgres": 1,
    }  # fmt: skip


async def test_each_service_has_its_own_login_and_lacks_no_right(
    stack: Stack, redis: Client
) -> None:
    """No password or other's address is in an environment; nothing that they want is refused."""
    (topup_id, *_) = await accept(stack, 10)
    await stack.until_settled(10)
    assert (await stack.status_of(topup_id))["status"] == "succeeded"
    passwords = passwords_in(stack.folder / "passwords")
    assert set(passwords) == {"gateway", "ratelimiter", "dispatcher", "ledger"}
    state = json.loads((stack.folder / "state.json").read_text())["environment"]
    (postgres,) = stack.ps("postgres")
    for row in stack.ps():
        if row["service"] not in passwords:
            continue
        told = environment_of(row["pid"])
        assert not any(password in told for password in passwords.values())
        assert state["DATABASE_URL"] not in told
        assert state["REDIS_URL"] not in told
        assert ("DATABASE_URL=" in told) == (row["service"] == "ledger")
        for user in (f"topup-{row['service']}", "topup_ledger", "topup"):
            if (user, row["service"]) == ("topup_ledger", "ledger"):
                continue
            with pytest.raises(psycopg.OperationalError, match="authentication failed"):
                psycopg.connect(
                    host="127.0.0.1", port=postgres["port"], user=user, dbname="postgres",
                    password=passwords[row["service"]],
                )  # fmt: skip
    users = {client["user"] for client in await redis.client_list()}
    assert {"topup-gateway", "topup-dispatcher", "topup-ledger"} <= users
    refused = await redis.line.ask("ACL", "LOG")
    assert [dict(zip(one[::2], one[1::2], strict=True)) for one in refused] == []


def passwords_in(folder: Path) -> dict[str, str]:
    """Return each service's; nobody else may read their files."""
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in folder.iterdir())
    return {path.name: path.read_text() for path in folder.iterdir()}


def environment_of(pid: int) -> str:
    return Path(f"/proc/{pid}/environ").read_bytes().decode()
