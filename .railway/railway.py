"""What Railway runs: `railway config plan` shows what would change, `railway config apply` does it.

TOPUP_REPOSITORY=owner/name is what is built. TOPUP_OPTION=a, as if not said: one service that
is all four, TOPUP_REPLICAS=3 of it. TOPUP_OPTION=b: a service each, with a login of its own.
"""

import os
from typing import Any

from railway_sdk import (
    RailwayContext,
    define_railway,
    github,
    group,
    image,
    postgres,
    preserve,
    project,
    service,
    volume,
)

SERVICES = ("gateway", "ratelimiter", "ledger", "dispatcher")
LATCOM = (
    "LATCOM_URL", "LATCOM_USERNAME", "LATCOM_PASSWORD", "LATCOM_DIST_API", "LATCOM_USER_UID",
)  # fmt: skip
VALKEY = "valkey.railway.internal:6379/0"
STREAMS = (
    "sh -c 'test -s /data/users.acl || "
    'echo "user default on >$VALKEY_PASSWORD ~* &* +@all" > /data/users.acl; '
    "exec valkey-server --dir /data --aclfile /data/users.acl --appendonly yes "
    "--appendfsync always --maxmemory-policy noeviction --hash-max-listpack-value 1024 "
    '--stream-node-max-bytes 16384 --bind "*" "-::*"\''
)
"""Railway's own Redis may lose a second of what it has answered, and its database has no users."""


def secret(*names: str) -> dict[str, Any]:
    """Leave values as they are set in the dashboard: none is ever written here."""
    return {name: preserve() for name in names}


def deploy(drain_s: int) -> dict[str, Any]:
    """Old and new side by side, and time to drain; what Railway gives by itself is 0 of both."""
    return {
        "overlapSeconds": 20,
        "drainingSeconds": drain_s,
        "restartPolicyType": "ALWAYS",
        "restartPolicyMaxRetries": 10,
    }


def ours(name: str, start: str, env: dict[str, Any], **config: Any) -> Any:  # noqa: ANN401 - the SDK's
    """Return a service of our image; it listens on both families of addresses."""
    listening = {"HOST": "::", "PORT": "8080", "INSTANCE_PORT": "8081"}
    return service(
        name,
        source=github(os.environ["TOPUP_REPOSITORY"]),
        build={"builder": "DOCKERFILE", "dockerfilePath": "deploy/Dockerfile"},
        start=start,
        env={**listening, "ENVIRONMENT": "production", **env},
        **config,
    )


def whole(database: Any, replicas: int) -> list[Any]:  # noqa: ANN401 - the SDK's
    """Option A: all four roles in each replica, one public port, one login."""
    env = {
        **secret("REDIS_URL", "ADMIN_KEY", "EVIDENCE_KEY", *LATCOM),
        "DATABASE_URL": database.env.DATABASE_URL,
        "PROVIDERS_OFFERED": "LATCOM",
    }
    return [
        ours(
            "topup",
            "topup serve all",
            env,
            preDeploy="topup migrate",
            healthcheck="/health",
            healthcheckTimeout=120,
            replicas=replicas,
            deploy=deploy(150),  # the roles drain one after the other
        )
    ]


def each(database: Any, replicas: int) -> list[Any]:  # noqa: ANN401 - the SDK's
    """Option B: the gateway alone is public, and each has what it needs and no more."""
    passwords = {name: f"{name.upper()}_PASSWORD" for name in SERVICES}
    ledger = {"LEDGER_URL": "http://ledger.railway.internal:8080"}
    limits = {"RATELIMITER_URL": "http://ratelimiter.railway.internal:8080"}

    def streams_as(name: str, variable: str = "REDIS_URL") -> dict[str, Any]:
        return {variable: f"redis://topup-{name}@{VALKEY}", **secret(passwords[name])}

    checked = {"healthcheck": "/health", "healthcheckTimeout": 120}
    return [
        ours(
            "migrate",
            "topup migrate",
            {**secret("REDIS_URL", *passwords.values()), "DATABASE_URL": database.env.DATABASE_URL},
            deploy={"restartPolicyType": "ON_FAILURE", "restartPolicyMaxRetries": 10},
        ),
        ours(
            "gateway",
            "topup serve gateway",
            {**streams_as("gateway"), **ledger, **limits, **secret("ADMIN_KEY"),
             "PROVIDERS_OFFERED": "LATCOM"},
            replicas=replicas,
            deploy=deploy(75),
            **checked,
        ),
        ours(
            "ratelimiter",
            "topup serve ratelimiter",
            streams_as("ratelimiter", "LIMITER_REDIS_URL"),
            deploy=deploy(75),
        ),
        ours(
            "ledger",
            "topup serve ledger",
            {**streams_as("ledger"), **secret("DATABASE_URL", "EVIDENCE_KEY")},
            deploy=deploy(75),
        ),
        ours(
            "dispatcher",
            "topup serve dispatcher",
            {**streams_as("dispatcher"), **ledger, **secret(*LATCOM), "DRAIN_TIMEOUT": "90s",
             "PORT": "8081"},  # where health is asked: it has no other port
            replicas=replicas,
            deploy=deploy(105),
            **checked,
        ),
    ]  # fmt: skip


def program(_context: RailwayContext) -> Any:  # noqa: ANN401 - the SDK's
    """Return the project: the servers, and ours beside them."""
    database = postgres("postgres")
    streams = service(
        "valkey",
        source=image("valkey/valkey:9.1"),
        start=STREAMS,
        env=secret("VALKEY_PASSWORD"),
        volumeMounts={"/data": volume("valkey-data")},
        deploy={"restartPolicyType": "ALWAYS", "drainingSeconds": 60},
    )
    option = each if os.environ.get("TOPUP_OPTION") == "b" else whole
    services = option(database, int(os.environ.get("TOPUP_REPLICAS", "3")))
    return project("topup", resources=[group("topup", resources=[database, streams, *services])])


main = define_railway(program)
