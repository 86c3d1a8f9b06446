"""What Railway is told, compiled as its own command does, without an account."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from railway_sdk import create_railway_context

from shared.bus.rights import RIGHTS, user_of

FILE = Path(__file__).parents[3] / ".railway" / "railway.py"
Graph = dict[str, dict[str, Any]]


def compiled(monkeypatch: pytest.MonkeyPatch, **told: str) -> Graph:
    """Return the resources by name."""
    for name, value in {"TOPUP_REPOSITORY": "owner/topup", **told}.items():
        monkeypatch.setenv(name, value)
    spec = importlib.util.spec_from_file_location("railway_program", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    graph = module.main(create_railway_context({"environment": "production"})).to_graph()
    return {one["name"]: one for one in graph["resources"] if one["type"] != "group"}


def literals(resource: dict[str, Any]) -> dict[str, str]:
    return {
        name: one["value"]
        for name, one in resource["variables"].items()
        if one["type"] == "literal"
    }


def kept(resource: dict[str, Any]) -> set[str]:
    return {name for name, one in resource["variables"].items() if one["type"] == "preserve"}


@pytest.mark.parametrize("replicas", ["1", "3"])
def test_one_service_is_all_of_it(monkeypatch: pytest.MonkeyPatch, replicas: str) -> None:
    """Option A: its replicas go from 1 to 3; it migrates first, and drains."""
    graph = compiled(monkeypatch, TOPUP_REPLICAS=replicas)
    assert set(graph) == {"postgres", "valkey", "topup"}
    topup = graph["topup"]
    assert topup["deploy"] == {
        "startCommand": "topup serve all",
        "preDeployCommand": ["topup migrate"],
        "healthcheckPath": "/health",
        "healthcheckTimeout": 120,
        "numReplicas": int(replicas),
        "overlapSeconds": 20,
        "drainingSeconds": 150,
        "restartPolicyType": "ALWAYS",
        "restartPolicyMaxRetries": 10,
    }
    assert topup["build"] == {"builder": "DOCKERFILE", "dockerfilePath": "deploy/Dockerfile"}
    assert topup["source"]["repo"] == "owner/topup"
    database = {"type": "reference", "resource": "database.postgres", "output": "DATABASE_URL"}
    assert topup["variables"]["DATABASE_URL"] == database


@pytest.mark.parametrize("option", ["a", "b"])
def test_the_streams_are_on_disk_before_they_are_answered(
    monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    """A Valkey of our own, with a volume, users that it keeps, and nothing evicted."""
    valkey = compiled(monkeypatch, TOPUP_OPTION=option)["valkey"]
    for word in (
        "--appendonly yes", "--appendfsync always", "--maxmemory-policy noeviction",
        "--aclfile /data/users.acl", "--dir /data",
    ):  # fmt: skip
        assert word in valkey["deploy"]["startCommand"]
    ((_, volume),) = valkey["volumeAttachments"].items()
    assert volume["mountPath"] == "/data"
    assert "numReplicas" not in valkey["deploy"], "replicas cannot have a volume"


def test_a_service_each_has_its_own_login(monkeypatch: pytest.MonkeyPatch) -> None:
    """Option B: no service has another's secret; who migrates has all, and serves nobody."""
    graph = compiled(monkeypatch, TOPUP_OPTION="b")
    assert set(graph) == {"postgres", "valkey", "migrate", *RIGHTS}
    passwords = {f"{service.upper()}_PASSWORD" for service in RIGHTS}
    for service in RIGHTS:
        told = literals(graph[service])
        url = told.get("REDIS_URL") or told["LIMITER_REDIS_URL"]
        assert url == f"redis://{user_of(service)}@valkey.railway.internal:6379/0"
        assert kept(graph[service]) & passwords == {f"{service.upper()}_PASSWORD"}
        assert ("DATABASE_URL" in graph[service]["variables"]) == (service == "ledger")
        has_login = "LATCOM_PASSWORD" in kept(graph[service])
        assert has_login == (service == "dispatcher")
        deploy = graph[service]["deploy"]
        assert deploy["startCommand"] == f"topup serve {service}"
        drain_s = int(told.get("DRAIN_TIMEOUT", "60s").removesuffix("s"))
        assert deploy["drainingSeconds"] > drain_s
    assert passwords <= kept(graph["migrate"])
    replicas = {name: graph[name]["deploy"].get("numReplicas") for name in RIGHTS}
    assert replicas == {"gateway": 3, "ratelimiter": None, "ledger": None, "dispatcher": 3}


@pytest.mark.parametrize("option", ["a", "b"])
def test_no_secret_is_in_it(monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    """What is secret stays as it was set there; a literal names no password and no key."""
    for resource in compiled(monkeypatch, TOPUP_OPTION=option).values():
        for name, value in literals(resource).items() if "variables" in resource else ():
            assert not name.endswith(("PASSWORD", "KEY", "SECRET", "DIST_API", "USER_UID"))
            assert ":" not in value.partition("://")[2].rpartition("@")[0]
