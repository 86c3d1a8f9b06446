"""deploy/compose.yaml as it stands: the walk-through, and replicas that go while merchants sell."""

import asyncio
import json
from functools import partial
from typing import Any

import aiohttp
import pytest

from tests.containers.project import ComposeStack, Project
from tests.system.stack import check_books, flowing, until
from tests.system.walk import walk

pytestmark = pytest.mark.containers

OURS = ("gateway", "dispatcher", "ratelimiter", "ledger", "sandbox")


async def test_the_owner_walks_through(stack: ComposeStack) -> None:
    """Behind the load balancer, over three gateways and three dispatchers in containers."""
    await all_are_ready(stack)
    walked = await walk(stack)
    assert len(walked.gateways) == 3
    assert len(walked.dispatchers) == 3


def test_each_container_is_locked_down(project: Project) -> None:
    """Read-only, no capability, no way to gain one; and none of ours is root."""
    for service in (*OURS, "lb"):
        for container in project.containers(service):
            found = project.inspect(container)
            host = found["HostConfig"]
            assert host["ReadonlyRootfs"], service
            assert host["CapDrop"] == ["ALL"], service
            assert not host["CapAdd"], service
            assert host["SecurityOpt"] == ["no-new-privileges:true"], service
            assert not host["Privileged"], service
            assert found["Config"]["User"] not in ("", "0", "root"), service
            assert host["LogConfig"]["Config"]["max-size"], service


def test_only_dispatchers_reach_providers(project: Project) -> None:
    """A gateway, a ledger and the servers are on a network that leads nowhere else."""
    inside = {f"{project.name}_inside"}
    for service in ("gateway", "ratelimiter", "ledger", "valkey", "valkey-limits", "postgres"):
        for container in project.containers(service):
            assert set(project.inspect(container)["NetworkSettings"]["Networks"]) == inside
    network = json.loads(project.engine.docker("network", "inspect", *inside))[0]
    assert network["Internal"] is True


def test_no_secret_is_in_what_the_engine_shows(project: Project) -> None:
    """Secrets are files: neither environment nor command line has one."""
    drawn: dict[str, str] = json.loads((project.folder / "secrets" / "drawn.json").read_text())
    shown = "".join(
        json.dumps(project.inspect(container))
        for service in (*OURS, "lb", "valkey", "valkey-limits", "postgres")
        for container in project.containers(service)
    )
    for name, secret in drawn.items():
        assert secret not in shown, name


async def test_replicas_go_while_merchants_sell(stack: ComposeStack, project: Project) -> None:
    """A gateway and a dispatcher are stopped as an update does; no merchant sees it."""
    wanted = ("--no-deps", "--scale", "gateway=3", "gateway")
    project.compose("up", "-d", "--no-build", *wanted, RATE_LIMIT_PER_MINUTE="1000000")
    await all_are_ready(stack)
    gateway, dispatcher = (project.containers(name)[0] for name in ("gateway", "dispatcher"))
    async with flowing(stack) as topups:
        await until(lambda: enough(topups, 50))
        for going in (gateway, dispatcher):
            before = len(topups)
            stopping = await asyncio.to_thread(stopped, project, going)
            assert stopping["ExitCode"] in (0, 143), stopping
            await until(partial(enough, topups, before + 50))
    await stack.until_settled(len(topups), within_s=60)
    assert await check_books(stack, topups) == {"succeeded": len(topups)}
    project.engine.docker("start", gateway, dispatcher)
    await all_are_ready(stack)


def stopped(project: Project, container: str) -> Any:
    """Stop it with the grace period of compose.yaml; return how it ended."""
    project.engine.docker("stop", "-t", "75", container)
    return project.inspect(container)["State"]


async def enough(topups: list[str], count: int) -> bool:
    return len(topups) >= count


async def all_are_ready(stack: ComposeStack) -> None:
    """Wait until the load balancer spreads over three, and three dispatchers are seen."""

    async def ready() -> bool:
        try:
            health = [(await stack.get("/health")) for _ in range(12)]
            rows = (await stack.queue())["instances"]
        except aiohttp.ClientError:  # the balancer's own 503, which is no JSON
            return False
        ids = {body["instance"]["id"] for _, body in health}
        return len(ids) == 3 and sum(row["service"] == "dispatcher" for row in rows) == 3

    await until(ready, within_s=90, each_s=0.5)


async def test_a_replica_of_all_roles_stands_beside_them(
    stack: ComposeStack, project: Project
) -> None:
    """`topup serve all` in one container: four roles, one port, one drain."""
    secrets = project.folder / "secrets"
    files = {
        "redis_url": secrets / "ledger/redis_url",
        "limiter_redis_url": secrets / "ratelimiter/limiter_redis_url",
        "database_url": secrets / "ledger/database_url",
        "latcom_username": secrets / "dispatcher/latcom_username",
        "latcom_password": secrets / "dispatcher/latcom_password",
        "latcom_dist_api": secrets / "dispatcher/latcom_dist_api",
        "latcom_user_uid": secrets / "dispatcher/latcom_user_uid",
    }
    words = ["--read-only", "--cap-drop", "ALL", "--network", f"{project.name}_inside"]
    for name, path in files.items():
        words += [
            "-v",
            f"{path}:/run/secrets/{name}:ro",
            "-e",
            f"{name.upper()}_FILE=/run/secrets/{name}",
        ]
    words += ["-e", "LATCOM_URL=https://sandbox:8443"]
    ident = project.engine.docker("run", "-d", *words, project.images.topup, "serve", "all")
    try:
        await until(lambda: healthy(project, ident), within_s=60, each_s=0.5)
        rows = (await stack.queue())["instances"]
        beside = {row["id"].partition("-")[0] for row in rows if ident[:12] in row["id"]}
        assert beside >= {"gateway", "dispatcher", "ledger"}
        state = await asyncio.to_thread(stopped, project, ident)
        assert state["ExitCode"] == 0, project.engine.docker("logs", ident)
        for line in project.engine.docker("logs", ident).splitlines():
            json.loads(line)
    finally:
        project.engine.run("docker", "rm", "-f", ident, check=False)


async def healthy(project: Project, container: str) -> bool:
    """Whether the image's own health check says so."""
    return bool(project.inspect(container)["State"]["Health"]["Status"] == "healthy")


def test_an_operator_looks(project: Project) -> None:
    """`docker compose run --rm operator status`, and doctor finds nothing wrong."""
    said = project.compose("run", "--rm", "-T", "operator", "status", "--json")
    assert json.loads(said)
    said = project.compose("run", "--rm", "-T", "operator", "lanes", "list", "--json")
    lanes = {lane["provider"]: lane["state"] for lane in json.loads(said)}
    assert lanes["LATCOM"] == "open"


def test_the_configuration_of_the_load_balancer_is_valid(project: Project) -> None:
    """By its own check."""
    (balancer,) = project.containers("lb")
    check = ["haproxy", "-c", "-f", "/usr/local/etc/haproxy/haproxy.cfg"]
    project.engine.docker("exec", balancer, *check)


def test_what_is_kept_outlives_the_containers(project: Project) -> None:
    """`down` without `-v` and `up` again: the same books, the same secrets."""
    before = json.loads(project.compose("run", "--rm", "-T", "operator", "status", "--json"))
    project.compose("--profile", "demo", "down", "-t", "75")
    project.compose("--profile", "demo", "up", "-d", "--no-build")
    after = json.loads(project.compose("run", "--rm", "-T", "operator", "status", "--json"))
    assert (after["queue"], after["revenue"]) == (before["queue"], before["revenue"])
