"""The manifests fit the services: names, settings, rights, time to drain, and who reaches what."""

import json
from typing import Any

import jsonschema
import pytest

from services.ledger import metrics
from shared.bus.rights import RIGHTS, user_of
from shared.runtime.settings import parse_duration_ms
from tests.deploy.rendered import KUBERNETES, OVERLAYS, Manifest, containers, rendered

BOTH = {overlay: rendered(KUBERNETES / "overlays" / overlay) for overlay in OVERLAYS}
SERVICES = tuple(RIGHTS)
COMPONENT = "app.kubernetes.io/component"


def of(overlay: str, kind: str, name: str) -> Manifest:
    (found,) = [
        one for one in BOTH[overlay] if (one["kind"], one["metadata"]["name"]) == (kind, name)
    ]
    return found


def environment(container: Manifest) -> dict[str, str]:
    return {one["name"]: one.get("value", "") for one in container["env"]}


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("service", SERVICES)
def test_each_service_is_itself_and_drains_in_its_time(overlay: str, service: str) -> None:
    """Its own user and password, no other's secret, and longer to end than it may drain."""
    pod = of(overlay, "Deployment", service)["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    env = environment(container)
    assert container["args"] == ["serve", service]
    url = env.get("REDIS_URL") or env["LIMITER_REDIS_URL"]
    assert url.startswith(f"redis://{user_of(service)}@")
    assert env[f"{service.upper()}_PASSWORD_FILE"] == f"/run/secrets/{service}/password"
    assert ("DATABASE_URL" in env) == (service == "ledger")
    assert any("LATCOM" in name for name in env) == (service == "dispatcher")
    secrets = [one["secret"]["secretName"] for one in pod["volumes"] if "secret" in one]
    assert secrets == [f"topup-{service}"]
    drain_s = parse_duration_ms(env.get("DRAIN_TIMEOUT", "60s")) / 1_000
    before_s = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] >= before_s + drain_s


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_container_is_locked_in(overlay: str) -> None:
    """No root, no writing, no privilege, a limit for each; and no secret in what git has."""
    for container in containers(BOTH[overlay]):
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert set(container["resources"]) == {"requests", "limits"}
        assert ":" in container["image"]
    assert not [one for one in BOTH[overlay] if one["kind"] == "Secret"]


def peers(rule: dict[str, Any]) -> set[str]:
    return {
        one.get("podSelector", {}).get("matchLabels", {}).get(COMPONENT)
        or one.get("ipBlock", {}).get("cidr")
        or "namespace"
        for one in rule["to"]
    }


def reached(overlay: str) -> dict[str, set[str]]:
    """Return whom each component may open connections to."""
    found: dict[str, set[str]] = {}
    for one in BOTH[overlay]:
        if one["kind"] == "NetworkPolicy" and COMPONENT in one["spec"]["podSelector"].get(
            "matchLabels", {}
        ):
            component = one["spec"]["podSelector"]["matchLabels"][COMPONENT]
            for rule in one["spec"].get("egress", []):
                found.setdefault(component, set()).update(peers(rule))
    return found


def test_only_the_dispatcher_reaches_providers() -> None:
    """And only the ledger and a deployment the database; by default nobody reaches anybody."""
    found = reached("small")
    assert [name for name, whom in found.items() if "0.0.0.0/0" in whom] == ["dispatcher"]
    assert {name for name, whom in found.items() if "postgres" in whom} == {"ledger", "migrate"}
    assert found["ratelimiter"] == {"valkey-limits"}
    assert [n for n, whom in reached("production").items() if "0.0.0.0/0" in whom] == ["dispatcher"]
    for overlay in OVERLAYS:
        spec = of(overlay, "NetworkPolicy", "nothing-else")["spec"]
        assert spec == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_a_deployment_makes_every_user() -> None:
    """The Job has every password, and nobody else has two."""
    (container,) = of("small", "Job", "migrate")["spec"]["template"]["spec"]["containers"]
    env = environment(container)
    assert {f"{service.upper()}_PASSWORD_FILE" for service in SERVICES} <= set(env)


def test_replicas_follow_what_is_not_done_and_have_one_master() -> None:
    """Not the lag alone; by metrics that there are; and no count that an update would put back."""
    scaled = [one for one in BOTH["production"] if one["kind"] == "ScaledObject"]
    declared = {one._name for one in vars(metrics).values() if hasattr(one, "_name")}
    for one in scaled:
        (trigger,) = one["spec"]["triggers"]
        assert any(name in trigger["metadata"]["query"] for name in declared)
        assert one["spec"]["minReplicaCount"] >= 2
    query = of("production", "ScaledObject", "dispatcher")["spec"]["triggers"][0]["metadata"][
        "query"
    ]
    assert "topup_lane_topups" in query
    assert "lag" not in query
    masters = [one["spec"]["scaleTargetRef"]["name"] for one in scaled]
    masters += [
        one["spec"]["scaleTargetRef"]["name"] for one in BOTH["production"]
        if one["kind"] == "HorizontalPodAutoscaler"
    ]  # fmt: skip
    assert len(masters) == len(set(masters))
    for name in masters:
        assert "replicas" not in of("production", "Deployment", name)["spec"]


def test_what_kubernetes_does_not_know_fits_our_schemas() -> None:
    """A key that is written wrong would be dropped without a word."""
    for one in BOTH["production"]:
        path = KUBERNETES / "schemas" / f"{one['kind'].lower()}.json"
        if path.exists():
            jsonschema.validate(one, json.loads(path.read_text()))
